"""Every way in which a chain is broken, each with the rule that finds it."""

from collections.abc import Iterator
from dataclasses import replace

from offline_protocol import Chain, TransferKind, cbor
from tests.conformance.generate import world
from tests.conformance.generate.people import ALMA, BRUNO, FRESH, HOLDER, ONE, TWO, VOUCHER, Broken
from tests.conformance.generate.refused_chains import refused_chains
from tests.conformance.generate.world import (
    DAY,
    ISSUING,
    NOW,
    Device,
    claim,
    entropy,
    extend,
    give_back,
)


def _bad_vouchers() -> Iterator[Broken]:
    def with_voucher(**changes: object) -> Chain:
        made = world.voucher(HOLDER.key, **changes)  # type: ignore[arg-type]
        return extend(Chain(made), HOLDER, ALMA.key)

    yield "a kid that nobody has", 401, with_voucher(kid=b"\x00\x01\x02\x03")
    yield "the kid of a settling key", 401, with_voucher(kid=world.SETTLING.public_key.kid)
    yield "the kid of the root", 401, with_voucher(kid=world.ROOT.public_key.kid)
    yield "issued before its key", 401, with_voucher(issued_at=world.ROTATED - 1)
    yield (
        "issued after its key",
        401,
        with_voucher(by=world.ISSUING_BEFORE, issued_at=world.ROTATED + DAY + 1),
    )
    yield "by a stranger", 402, with_voucher(by=world.STRANGER, kid=ISSUING.public_key.kid)
    yield (
        "by another key of the issuer",
        402,
        with_voucher(by=world.ISSUING_P256, kid=ISSUING.public_key.kid),
    )
    yield "by its own holder", 402, with_voucher(by=HOLDER.signer, kid=ISSUING.public_key.kid)
    turned = VOUCHER.envelope[:-1] + bytes([VOUCHER.envelope[-1] ^ 1])
    yield "with a bit turned", 402, Chain(replace(VOUCHER, envelope=turned))
    other = world.voucher(HOLDER.key, value=20_001)
    moved = other.envelope[:-64] + VOUCHER.envelope[-64:]
    yield "with the signature of another voucher", 402, Chain(replace(other, envelope=moved))
    yield "in a currency that the issuer does not have", 403, with_voucher(currency="USD")
    yield "in a longer currency", 403, with_voucher(currency="EUR2")


def _bad_places() -> Iterator[Broken]:
    pay, take = extend, claim
    yield "another parent", 411, pay(FRESH, HOLDER, ALMA.key, parent=entropy("parent"))
    yield (
        "the parent's id with a bit turned",
        411,
        pay(FRESH, HOLDER, ALMA.key, parent=VOUCHER.id[:-1] + bytes([VOUCHER.id[-1] ^ 1])),
    )
    yield "the voucher as second parent", 411, pay(ONE, ALMA, BRUNO.key, parent=VOUCHER.id)
    yield "itself twice", 411, Chain(VOUCHER, ONE.hops * 2)
    yield "two transfers exchanged", 411, Chain(VOUCHER, TWO.hops[::-1])
    yield "a transfer left out", 411, Chain(VOUCHER, TWO.hops[1:])
    yield "a claim under another parent", 411, take(ONE, ALMA, parent=VOUCHER.id)
    yield "a unit more than the voucher", 412, pay(FRESH, HOLDER, ALMA.key, hi=20_001)
    yield "outside the voucher", 412, pay(FRESH, HOLDER, ALMA.key, lo=20_000, hi=20_001)
    part = pay(FRESH, HOLDER, ALMA.key, lo=100, hi=200)
    yield "a unit below its parent", 412, pay(part, ALMA, BRUNO.key, lo=99, hi=200)
    yield "a unit above its parent", 412, pay(part, ALMA, BRUNO.key, lo=100, hi=201)
    yield "the greatest unit", 412, pay(part, ALMA, BRUNO.key, lo=2**53 - 2, hi=2**53 - 1)
    yield "a claim above its parent", 412, take(part, ALMA, hi=201)
    settled = Device("settling", world.SETTLING, world.certificate(world.SETTLING.public_key))
    claimed = take(ONE, ALMA)
    yield "a payment after a claim", 413, pay(claimed, settled, BRUNO.key)
    yield "a claim after a claim", 413, take(claimed, settled)
    yield (
        "a return after a claim",
        413,
        pay(claimed, settled, ALMA.key, kind=TransferKind.RETURN, request_id=bytes(16)),
    )
    yield from _bad_returns()
    yield from _bad_claims()


def _bad_returns() -> Iterator[Broken]:
    back = give_back
    yield "a voucher returned", 414, extend(FRESH, HOLDER, HOLDER.key, kind=TransferKind.RETURN)
    yield (
        "a return returned",
        414,
        extend(
            give_back(ONE, ALMA),
            HOLDER,
            ALMA.key,
            kind=TransferKind.RETURN,
            request_id=ONE.hops[0].transfer.body.request_id,
        ),
    )
    yield "a part returned, from below", 414, back(ONE, ALMA, hi=19_999)
    yield "a part returned, from above", 414, back(ONE, ALMA, lo=1)
    yield "a return to somebody else", 414, back(ONE, ALMA, payee=BRUNO.key)
    yield "a return to oneself", 414, back(ONE, ALMA, payee=ALMA.key)
    yield "a return past the payer to the holder", 414, back(TWO, BRUNO, payee=HOLDER.key)
    yield "a return to the issuer", 414, back(ONE, ALMA, payee=world.SETTLING.public_key)
    yield "a return under another request", 414, back(ONE, ALMA, request_id=entropy("r", size=16))
    yield "a return under no request", 414, back(ONE, ALMA, request_id=bytes(16))


def _bad_claims() -> Iterator[Broken]:
    take = claim
    yield "a claim to somebody", 415, take(ONE, ALMA, to=BRUNO.signer)
    yield "a claim to an issuing key", 415, take(ONE, ALMA, to=ISSUING)
    yield "a claim to the root", 415, take(ONE, ALMA, to=world.ROOT)
    yield "a claim under a request", 415, take(ONE, ALMA, request_id=entropy("r", size=16))
    long_ago = world.voucher(
        HOLDER.key, issued_at=NOW - 300 * DAY, by=world.ISSUING_BEFORE, claim_by=NOW + 700 * DAY
    )
    yield (
        "a claim after the settling key's time",
        415,
        take(Chain(long_ago), HOLDER, time=NOW + world.YEAR + 1),
    )
    yield "a payment to a settling key", 415, extend(FRESH, HOLDER, world.SETTLING.public_key)
    yield (
        "a payment to a settling key in hardware",
        415,
        extend(ONE, ALMA, world.SETTLING_P256.public_key),
    )


def bad_bytes() -> Iterator[tuple[str, int, bytes]]:
    whole = TWO.encode()
    voucher = VOUCHER.envelope
    hops = [
        cbor.head(cbor.Major.ARRAY, 2) + h.transfer.envelope + h.certificate.envelope
        for h in TWO.hops
        if h.certificate
    ]
    yield "nothing", 101, b""
    yield "a byte after it", 101, whole + b"\x00"
    yield "itself after it", 101, whole + whole
    yield "an array without length", 101, b"\x9f" + whole[1:] + b"\xff"
    yield (
        "an array with a longer head",
        101,
        b"\x98" + whole[:1].replace(b"\x83", b"\x03") + whole[1:],
    )
    yield "a hop with a longer head", 101, b"\x82" + voucher + b"\x98\x02" + hops[0][1:]
    yield "a missing hop", 101, b"\x84" + whole[1:]
    yield "larger than a chain may be", 101, whole + bytes(32_769 - len(whole))
    yield "a tag before it", 102, b"\xc0" + whole
    yield "an empty array", 102, b"\x80"
    yield "a map", 102, b"\xa1\x01" + voucher
    yield "a byte string", 102, cbor.encode(b"chain")
    yield "a number", 102, b"\x01"
    yield "nineteen parts", 102, b"\x93" + voucher + hops[0] * 18
    yield "an array that claims everything", 102, b"\x9b" + b"\xff" * 8
    yield "many parts", 102, b"\x98\x40" + voucher
    yield "an empty hop", 102, b"\x82" + voucher + b"\x80"
    yield (
        "a hop of three",
        102,
        b"\x82" + voucher + b"\x83" + hops[0][1:] + ALMA.certificate.envelope,
    )
    yield "a hop that is no array", 102, b"\x82" + voucher + b"\x01"
    yield "a hop that is a map", 102, b"\x82" + voucher + b"\xa1" + hops[0][1:]
    yield "a voucher as a byte string", 103, b"\x81" + cbor.encode(voucher)
    yield "a voucher with a tag", 103, b"\x81\xd2" + voucher
    yield "a hop without its array", 102, b"\x82" + voucher + ONE.hops[0].transfer.envelope
    yield (
        "a transfer as a byte string",
        103,
        b"\x82" + voucher + b"\x81" + cbor.encode(ONE.hops[0].transfer.envelope),
    )
    yield (
        "a certificate of null",
        103,
        b"\x82" + voucher + b"\x82" + ONE.hops[0].transfer.envelope + b"\xf6",
    )
    yield "a transfer in the place of the voucher", 102, b"\x81" + ONE.hops[0].transfer.envelope
    yield "a voucher in the place of the transfer", 102, b"\x82" + voucher + b"\x81" + voucher
    yield (
        "certificate and transfer exchanged",
        102,
        b"\x82" + voucher + b"\x82" + ALMA.certificate.envelope + ONE.hops[0].transfer.envelope,
    )
    yield "a voucher of an unknown algorithm", 111, b"\x81" + voucher[:4] + b"\x26" + voucher[5:]
    weak = world.changed(VOUCHER.body.payload, {6: bytes(32)})
    yield "a voucher for a weak key", 112, b"\x81" + world.envelope("voucher", weak, ISSUING)
    after_voucher = 1 + len(voucher)
    yield "cut after its voucher", 101, whole[:after_voucher]
    yield "cut after its first hop", 101, whole[: after_voucher + len(hops[0])]
    for length in (1, 2, 7, 8, 100, after_voucher - 1, after_voucher + 1, after_voucher + 20):
        yield f"cut to {length} bytes", 103, whole[:length]
    for less in (1, 64, 65, 66, 67):
        yield f"cut by {less} bytes", 103, whole[:-less]


def bad_chains() -> Iterator[Broken]:
    """Chains that can be read, in the order of the rules that find them."""
    yield from _bad_vouchers()
    yield from _bad_places()
    yield from refused_chains()
