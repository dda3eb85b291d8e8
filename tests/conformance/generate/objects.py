"""Every kind of object: good ones, and for each field what must not stand in it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from offline_protocol import (
    AcceptancePolicy,
    AcceptanceRule,
    KeyBinding,
    KeyUse,
    Limits,
    LogHead,
    Receipt,
    RevocationDelta,
    RevocationList,
    Signer,
    TransferKind,
    VoucherLimits,
    cbor,
    seal,
)
from offline_protocol.acceptance import Verdict
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import NOW, changed, entropy, envelope

MOST = 2**53 - 1
_KEYS = world.KEYS
_OTHER_BYTES = b"\x02" * 4
_WEAK = bytes(32)


def uints(least: int = 0, most: int = MOST) -> list[cbor.Value]:
    """What no integer field of this range takes."""
    outside = [number for number in (least - 1, most + 1) if 0 <= number <= MOST]
    return [*outside, b"\x01", "1", [1], {1: 1}]


def strings(least: int, most: int | None = None) -> list[cbor.Value]:
    """What no byte string field of these lengths takes."""
    most = least if most is None else most
    outside = [bytes(size) for size in (least - 1, most + 1) if 0 <= size <= 4_000]
    return [*outside, 1, "a" * max(least, 1), [bytes(least)], {1: bytes(least)}]


def texts(most: int) -> list[cbor.Value]:
    """What no text field of so many bytes takes."""
    shown = ["a\x00b", "a\nb", "a\x7fb", "a\x85b", "\u202eevil", "a\u2066b", "a\u2069", "\u202a"]
    return ["", "a" * (most + 1), "\u00e9" * (most // 2 + 1), *shown, 1, b"text", ["text"], {1: "t"}]


def currencies() -> list[cbor.Value]:
    wrong: list[cbor.Value] = ["", "EU", "ABCDEFGHI", "eur", "EUr", "1AB", "E-R", "EU R", "\u00c9UR"]
    return [*wrong, 978, b"EUR", ["EUR"]]


def keys() -> list[cbor.Value]:
    return [b"", bytes(31), b"\x02" + bytes(30), bytes(34), bytes(64), 1, "k" * 32, [_OTHER_BYTES]]


def logs() -> list[cbor.Value]:
    head = bytes(32)
    wrong: list[cbor.Value] = [[], [1], [head, 1], [1, head, 1], [1, bytes(31)], [1, bytes(33)]]
    return [*wrong, ["1", head], 1, head, {1: 1, 2: head}]


@dataclass(frozen=True)
class Table:
    """A kind of object: a good body, who signs, other good bodies, and what no field takes."""

    body: Any
    signer: Signer
    good: dict[str, Any]
    wrong: dict[int, list[cbor.Value]]
    optional: frozenset[int] = frozenset()
    keys_at: tuple[int, ...] = ()
    type_number: int | None = None


def _device() -> Table:
    body = world.device("aina").certificate.body
    return Table(
        body,
        world.ISSUING,
        {
            "with a name": replace(body, display_name="Caf\u00e9 Mitte"),
            "with the longest name": replace(body, display_name="\u00fc" * 32),
            "for hardware": world.device("bo", hardware=True).certificate.body,
            "of one second": replace(body, valid_to=body.valid_from),
            "that allows nothing": replace(body, limits=Limits(0, 0, 0)),
            "with the greatest numbers": replace(
                body, valid_to=MOST, limits=Limits(MOST, MOST, 8), kid=bytes(8)
            ),
            "with the smallest numbers": replace(body, valid_from=0, kid=b"\x00"),
        },
        {
            2: strings(1, 8),
            3: keys(),
            4: [*uints(), body.valid_to + 1],
            5: [*uints(), body.valid_from - 1],
            6: [
                *([], [1, 2], [1, 2, 3, 4], [1, 2, 9], [1, 2, MOST], ["1", 2, 3], [1, b"", 3]),
                *(1, b"", {1: 1, 2: 2, 3: 3}),
            ],
            7: uints(1, 2),
            8: texts(64),
        },
        frozenset({8}),
        (3,),
        2,
    )


def _voucher() -> Table:
    body = world.voucher(world.ed25519("holder").public_key).body
    return Table(
        body,
        world.ISSUING,
        {
            "for hardware": replace(body, holder=world.p256("holder").public_key),
            "of one unit": replace(body, value=1),
            "of the greatest value": replace(body, value=MOST, limits=VoucherLimits(1, MOST)),
            "of one second": replace(body, spend_by=body.issued_at, claim_by=body.issued_at),
            "in the longest currency": replace(body, currency="GOLD1234"),
            "in the shortest currency": replace(body, currency="X12"),
            "until the end of time": replace(body, spend_by=MOST, claim_by=MOST),
        },
        {
            2: strings(1, 8),
            3: strings(16),
            4: currencies(),
            5: uints(1),
            6: keys(),
            7: [*uints(), body.spend_by + 1],
            8: [*uints(), body.issued_at - 1, body.claim_by + 1],
            9: [[], [1], [1, 2, 3], [0, 1], [9, 1], [1, "2"], ["1", 2], 1, {1: 1, 2: 2}],
            10: [*uints(), body.spend_by - 1],
        },
        frozenset(),
        (6,),
        3,
    )


def _request() -> Table:
    payee = world.device("shop", display_name="Shop")
    body = world.request(payee).body
    many = tuple(f"lan:192.0.2.{number}:7000" for number in range(8))
    return Table(
        body,
        payee.signer,
        {
            "without transports": replace(body, transports=()),
            "with every transport": replace(body, transports=many),
            "with a long transport": replace(body, transports=("x" * 128,)),
            "with a memo": replace(body, memo="two loaves of bread"),
            "with the longest memo": replace(body, memo="\u00f6" * 140),
            "for any amount": replace(body, amount=0),
            "for the greatest amount": replace(body, amount=MOST, expires_at=MOST, epoch=MOST),
            "of hardware": world.request(world.device("till", hardware=True)).body,
            "whose certificate is no certificate": replace(body, certificate=b"\x00"),
        },
        {
            2: strings(16),
            3: keys(),
            4: currencies(),
            5: uints(),
            6: uints(),
            7: strings(32),
            8: uints(),
            9: texts(280),
            10: [
                *([], ["qr"] * 9, [""], ["x" * 129], ["a\x00"], ["\u202e"], [1], [b"qr"], [["qr"]]),
                *("qr", 1, {1: "qr"}),
            ],
            11: [b"", 1, "certificate", [b"c"]],
        },
        frozenset({9, 10}),
        (3,),
        4,
    )


def _transfer() -> Table:
    payer = world.ed25519("payer")
    body = world.transfer(payer, entropy("parent"), world.ed25519("payee").public_key).body
    return Table(
        body,
        payer,
        {
            "back": replace(body, kind=TransferKind.RETURN),
            "to the issuer": replace(body, kind=TransferKind.CLAIM, request_id=bytes(16)),
            "to hardware": replace(body, payee=world.p256("payee").public_key),
            "of one unit": replace(body, lo=body.hi - 1),
            "of the last unit": replace(body, lo=MOST - 1, hi=MOST),
            "with the greatest numbers": replace(body, sequence=MOST, time=MOST),
            "with the smallest numbers": replace(body, sequence=0, time=0),
        },
        {
            2: strings(32),
            3: [*uints(), body.hi, body.hi + 1],
            4: [*uints(), body.lo],
            5: keys(),
            6: strings(16),
            7: uints(),
            8: uints(),
            9: [0, 3, MOST, b"\x01", "1", [1]],
        },
        frozenset({9}),
        (5,),
        5,
    )


def _receipt() -> Table:
    ids = tuple(sorted(entropy("transfer", number) for number in range(8)))
    body = Receipt(ids[:2], entropy("request", size=16), 1_250, NOW)
    return Table(
        body,
        world.ed25519("shop"),
        {
            "for one transfer": replace(body, transfer_ids=ids[:1]),
            "for eight transfers": replace(body, transfer_ids=ids),
            "of one unit": replace(body, amount=1),
            "with the greatest numbers": replace(body, amount=MOST, time=MOST),
        },
        {
            2: [
                *([], list(reversed(ids[:2])), [ids[0], ids[0]], [*ids, b"\xff" * 32]),
                *([bytes(31)], [bytes(33)], ["a" * 32], [1], ids[0], {1: ids[0]}),
            ],
            3: strings(16),
            4: uints(1),
            5: uints(),
        },
        frozenset(),
        (),
        6,
    )


def _key_set() -> Table:
    body = world.key_set(previous=entropy("key set 6"), log=LogHead(12, entropy("log")))
    entry = [_KEYS[0].kid, _KEYS[0].key.raw, 1, 2, 1]
    many = tuple(
        world.issuer_key(world.ed25519("issuer", number), KeyUse.ISSUE) for number in range(32)
    )
    scales = tuple((f"A{number:02d}", number % 19) for number in range(64))

    def with_key(place: int, value: cbor.Value) -> cbor.Value:
        return [[*entry[:place], value, *entry[place + 1 :]]]

    twice: cbor.Value = [entry, entry]
    return Table(
        body,
        world.ROOT,
        {
            "without what may be missing": world.key_set(scales=()),
            "of one key": replace(body, keys=_KEYS[:1]),
            "of as many keys as fit": replace(body, keys=many),
            "of as many currencies as fit": replace(body, scales=scales),
            "with one kid for two uses": replace(
                body, keys=(_KEYS[0], replace(_KEYS[0], use=KeyUse.SETTLE))
            ),
            "with a key of one second": replace(
                body, keys=(replace(_KEYS[0], not_before=5, not_after=5),)
            ),
            "with the greatest numbers": replace(body, version=MOST, epoch_floor=MOST, time=MOST),
        },
        {
            1: uints(1),
            2: texts(64),
            3: [
                *([], 1, b"", "keys", {1: entry}, [entry[:4]], [[*entry, 1]], [1], twice),
                *(with_key(0, b""), with_key(0, bytes(9)), with_key(0, 1)),
                *(with_key(1, bytes(31)), with_key(1, 1), with_key(1, {1: 1})),
                *(with_key(2, 3), with_key(2, "1"), with_key(3, 0), with_key(3, b"")),
                *(with_key(4, 0), with_key(4, 3), with_key(4, "1")),
                [[*entry[:1], many[n].key.raw, 1, 2, 1 + n % 2] for n in range(3)],
            ],
            4: uints(),
            5: uints(),
            6: strings(32),
            7: [
                *([], [["EUR"]], [["EUR", 2, 3]], [["EUR", 19]], [["EUR", "2"]], [["eur", 2]]),
                *([["JPY", 0], ["EUR", 2]], [["EUR", 2], ["EUR", 2]], [[2, "EUR"]], ["EUR"]),
                *(1, "EUR", {1: 2}, [[code, 1] for code, _ in scales] + [["B00", 1]]),
            ],
            8: logs(),
        },
        frozenset({6, 7, 8}),
    )


def _revocation_list() -> Table:
    prefixes = sorted(entropy("revoked", number, size=8) for number in range(5))
    body = RevocationList(
        world.ISSUING.public_key.kid, 4, NOW, b"".join(prefixes), LogHead(12, entropy("log"))
    )
    return Table(
        body,
        world.ISSUING,
        {
            "that is empty": replace(body, entries=b"", log=None),
            "of one entry": replace(body, entries=prefixes[0]),
            "of the first epoch": replace(body, epoch=1, time=0),
            "of the greatest numbers": replace(body, epoch=MOST, time=MOST, kid=bytes(8)),
            "larger than any other object": replace(
                body, entries=b"".join(number.to_bytes(8, "big") for number in range(700))
            ),
        },
        {
            2: strings(1, 8),
            3: uints(1),
            4: uints(),
            5: [
                *(prefixes[0][:7], prefixes[0] + b"\x00", prefixes[0] * 2),
                *(prefixes[1] + prefixes[0], 1, "entries", [prefixes[0]]),
            ],
            6: logs(),
        },
        frozenset({6}),
        (),
        7,
    )


def _revocation_delta() -> Table:
    prefixes = sorted(entropy("revoked", number, size=8) for number in range(5))
    body = RevocationDelta(
        kid=world.ISSUING.public_key.kid,
        from_epoch=4,
        to_epoch=6,
        time=NOW,
        added=prefixes[0] + prefixes[2],
        removed=prefixes[1],
        digest=entropy("digest"),
        log=LogHead(0),
    )
    wrong = [prefixes[0][:7], prefixes[0] * 2, prefixes[1] + prefixes[0], 1, "e", [prefixes[0]]]
    return Table(
        body,
        world.ISSUING,
        {
            "that changes nothing": replace(body, added=b"", removed=b"", log=None),
            "from the beginning": replace(body, from_epoch=0, to_epoch=1),
            "of the greatest numbers": replace(body, from_epoch=0, to_epoch=MOST, time=MOST),
            "larger than any other object": replace(
                body, added=b"".join(number.to_bytes(8, "big") for number in range(600))
            ),
        },
        {
            2: strings(1, 8),
            3: [*uints(), body.to_epoch],
            4: [*uints(), body.from_epoch, body.from_epoch - 1],
            5: uints(),
            6: [*wrong, prefixes[1]],
            7: [*wrong, prefixes[2]],
            8: strings(32),
            9: logs(),
        },
        frozenset({9}),
        (),
        8,
    )


def _policy() -> Table:
    rules = (
        AcceptanceRule(Verdict.WARN, amount_over=10_000, currency="EUR"),
        AcceptanceRule(Verdict.REFUSE, hops_over=4),
        AcceptanceRule(Verdict.WARN, certificate_age_over=7 * world.DAY),
        AcceptanceRule(Verdict.WARN, revocation_age_over=world.DAY, assurance_under=2),
    )
    body = AcceptancePolicy(world.ISSUING.public_key.kid, 3, NOW, rules)
    return Table(
        body,
        world.ISSUING,
        {
            "without rules": replace(body, rules=()),
            "of as many rules as fit": replace(body, rules=rules[1:2] * 64),
            "of a rule with every condition": replace(
                body, rules=(AcceptanceRule(Verdict.REFUSE, "JPY", 1, 2, 3, 4, 5),)
            ),
            "with the greatest numbers": replace(
                body, version=MOST, time=MOST, rules=(AcceptanceRule(Verdict.WARN, amount_over=MOST),)
            ),
        },
        {
            2: strings(1, 8),
            3: uints(1),
            4: uints(),
            5: [
                *(1, b"", "rules", {1: 1}, [1], [[1, 2]], [{}], [{1: 1}], [{2: "EUR", 3: 1}]),
                *([{1: 0, 3: 1}], [{1: 3, 3: 1}], [{1: "1", 3: 1}], [{1: 1, 8: 1}]),
                *([{1: 1, -1: 1}], [{1: 1, 2: "eur", 3: 1}], [{1: 1, 2: 978, 3: 1}]),
                *([{1: 1, number: "1"}] for number in range(3, 8)),
                [{1: 1, 3: 1}] * 65,
            ],
        },
        frozenset(),
        (),
        9,
    )


def _key_binding() -> Table:
    bound = world.ed25519("pseudonym")
    body = KeyBinding(world.ed25519("owner").public_key, bound.public_key, world.ROOT.public_key.id)
    return Table(
        body,
        bound,
        {
            "to a key in hardware": replace(body, owner=world.p256("owner").public_key),
            "of a key in hardware": replace(body, bound=world.p256("pseudonym").public_key),
        },
        {2: keys(), 3: keys(), 4: strings(32)},
        frozenset(),
        (2, 3),
        10,
    )


TABLES = (
    _key_set,
    _device,
    _voucher,
    _request,
    _transfer,
    _receipt,
    _revocation_list,
    _revocation_delta,
    _policy,
    _key_binding,
)


def vectors() -> Vectors:
    out = Vectors("objects", "Every kind of signed object, and what must not stand in its fields")
    for make in TABLES:
        table = make()
        name = table.body.NAME
        for what, body in {"": table.body, **table.good}.items():
            signed = seal(body, table.signer)
            out.add("object", f"{name} {what}".strip(), name=name, envelope=signed.envelope)
        for what, payload, error in _bad_payloads(table):
            out.add(
                "object",
                f"{name}: {what}",
                error=error,
                name=name,
                envelope=envelope(name, payload, table.signer),
            )
    return out


def _bad_payloads(table: Table) -> Iterator[tuple[str, bytes, int]]:
    good: bytes = table.body.payload
    fields = cbor.decode(good)
    assert isinstance(fields, dict)
    for number in sorted({*fields, *table.wrong} - table.optional):
        yield f"without field {number}", changed(good, {number: None}), 102
    for number, values in table.wrong.items():
        for place, value in enumerate(values):
            yield f"wrong field {number}, {place + 1}", changed(good, {number: value}), 102
    for number in table.keys_at:
        yield f"weak key in field {number}", changed(good, {number: _WEAK}), 112
        off = b"\x02" + bytes(31) + b"\x01"
        yield f"key off the curve in field {number}", changed(good, {number: off}), 112
    if table.type_number is not None:
        for wrong in (0, table.type_number + 1, 23, "type", b"\x01"):
            yield f"type {wrong!r}", changed(good, {1: wrong}), 102
    unknown = max(*fields, *table.wrong) + 1
    for number in (unknown, 23, -1):
        yield f"unknown field {number}", changed(good, {number: 1}), 102
    for value in (0, "object", b"", [], list(fields.values())):
        yield f"a payload that is no map but {cbor.encode(value)[:4].hex()}", cbor.encode(value), 102
    yield "no payload", b"", 101
    yield "a payload cut short", good[:-1], 101
    yield "a payload and a zero", good + b"\x00", 101
    yield "a payload with a longer head", b"\xb8" + bytes([good[0] & 0x1F]) + good[1:], 101
    yield "a payload with a tag", b"\xd8\x18" + good, 101
    yield "a payload without length", b"\xbf" + good[1:] + b"\xff", 101
    doubled = bytes([good[0] + 1]) + good[1:3] + good[1:]
    yield "a payload with a field twice", doubled, 101
