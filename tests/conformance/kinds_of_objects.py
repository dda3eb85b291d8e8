"""Kinds of case about bytes, keys and single objects."""

from typing import Any

from offline_protocol import (
    AcceptancePolicy,
    DeviceCertificate,
    KeyBinding,
    KeySet,
    PaymentRequest,
    PublicKey,
    Receipt,
    RevocationDelta,
    RevocationList,
    Signed,
    Transfer,
    Voucher,
    cbor,
    check_signature,
    unseal,
)
from offline_protocol.base45 import decode_base45, encode_base45
from tests.conformance.facts import value_facts
from tests.conformance.given import Given, Json, raw

_OBJECTS: dict[str, type[Any]] = {
    kind.NAME: kind
    for kind in (
        AcceptancePolicy,
        DeviceCertificate,
        KeyBinding,
        KeySet,
        PaymentRequest,
        Receipt,
        RevocationDelta,
        RevocationList,
        Transfer,
        Voucher,
    )
}


def read_object(given: Given) -> Signed[Any]:
    signed: Signed[Any] = unseal(_OBJECTS[given["name"]], raw(given, "envelope"))
    # `payload` may be what was read; `to_payload` writes anew.
    assert signed.body.to_payload() == signed.body.payload, "writing gives other bytes"
    return signed


def judge_cbor(given: Given) -> Json:
    value = cbor.decode(raw(given, "data"))
    assert cbor.encode(value) == raw(given, "data"), "writing gives other bytes"
    return {"value": value_facts(value)}


def judge_base45(given: Given) -> Json:
    data = decode_base45(given["text"])
    assert encode_base45(data) == given["text"], "writing gives another text"
    return {"data": data.hex()}


def judge_key(given: Given) -> Json:
    key = PublicKey(raw(given, "raw"))
    return {
        "id": key.id.hex(),
        "algorithm": int(key.algorithm),
        "prime_order": key.is_of_prime_order,
    }


def judge_signature(given: Given) -> Json:
    PublicKey(raw(given, "key")).verify(raw(given, "message"), raw(given, "signature"))
    return {}


def judge_signed(given: Given) -> Json:
    signed = read_object(given)
    check_signature(signed, PublicKey(raw(given, "key")))
    return {"id": signed.id.hex()}
