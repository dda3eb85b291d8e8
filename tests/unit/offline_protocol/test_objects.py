"""Objects: what their fields may hold, and that reading gives back what was written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from offline_protocol import cbor
from offline_protocol.acceptance import AcceptancePolicy, AcceptanceRule, Verdict
from offline_protocol.certificate_log import LogHead
from offline_protocol.certificates import Assurance, DeviceCertificate, IssuerKey, KeySet, KeyUse
from offline_protocol.constants import UINT_MAX
from offline_protocol.cose import Body
from offline_protocol.errors import MalformedObject, ProtocolError, UnknownIssuerKey
from offline_protocol.key_bindings import KeyBinding
from offline_protocol.receipts import Receipt
from offline_protocol.requests import PaymentRequest
from offline_protocol.revocation import RevocationDelta, RevocationList, Revoked
from offline_protocol.transfers import Transfer, TransferKind
from tests.factories.protocol import DAY, NOW, Issuer, entropy, p256_signer_from, signer_from

ISSUER = Issuer()
ALICE = ISSUER.device("alice", display_name="Caf\u00e9 Z\u00fcrich")
BOB = ISSUER.device("bob")
KEY_SET = ISSUER.key_set.body
CERTIFICATE = ALICE.certificate.body
VOUCHER = ISSUER.voucher(ALICE).body
REQUEST = BOB.request(1_250, memo="two coffees").body
TRANSFER = ALICE.transfer(VOUCHER.id, 0, 1_250, BOB.key, request_id=REQUEST.request_id).body
RECEIPT = Receipt((TRANSFER.id,), REQUEST.request_id, 1_250, NOW)

LOG = LogHead().extend([CERTIFICATE.id])
KID = KEY_SET.keys[0].kid
REVOKED = Revoked(3, frozenset({entropy("a", size=8), entropy("b", size=8)}))
LIST = RevocationList.of(REVOKED, kid=KID, time=NOW)
DELTA = RevocationDelta.between(Revoked(), REVOKED, kid=KID, time=NOW)
POLICY = AcceptancePolicy(
    KID,
    1,
    NOW,
    (
        AcceptanceRule(Verdict.WARN, "EUR", 1, 2, 3, 4, 5),
        AcceptanceRule(Verdict.REFUSE, amount_over=10),
        AcceptanceRule(Verdict.REFUSE, currency="TRY"),
    ),
)
BINDING = KeyBinding(ALICE.key, p256_signer_from("bound").public_key, entropy("challenge"))

BODIES: list[Any] = [
    KEY_SET,
    replace(KEY_SET, log=LOG),
    LIST,
    replace(LIST, entries=b"", log=LOG),
    DELTA,
    replace(DELTA, log=LOG),
    POLICY,
    replace(POLICY, rules=()),
    BINDING,
    ISSUER.device("hardware", p256=True).certificate.body,
    replace(KEY_SET, previous=entropy("previous"), scales=()),
    CERTIFICATE,
    replace(CERTIFICATE, display_name=None, assurance=Assurance.HARDWARE),
    VOUCHER,
    REQUEST,
    replace(REQUEST, memo=None, transports=()),
    TRANSFER,
    replace(TRANSFER, kind=TransferKind.RETURN),
    replace(TRANSFER, kind=TransferKind.CLAIM),
    RECEIPT,
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.NAME)
def test_reading_gives_back_what_was_written(body: Any) -> None:
    payload = body.to_payload()
    read = type(body).from_payload(payload)
    assert read == body
    assert read.to_payload() == payload
    assert read.id == body.id


def test_no_two_objects_share_an_id() -> None:
    assert len({body.id for body in BODIES}) == len(BODIES)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.NAME)
def test_a_field_too_many_or_too_few_is_refused(body: Body) -> None:
    fields = cbor.decode(body.payload)
    assert type(fields) is dict
    optional = {
        KeySet: {6, 7, 8},
        DeviceCertificate: {8},
        PaymentRequest: {9, 10},
        Transfer: {9},
        RevocationList: {6},
        RevocationDelta: {9},
    }
    for number in set(range(1, 24)) - set(fields):
        if number not in optional.get(type(body), set()):
            with pytest.raises(MalformedObject):
                type(body).from_payload(cbor.encode({**fields, number: 1}))
    for number in set(fields) - optional.get(type(body), set()):
        rest = {key: value for key, value in fields.items() if key != number}
        with pytest.raises(MalformedObject):
            type(body).from_payload(cbor.encode(rest))


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.NAME)
def test_a_field_of_another_type_is_refused(body: Body) -> None:
    fields = cbor.decode(body.payload)
    assert type(fields) is dict
    may_be_empty = {RevocationList: {5}, RevocationDelta: {6, 7}, AcceptancePolicy: {5}}
    for number, value in fields.items():
        strangers: list[cbor.Value] = [1 << 50, b"", "", [], {}, [[]], [1, 2, 3, 4, 5]]
        for stranger in strangers:
            empty = stranger in ("", b"", [], {})
            harmless = not empty or number in may_be_empty.get(type(body), set())
            if type(stranger) is type(value) and harmless:
                continue
            with pytest.raises(ProtocolError):
                type(body).from_payload(cbor.encode({**fields, number: stranger}))


def test_a_payload_that_is_no_map_is_refused() -> None:
    for kind in {type(body) for body in BODIES}:
        with pytest.raises(MalformedObject):
            kind.from_payload(b"\x80")


WRONG: dict[str, Callable[[], object]] = {
    "epoch 0": lambda: replace(LIST, epoch=0),
    "half an entry": lambda: replace(LIST, entries=bytes(7)),
    "an entry twice": lambda: replace(LIST, entries=bytes(16)),
    "entries unsorted": lambda: replace(LIST, entries=b"b" * 8 + b"a" * 8),
    "delta to its own epoch": lambda: replace(DELTA, to_epoch=0),
    "added and removed": lambda: replace(DELTA, removed=DELTA.added),
    "short digest": lambda: replace(DELTA, digest=bytes(31)),
    "short head of the log": lambda: LogHead(1, bytes(31)),
    "log with a short id": lambda: LogHead().extend([b""]),
    "policy version 0": lambda: replace(POLICY, version=0),
    "too many rules": lambda: replace(POLICY, rules=POLICY.rules * 22),
    "rule that accepts": lambda: AcceptanceRule(Verdict.ACCEPT, amount_over=1),
    "rule without condition": lambda: AcceptanceRule(Verdict.WARN),
    "short issuer": lambda: replace(BINDING, issuer=bytes(31)),
    "key set without keys": lambda: replace(KEY_SET, keys=()),
    "key set version 0": lambda: replace(KEY_SET, version=0),
    "two keys with one kid": lambda: replace(KEY_SET, keys=(KEY_SET.keys[0],) * 2),
    "too many keys": lambda: replace(KEY_SET, keys=KEY_SET.keys * 17),
    "key that ends before it begins": lambda: replace(KEY_SET.keys[0], not_after=0),
    "short previous id": lambda: replace(KEY_SET, previous=b"x"),
    "scales unsorted": lambda: replace(KEY_SET, scales=(("TRY", 2), ("EUR", 2))),
    "scales doubled": lambda: replace(KEY_SET, scales=(("EUR", 2), ("EUR", 2))),
    "scale of 19": lambda: replace(KEY_SET, scales=(("EUR", 19),)),
    "empty kid": lambda: replace(CERTIFICATE, kid=b""),
    "kid of 9 bytes": lambda: replace(CERTIFICATE, kid=bytes(9)),
    "certificate that ends before it begins": lambda: replace(CERTIFICATE, valid_to=0),
    "assurance 0": lambda: replace(CERTIFICATE, assurance=0),  # type: ignore[arg-type]
    "assurance 3": lambda: replace(CERTIFICATE, assurance=3),  # type: ignore[arg-type]
    "empty name": lambda: replace(CERTIFICATE, display_name=""),
    "name of 65 bytes": lambda: replace(CERTIFICATE, display_name="x" * 65),
    "name with a line break": lambda: replace(CERTIFICATE, display_name="a\nb"),
    "name that reads backwards": lambda: replace(CERTIFICATE, display_name="a\u202eb"),
    "name not in NFC": lambda: replace(CERTIFICATE, display_name="u\u0308"),
    "name with half a surrogate": lambda: replace(CERTIFICATE, display_name="\ud800"),
    "hops over the hard limit": lambda: replace(CERTIFICATE.limits, hops_max=9),
    "payment limit below zero": lambda: replace(CERTIFICATE.limits, payment_max=-1),
    "voucher of nothing": lambda: replace(VOUCHER, value=0),
    "voucher over 2^53 - 1": lambda: replace(VOUCHER, value=UINT_MAX + 1),
    "voucher worth True": lambda: replace(VOUCHER, value=True),
    "short serial": lambda: replace(VOUCHER, serial=bytes(15)),
    "spend-by before issue": lambda: replace(VOUCHER, spend_by=VOUCHER.issued_at - 1),
    "claim-by before spend-by": lambda: replace(VOUCHER, claim_by=VOUCHER.spend_by - 1),
    "voucher without a hop": lambda: replace(VOUCHER.limits, hops_max=0),
    "currency in small letters": lambda: replace(VOUCHER, currency="eur"),
    "currency of two letters": lambda: replace(VOUCHER, currency="EU"),
    "currency of nine letters": lambda: replace(VOUCHER, currency="EUROEUROE"),
    "currency that starts with a digit": lambda: replace(VOUCHER, currency="1EU"),
    "currency in Cyrillic": lambda: replace(VOUCHER, currency="\u0415UR"),
    "short nonce": lambda: replace(REQUEST, nonce=bytes(15)),
    "short session key": lambda: replace(REQUEST, session_key=bytes(31)),
    "empty memo": lambda: replace(REQUEST, memo=""),
    "memo of 281 bytes": lambda: replace(REQUEST, memo="x" * 281),
    "nine transports": lambda: replace(REQUEST, transports=("qr",) * 9),
    "empty transport": lambda: replace(REQUEST, transports=("",)),
    "no certificate": lambda: replace(REQUEST, certificate=b""),
    "empty interval": lambda: replace(TRANSFER, lo=5, hi=5),
    "interval backwards": lambda: replace(TRANSFER, lo=6, hi=5),
    "interval below zero": lambda: replace(TRANSFER, lo=-1),
    "short parent": lambda: replace(TRANSFER, parent=bytes(16)),
    "long request id": lambda: replace(TRANSFER, request_id=bytes(32)),
    "kind 3": lambda: replace(TRANSFER, kind=3),  # type: ignore[arg-type]
    "receipt for nothing": lambda: replace(RECEIPT, transfer_ids=()),
    "receipt of amount 0": lambda: replace(RECEIPT, amount=0),
    "receipt with ids out of order": lambda: replace(
        RECEIPT, transfer_ids=(b"\x02" * 32, b"\x01" * 32)
    ),
    "receipt with an id twice": lambda: replace(RECEIPT, transfer_ids=(b"\x01" * 32,) * 2),
    "receipt with a short id": lambda: replace(RECEIPT, transfer_ids=(b"\x01",)),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_an_object_with_impossible_values_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(MalformedObject):
        make()


def test_optional_fields_have_one_way_to_be_absent() -> None:
    cases: list[tuple[Body, int, cbor.Value]] = [
        (REQUEST, 10, []),
        (KEY_SET, 7, []),
        (TRANSFER, 9, 0),
    ]
    for body, number, empty in cases:
        fields = cbor.decode(body.payload)
        assert type(fields) is dict
        with pytest.raises(MalformedObject):
            type(body).from_payload(cbor.encode({**fields, number: empty}))


def test_a_key_set_finds_keys_by_short_name_time_and_use() -> None:
    old, new = signer_from("old").public_key, signer_from("new").public_key
    key_set = replace(
        KEY_SET,
        keys=(
            IssuerKey(b"k", old, NOW - 10 * DAY, NOW, KeyUse.ISSUE),
            IssuerKey(b"k", new, NOW, NOW + DAY, KeyUse.SETTLE),
        ),
    )
    assert key_set.key(b"k", NOW, "issue") == old
    assert key_set.key(b"k", NOW, KeyUse.SETTLE) == new
    for kid, at, use in [
        (b"j", NOW, KeyUse.ISSUE),
        (b"k", NOW + 1, KeyUse.ISSUE),
        (b"k", NOW - 1, KeyUse.SETTLE),
        (b"k", NOW + DAY + 1, KeyUse.SETTLE),
    ]:
        with pytest.raises(UnknownIssuerKey):
            key_set.key(kid, at, use)
    assert key_set.settles(new, NOW)
    assert not key_set.settles(new, NOW - 1)
    assert not key_set.settles(old, NOW)


def test_a_key_set_knows_the_decimal_places_of_its_currencies() -> None:
    assert (KEY_SET.scale("EUR"), KEY_SET.scale("JPY"), KEY_SET.scale("USD")) == (2, 0, None)


def test_intervals_that_only_touch_do_not_overlap() -> None:
    first = replace(TRANSFER, lo=0, hi=5)
    assert not first.overlaps(replace(TRANSFER, lo=5, hi=9))
    assert first.overlaps(replace(TRANSFER, lo=4, hi=9))
    assert first.overlaps(replace(TRANSFER, lo=1, hi=2))
    assert not first.overlaps(replace(TRANSFER, lo=1, hi=2, parent=entropy("elsewhere")))


def test_the_request_id_is_the_first_half_of_the_id() -> None:
    assert REQUEST.request_id == REQUEST.id[:16]
