"""Inputs on which verifiers and decoders are known to disagree, each with our verdict.

The cases lie in `traps.json`, which other implementations read too; `crafting.py` makes them.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from offline_protocol import cbor
from offline_protocol.cose import check_signature, unseal
from offline_protocol.errors import ProtocolError, WeakKey
from offline_protocol.keys import PublicKey
from offline_protocol.receipts import Receipt
from tests.unit.published import crafting, curves

TRAPS: list[dict[str, Any]] = json.loads(crafting.FILE.read_text(encoding="utf-8"))
CASES = [(trap["trap"], case) for trap in TRAPS for case in trap["cases"]]


def _read_key(case: dict[str, Any]) -> None:
    PublicKey(bytes.fromhex(case["key"]))


def _enrol(case: dict[str, Any]) -> None:
    key = PublicKey(bytes.fromhex(case["key"]))
    if not key.is_of_prime_order:
        raise WeakKey("an issuer certifies keys of prime order only")


def _verify(case: dict[str, Any]) -> None:
    key = PublicKey(bytes.fromhex(case["key"]))
    key.verify(bytes.fromhex(case["message"]), bytes.fromhex(case["signature"]))


def _decode(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    assert cbor.encode(cbor.decode(data)) == data


def _open(case: dict[str, Any]) -> None:
    signed = unseal(Receipt, bytes.fromhex(case["bytes"]))
    check_signature(signed, PublicKey(bytes.fromhex(case["key"])))


DOES: dict[str, Callable[[dict[str, Any]], None]] = {
    "key": _read_key,
    "enrol": _enrol,
    "verify": _verify,
    "cbor": _decode,
    "envelope": _open,
}


def verdict(case: dict[str, Any]) -> int:
    try:
        DOES[case["does"]](case)
    except ProtocolError as error:
        return error.number
    return 0


@pytest.mark.parametrize(
    ("trap", "case"), CASES, ids=[f"{trap}-{case['name']}" for trap, case in CASES]
)
def test_the_verdict_on_a_trap_is_the_protocols(trap: str, case: dict[str, Any]) -> None:
    assert verdict(case) == case["verdict"], trap


def _cases(trap: str) -> list[dict[str, Any]]:
    (found,) = (each for each in TRAPS if each["trap"] == trap)
    return list(found["cases"])


def test_the_file_is_what_the_code_makes() -> None:
    assert crafting.FILE.read_text(encoding="utf-8") == crafting.as_text()


def test_no_trap_is_empty_and_refusals_outnumber_acceptances() -> None:
    assert len(TRAPS) == 23
    assert all(trap["cases"] for trap in TRAPS)
    assert len({(trap, case["name"]) for trap, case in CASES}) == len(CASES) == 204
    verdicts = Counter(case["verdict"] for _, case in CASES)
    assert verdicts == {0: 15, 101: 54, 102: 5, 103: 37, 111: 2, 112: 49, 113: 42}


def _openssl_accepts(case: dict[str, Any]) -> bool:
    key, message, signature = (bytes.fromhex(case[part]) for part in _PARTS)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


_PARTS = ("key", "message", "signature")


def test_openssl_takes_what_the_protocol_refuses() -> None:
    """Why a verifier that stands on OpenSSL, or a phone's own library, must check more."""
    taken = {
        case["name"]
        for trap in ("small_order_r", "signature_for_every_message")
        for case in _cases(trap)
        if _openssl_accepts(case)
    }
    assert taken == {"r_is_torsion_8", "all_identity"}


def test_a_verifier_with_a_cofactor_takes_what_the_protocol_refuses() -> None:
    fooled = [
        case["name"]
        for trap in ("mixed_order_keys", "mixed_order_r", "small_order_r")
        for case in _cases(trap)
        if case["does"] == "verify" and case["verdict"] and _holds_times_eight(case)
    ]
    assert len(fooled) == 1 + 3 + 8


def _holds_times_eight(case: dict[str, Any]) -> bool:
    key, message, signature = (bytes.fromhex(case[part]) for part in _PARTS)
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    k = curves.challenge(r, key, message)
    right = curves.edwards_add(
        curves.edwards_read(r), curves.edwards_times(k, curves.edwards_read(key))
    )
    left = curves.edwards_times(s, curves.BASE_25519)
    return curves.edwards_times(8, left) == curves.edwards_times(8, right)


def test_a_lenient_cbor_reader_takes_most_of_what_the_protocol_refuses() -> None:
    refused = [case for _, case in CASES if case["does"] == "cbor" and case["verdict"]]
    taken = 0
    for case in refused:
        try:
            cbor2.loads(bytes.fromhex(case["bytes"]))
        except cbor2.CBORDecodeError:
            continue
        taken += 1
    assert len(refused) == 54
    assert taken > 45


def test_canonical_form_means_two_orders_of_keys() -> None:
    """cbor2 writes the order of RFC 7049; inside -24..23 it is that of RFC 8949 as well."""
    written = cbor2.dumps({10: 0, 100: 0, -1: 0}, canonical=True)
    assert written.hex() == "a30a0020001864" + "00"
    keys = [*range(1, 24), *range(-24, 0)]
    ours = cbor.encode(dict.fromkeys(reversed(keys), 0))
    assert ours == cbor2.dumps(dict.fromkeys(keys, 0), canonical=True)


@pytest.mark.parametrize("value", [True, False, 1.0, None, {1: True}, [False], {True: 1}])
def test_what_python_takes_for_an_integer_is_not_written_as_one(value: Any) -> None:
    with pytest.raises(ProtocolError):
        cbor.encode(value)


@pytest.mark.parametrize("algorithm", ["ed25519", "esp256"])
def test_an_object_signed_again_is_the_same_object(algorithm: str) -> None:
    """ECDSA is random, and anybody can turn s into n - s: ids do not cover signatures."""
    (case,) = (c for c in _cases("empty_protected_headers") if c["name"] == f"{algorithm}_honest")
    envelope = bytes.fromhex(case["bytes"])
    key = PublicKey(bytes.fromhex(case["key"]))
    first = unseal(Receipt, envelope)
    check_signature(first, key)
    if algorithm == "ed25519":
        other = unseal(Receipt, envelope[:-64] + bytes(64))
        with pytest.raises(ProtocolError):
            check_signature(other, key)
    else:
        s = curves.ORDER_P256 - int.from_bytes(envelope[-32:], "big")
        other = unseal(Receipt, envelope[:-32] + s.to_bytes(32, "big"))
        check_signature(other, key)
    assert other.envelope != first.envelope
    assert other.id == first.id
