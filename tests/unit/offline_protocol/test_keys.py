"""Keys and signatures: one byte string for a key, and one verdict, that of libsodium."""

import hashlib

import pytest
from nacl import bindings

from offline_protocol import keys
from offline_protocol.algorithms import Algorithm
from offline_protocol.errors import (
    BadSignature,
    MalformedObject,
    UnsupportedAlgorithm,
    WeakKey,
)
from offline_protocol.keys import PublicKey, SoftwareP256Signer, SoftwareSigner
from tests.factories.protocol import p256_signer_from, signer_from

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

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
    "identity, other sign": "01" + "00" * 30 + "80",
    "order 2, other sign": "ec" + "ff" * 31,
    "order 8, other sign": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "order 8, another, other sign": (
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
    ),
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
        PublicKey(bytes.fromhex(raw))


def test_a_key_of_mixed_order_is_read_but_not_of_prime_order() -> None:
    """Its signatures have libsodium's verdict; an issuer does not certify it."""
    honest = signer_from("honest").public_key
    torsion = bytes.fromhex(WEAK["order 8"])
    mixed = PublicKey(bindings.crypto_core_ed25519_add(honest.raw, torsion))
    assert honest.is_of_prime_order
    assert not mixed.is_of_prime_order


def test_a_point_off_the_curve_is_not_of_prime_order_and_signs_nothing() -> None:
    key = PublicKey(bytes.fromhex("02" + "00" * 31))
    assert not key.is_of_prime_order
    with pytest.raises(BadSignature):
        key.verify(b"message", bytes(64))


def test_the_length_of_a_key_pins_its_algorithm() -> None:
    assert signer_from("a").public_key.algorithm is Algorithm.ED25519
    assert p256_signer_from("a").public_key.algorithm is Algorithm.ESP256
    for size in (0, 31, 34, 40, 65):
        with pytest.raises(MalformedObject):
            PublicKey(bytes(size))


def test_the_id_of_a_key_is_over_its_bytes() -> None:
    for key in (signer_from("a").public_key, p256_signer_from("a").public_key):
        assert key.id == hashlib.sha256(b"tallystick/1/id/key" + key.raw).digest()
        assert key.kid == key.id[:4]
    assert signer_from("a").public_key.id != signer_from("b").public_key.id


WEAK_P256 = {
    "not compressed": "04" + "00" * 32,
    "hybrid": "06" + "00" * 32,
    "infinity": "00" * 33,
    "x not below p": "02" + "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    "no point with this x": "02" + "00" * 31 + "01",
}


@pytest.mark.parametrize("raw", WEAK_P256.values(), ids=WEAK_P256.keys())
def test_a_weak_p256_key_cannot_be_made(raw: str) -> None:
    with pytest.raises(WeakKey):
        PublicKey(bytes.fromhex(raw))


def test_p256_signatures_count_for_their_key_and_message_only() -> None:
    signer, other = p256_signer_from("a"), p256_signer_from("b")
    signature = signer.sign(b"message")
    assert signature == signer.sign(b"message")
    signer.public_key.verify(b"message", signature)
    negative_s = (P256_ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    signer.public_key.verify(b"message", signature[:32] + negative_s)
    for key, message, given in [
        (other.public_key, b"message", signature),
        (signer.public_key, b"massage", signature),
        (signer.public_key, b"message", signature[:63]),
        (signer.public_key, b"message", bytes(64)),
        (signer.public_key, b"message", signature[:32] + bytes(32)),
        (signer.public_key, b"message", bytes(32) + signature[32:]),
        (signer.public_key, b"message", signature[:32] + P256_ORDER.to_bytes(32, "big")),
        (signer.public_key, b"message", b"\xff" * 64),
    ]:
        with pytest.raises(BadSignature):
            key.verify(message, given)


def test_without_its_package_p256_is_refused_and_ed25519_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = p256_signer_from("a").public_key.raw
    monkeypatch.setattr(keys, "p256", None)
    with pytest.raises(UnsupportedAlgorithm):
        PublicKey(raw)
    with pytest.raises(UnsupportedAlgorithm):
        SoftwareP256Signer(bytes(31) + b"\x01")
    assert PublicKey(signer_from("a").public_key.raw)


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
