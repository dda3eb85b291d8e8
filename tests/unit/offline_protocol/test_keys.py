"""Keys and signatures: one byte string for a key, and one verdict, that of libsodium."""

import pytest
from nacl import bindings
from nacl.exceptions import CryptoError

from offline_protocol import cbor
from offline_protocol.algorithms import Algorithm
from offline_protocol.errors import (
    BadSignature,
    MalformedCbor,
    MalformedObject,
    ProtocolError,
    UnsupportedAlgorithm,
    WeakKey,
)
from offline_protocol.keys import PublicKey, SoftwareSigner
from tests.factories.protocol import signer_from
from tests.unit.offline_protocol.vectors import published

# RFC 8032 section 7.1, tests 1 and 2.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9"
            "b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
            "1d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]

WEAK = {
    "identity": "01" + "00" * 31,
    "order 2": "ec" + "ff" * 30 + "7f",
    "order 4": "00" * 32,
    "order 4, other sign": "00" * 31 + "80",
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order 8, another": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "not canonical: y = p": "ed" + "ff" * 30 + "7f",
    "not canonical: y = p + 1": "ee" + "ff" * 30 + "7f",
    "not on the curve": "02" + "00" * 31,
}


@pytest.mark.parametrize(("seed", "key", "message", "signature"), RFC_8032)
def test_signatures_are_those_of_rfc_8032(
    seed: str, key: str, message: str, signature: str
) -> None:
    signer = SoftwareSigner(bytes.fromhex(seed))
    assert signer.public_key.raw.hex() == key
    assert signer.sign(bytes.fromhex(message)).hex() == signature
    signer.public_key.verify(bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("raw", WEAK.values(), ids=WEAK.keys())
def test_a_weak_key_cannot_be_made(raw: str) -> None:
    with pytest.raises(WeakKey):
        PublicKey(Algorithm.ED25519, bytes.fromhex(raw))


def test_a_key_of_mixed_order_cannot_be_made() -> None:
    honest = signer_from("honest").public_key.raw
    torsion = bytes.fromhex(WEAK["order 8"])
    mixed = bindings.crypto_core_ed25519_add(honest, torsion)
    with pytest.raises(WeakKey):
        PublicKey(Algorithm.ED25519, mixed)


def test_a_key_is_a_cose_key_with_the_thumbprint_parameters() -> None:
    key = signer_from("a").public_key
    assert key.encode() == bytes.fromhex("a301012006215820") + key.raw
    assert PublicKey.decode(key.encode()) == key
    assert key.id != signer_from("b").public_key.id
    assert key.kid == key.id[:4]


def test_other_forms_of_a_key_are_refused() -> None:
    raw = signer_from("a").public_key.raw
    for value, error in [
        ({1: 1, 3: 18, -1: 6, -2: raw}, MalformedObject),
        ({1: 1, -1: 6}, MalformedObject),
        ({1: 1, -1: 6, -2: raw[:31]}, MalformedObject),
        ({1: 1, -1: 6, -2: [raw]}, MalformedObject),
        ({-1: 6, -2: raw}, MalformedObject),
        ({1: 3, -1: 6, -2: raw}, MalformedObject),
        ([1, 6, raw], MalformedObject),
        ({1: 1, -1: 4, -2: raw}, UnsupportedAlgorithm),
        ({1: 2, -1: 1, -2: raw, -3: raw}, UnsupportedAlgorithm),
    ]:
        with pytest.raises(error):
            PublicKey.decode(cbor.encode(value))  # type: ignore[arg-type]
    with pytest.raises(MalformedCbor):
        PublicKey.decode(b"\x01\x02")
    with pytest.raises(UnsupportedAlgorithm):
        PublicKey(Algorithm.ESP256, raw)


def test_a_signature_counts_for_its_key_and_message_only() -> None:
    signer, other = signer_from("a"), signer_from("b")
    signature = signer.sign(b"message")
    signer.public_key.verify(b"message", signature)
    for key, message, given in [
        (other.public_key, b"message", signature),
        (signer.public_key, b"massage", signature),
        (signer.public_key, b"message", signature[:63]),
        (signer.public_key, b"message", signature + b"\0"),
        (signer.public_key, b"message", bytes(64)),
    ]:
        with pytest.raises(BadSignature):
            key.verify(message, given)


def test_a_signature_with_s_not_reduced_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signer = signer_from("a")
    signature = signer.sign(b"message")
    s = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(BadSignature):
        signer.public_key.verify(b"message", signature[:32] + s.to_bytes(32, "little"))


def test_a_signer_does_not_show_its_secret() -> None:
    signer = SoftwareSigner(bytes(range(32)))
    assert bytes(range(32)).hex() not in repr(signer)
    assert signer.public_key.kid.hex() in repr(signer)


def _accepts(key: str, message: bytes, signature: str) -> bool:
    try:
        PublicKey(Algorithm.ED25519, bytes.fromhex(key)).verify(message, bytes.fromhex(signature))
    except ProtocolError:
        return False
    return True


def _libsodium_accepts(key: str, message: bytes, signature: str) -> bool:
    try:
        bindings.crypto_sign_open(bytes.fromhex(signature) + message, bytes.fromhex(key))
    except CryptoError:
        return False
    return True


def test_published_rfc_8032_signatures_verify() -> None:
    for case in published("rfc8032-ed25519", "rfc8032.json"):
        assert _accepts(case["pk"], bytes.fromhex(case["msg"]), case["sig"]), case["name"]


def test_wycheproof_verdicts_are_ours() -> None:
    seen = 0
    for group in published("wycheproof", "ed25519_test.json")["testGroups"]:
        for case in group["tests"]:
            verdict = _accepts(group["publicKey"]["pk"], bytes.fromhex(case["msg"]), case["sig"])
            assert verdict == (case["result"] == "valid"), case
            seen += 1
    assert seen == 151


def test_edge_cases_are_accepted_only_where_libsodium_and_the_key_rule_agree() -> None:
    libsodium = ours = 0
    for case in published("cctv-ed25519", "ed25519vectors.json"):
        message = case["msg"].encode()
        sodium = _libsodium_accepts(case["key"], message, case["sig"])
        accepted = _accepts(case["key"], message, case["sig"])
        assert sodium or not accepted, case
        libsodium += sodium
        ours += accepted
    assert libsodium == 43
    assert ours < libsodium
