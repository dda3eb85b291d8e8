"""Chains of one to eight hops, returns and claims, and every way in which a chain is broken."""

from collections.abc import Iterator
from dataclasses import replace

from offline_protocol import (
    Chain,
    Hop,
    Limits,
    Signed,
    TransferKind,
    Voucher,
    VoucherLimits,
    cbor,
    seal,
)
from tests.conformance.generate import world
from tests.conformance.generate.cases import Ref, Vectors
from tests.conformance.generate.world import (
    DAY,
    ISSUING,
    NOW,
    SLACK,
    Device,
    claim,
    entropy,
    extend,
    give_back,
)

MADE = NOW - DAY
"""About when the transfers of these chains were made."""

_ALGORITHMS = {
    "Ed25519": lambda place: False,
    "P-256": lambda place: True,
    "mixed": lambda place: place % 2 == 1,
    "mixed the other way": lambda place: place % 2 == 0,
}


def people(algorithms: str = "Ed25519", count: int = 10) -> list[Device]:
    return [
        world.device(f"{algorithms} {place}", hardware=_ALGORITHMS[algorithms](place))
        for place in range(count)
    ]


PEOPLE = people()
HOLDER, ALMA, BRUNO, CARLA = PEOPLE[:4]
VOUCHER = world.voucher(HOLDER.key)
FRESH = Chain(VOUCHER)
ONE = extend(FRESH, HOLDER, ALMA.key)
TWO = extend(ONE, ALMA, BRUNO.key)
Broken = tuple[str, int, Chain]


def passed_on(devices: list[Device], hops: int, *, voucher: Signed[Voucher] | None = None) -> Chain:
    """A voucher that went so many times from one to the next, each time without its last unit."""
    chain = Chain(voucher or world.voucher(devices[0].key))
    for place in range(hops):
        giver, taker = devices[place], devices[place + 1]
        proof = None if place == 0 else giver.certificate
        chain = extend(chain, giver, taker.key, proof=proof, hi=chain.hi - 1)
    return chain


def vectors() -> Vectors:
    out = Vectors("chains", "Chains of vouchers and transfers, good and broken")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    for name, chain in _good():
        out.add("chain", name, chain=chain.encode(), key_set=trusted)
    for name, number, chain in (*_bad_vouchers(), *_bad_places(), *_bad_certificates(), *_bad_limits(), *_bad_signatures()):
        out.add("chain", f"{number}: {name}", error=number, chain=chain.encode(), key_set=trusted)
    _add_open_currencies(out, trusted)
    for name, number, data in _bad_bytes():
        out.add("chain", f"{number}: {name}", error=number, chain=data, key_set=trusted)
    return out


def _good() -> Iterator[tuple[str, Chain]]:
    for name in _ALGORITHMS:
        devices = people(name)
        by = {"P-256": world.ISSUING_P256, "mixed": world.ISSUING_P256}.get(name, ISSUING)
        voucher = world.voucher(devices[0].key, by=by)
        for hops in range(9):
            yield f"{name}, {hops} hops", passed_on(devices, hops, voucher=voucher)
        chain = passed_on(devices, 3, voucher=voucher)
        yield f"{name}, returned", give_back(chain, devices[3])
        yield f"{name}, claimed", claim(chain, devices[3])
        yield f"{name}, claimed in hardware", claim(chain, devices[3], to=world.SETTLING_P256)
        yield f"{name}, claimed by the holder", claim(Chain(voucher), devices[0], proof=None)
    longest = passed_on(PEOPLE, 1)
    for place in range(1, 8):
        longest = extend(give_back(longest, PEOPLE[place]), HOLDER, PEOPLE[place + 1].key)
    yield "eight payments with a return after each but the last", longest
    yield "as long as a chain may be", claim(give_back(longest, PEOPLE[8]), HOLDER)
    yield "a payment of one unit", extend(FRESH, HOLDER, ALMA.key, lo=7, hi=8)
    yield "a payment to oneself", extend(FRESH, HOLDER, HOLDER.key)
    yield "there and back again as a payment", extend(ONE, ALMA, HOLDER.key)
    yield "the holder once more, without a certificate", extend(
        extend(ONE, ALMA, HOLDER.key), HOLDER, ALMA.key, proof=None
    )
    yield "a payment with no request", extend(FRESH, HOLDER, ALMA.key, request_id=bytes(16))
    yield "the first second", extend(FRESH, HOLDER, ALMA.key, proof=None, time=_voucher_first())
    yield "the last second", extend(FRESH, HOLDER, ALMA.key, proof=None, time=VOUCHER.body.spend_by)
    late = VOUCHER.body.claim_by
    yield "a return in the last second", give_back(ONE, ALMA, time=late)
    yield "a claim in the last second", claim(ONE, ALMA, time=late)
    yield "a claim with an old certificate", claim(
        ONE, ALMA, proof=world.certificate(ALMA.key, valid_from=NOW - 80 * DAY, valid_to=NOW - 70 * DAY)
    )
    yield "a return with a certificate of later", give_back(
        ONE, ALMA, proof=world.certificate(ALMA.key, valid_from=NOW + DAY)
    )
    yield "a claim by a device that may not pay on", claim(
        ONE, ALMA, proof=world.certificate(ALMA.key, limits=Limits(0, 0, 0))
    )
    yield "a return by a device that may not pay on", give_back(
        ONE, ALMA, proof=world.certificate(ALMA.key, limits=Limits(0, 0, 0))
    )
    first, last = ALMA.certificate.body.valid_from, ALMA.certificate.body.valid_to
    early = world.voucher(HOLDER.key, issued_at=first - DAY)
    taken = extend(Chain(early), HOLDER, ALMA.key, proof=None, time=first - DAY)
    yield "a certificate's first second and the slack", extend(taken, ALMA, BRUNO.key, time=first - SLACK)
    yield "a certificate's last second", extend(taken, ALMA, BRUNO.key, time=last)
    limited = world.certificate(ALMA.key, limits=Limits(20_000, 20_000, 2))
    yield "as much and as far as a certificate allows", extend(ONE, ALMA, BRUNO.key, proof=limited)
    exact = world.voucher(HOLDER.key, limits=VoucherLimits(1, 20_000))
    yield "as much and as far as a voucher allows", extend(Chain(exact), HOLDER, ALMA.key, proof=None)
    past = world.voucher(HOLDER.key, by=world.ISSUING_BEFORE, issued_at=world.ROTATED + DAY)
    yield "a voucher of the key before", extend(Chain(past), HOLDER, ALMA.key)
    yield "a claim of a part", claim(ONE, ALMA, lo=5, hi=6)


def _voucher_first() -> int:
    return VOUCHER.body.issued_at - SLACK


def _bad_vouchers() -> Iterator[Broken]:
    def with_voucher(**changes: object) -> Chain:
        made = world.voucher(HOLDER.key, **changes)  # type: ignore[arg-type]
        return extend(Chain(made), HOLDER, ALMA.key)

    yield "a kid that nobody has", 401, with_voucher(kid=b"\x00\x01\x02\x03")
    yield "the kid of a settling key", 401, with_voucher(kid=world.SETTLING.public_key.kid)
    yield "the kid of the root", 401, with_voucher(kid=world.ROOT.public_key.kid)
    yield "issued before its key", 401, with_voucher(issued_at=world.ROTATED - 1)
    yield "issued after its key", 401, with_voucher(
        by=world.ISSUING_BEFORE, issued_at=world.ROTATED + DAY + 1
    )
    yield "by a stranger", 402, with_voucher(by=world.STRANGER, kid=ISSUING.public_key.kid)
    yield "by another key of the issuer", 402, with_voucher(
        by=world.ISSUING_P256, kid=ISSUING.public_key.kid
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
    pay, back, take = extend, give_back, claim
    yield "another parent", 411, pay(FRESH, HOLDER, ALMA.key, parent=entropy("parent"))
    yield "the parent's id with a bit turned", 411, pay(
        FRESH, HOLDER, ALMA.key, parent=VOUCHER.id[:-1] + bytes([VOUCHER.id[-1] ^ 1])
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
    yield "a return after a claim", 413, pay(
        claimed, settled, ALMA.key, kind=TransferKind.RETURN, request_id=bytes(16)
    )
    yield from _bad_returns()
    yield from _bad_claims()


def _bad_returns() -> Iterator[Broken]:
    back = give_back
    yield "a voucher returned", 414, extend(FRESH, HOLDER, HOLDER.key, kind=TransferKind.RETURN)
    yield "a return returned", 414, extend(
        give_back(ONE, ALMA),
        HOLDER,
        ALMA.key,
        kind=TransferKind.RETURN,
        request_id=ONE.hops[0].transfer.body.request_id,
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
    long_ago = world.voucher(HOLDER.key, issued_at=NOW - 300 * DAY, by=world.ISSUING_BEFORE, claim_by=NOW + 700 * DAY)
    yield "a claim after the settling key's time", 415, take(
        Chain(long_ago), HOLDER, time=NOW + world.YEAR + 1
    )
    yield "a payment to a settling key", 415, extend(FRESH, HOLDER, world.SETTLING.public_key)
    yield "a payment to a settling key in hardware", 415, extend(
        ONE, ALMA, world.SETTLING_P256.public_key
    )


def _bad_certificates() -> Iterator[Broken]:
    pay = extend
    yield "no certificate", 421, pay(ONE, ALMA, BRUNO.key, proof=None)
    yield "no certificate at the third hop", 421, pay(TWO, BRUNO, CARLA.key, proof=None)
    yield "no certificate at a return", 421, give_back(ONE, ALMA, proof=None)
    yield "no certificate at a claim", 421, claim(ONE, ALMA, proof=None)
    yield "the payee's certificate", 422, pay(ONE, ALMA, BRUNO.key, proof=BRUNO.certificate)
    yield "another certificate at the first hop", 422, pay(
        FRESH, HOLDER, ALMA.key, proof=ALMA.certificate
    )
    yield "another certificate at a claim", 422, claim(ONE, ALMA, proof=BRUNO.certificate)
    for place, (name, proof) in enumerate(
        {
            "of an unknown kid": world.certificate(ALMA.key, kid=b"\x07"),
            "of a settling key": world.certificate(ALMA.key, by=world.SETTLING),
            "by a stranger": world.certificate(
                ALMA.key, by=world.STRANGER, kid=ISSUING.public_key.kid
            ),
            "by another key of the issuer": world.certificate(
                ALMA.key, by=world.ISSUING_P256, kid=ISSUING.public_key.kid
            ),
            "from before its key": world.certificate(ALMA.key, valid_from=world.ROTATED - 1),
            "from after its key": world.certificate(ALMA.key, by=world.ISSUING_BEFORE),
            "by the device itself": world.certificate(
                ALMA.key, by=ALMA.signer, kid=ISSUING.public_key.kid
            ),
        }.items()
    ):
        yield f"a certificate {name}", 423, pay(ONE, ALMA, BRUNO.key, proof=proof)
        if place % 2 == 0:
            yield f"a claim with a certificate {name}", 423, claim(ONE, ALMA, proof=proof)
    forged = world.certificate(HOLDER.key, by=world.STRANGER, kid=ISSUING.public_key.kid)
    yield "a forged certificate that is not needed", 423, pay(FRESH, HOLDER, ALMA.key, proof=forged)
    first, last = ALMA.certificate.body.valid_from, ALMA.certificate.body.valid_to
    early = Chain(world.voucher(HOLDER.key, issued_at=first - DAY))
    taken = extend(early, HOLDER, ALMA.key, proof=None, time=first - DAY)
    yield "a second before the slack of its certificate", 424, pay(
        taken, ALMA, BRUNO.key, time=first - SLACK - 1
    )
    yield "a second after its certificate", 424, pay(taken, ALMA, BRUNO.key, time=last + 1)
    yield "a second after a certificate that is not needed", 424, pay(
        FRESH, HOLDER, ALMA.key, time=HOLDER.certificate.body.valid_to + 1
    )


def _bad_limits() -> Iterator[Broken]:
    pay = extend
    for most in (1, 2, 7):
        voucher = world.voucher(HOLDER.key, limits=VoucherLimits(most, 50_000))
        yield f"a hop more than the {most} of its voucher", 416, passed_on(
            PEOPLE, most + 1, voucher=voucher
        )
    yield "a ninth hop", 416, passed_on(PEOPLE, 9)
    once = Chain(world.voucher(HOLDER.key, limits=VoucherLimits(1, 50_000)))
    again = give_back(extend(once, HOLDER, ALMA.key), ALMA)
    yield "a payment after a return, which stays counted", 416, pay(again, HOLDER, ALMA.key)
    for most in (0, 1):
        proof = world.certificate(ALMA.key, limits=Limits(50_000, 50_000, most))
        yield f"a second hop where a certificate allows {most}", 425, pay(
            ONE, ALMA, BRUNO.key, proof=proof
        )
    yield "a first hop where a certificate allows none", 425, pay(
        FRESH,
        HOLDER,
        ALMA.key,
        proof=world.certificate(HOLDER.key, limits=Limits(50_000, 50_000, 0)),
    )
    small = world.certificate(ALMA.key, limits=Limits(19_999, 50_000, 8))
    yield "a unit more than a certificate allows at once", 426, pay(
        ONE, ALMA, BRUNO.key, proof=small
    )
    tight = Chain(world.voucher(HOLDER.key, limits=VoucherLimits(8, 19_999)))
    yield "a unit more than a voucher allows at once", 426, pay(tight, HOLDER, ALMA.key, proof=None)
    yield "a unit more than a voucher allows, with a certificate", 426, pay(tight, HOLDER, ALMA.key)
    yield "a unit more than the holder's certificate allows", 426, pay(
        FRESH,
        HOLDER,
        ALMA.key,
        proof=world.certificate(HOLDER.key, limits=Limits(19_999, 50_000, 8)),
    )
    back_again = extend(extend(tight, HOLDER, ALMA.key, hi=19_999), ALMA, HOLDER.key)
    wide = extend(Chain(world.voucher(HOLDER.key, limits=VoucherLimits(8, 100))), HOLDER, ALMA.key, hi=100)
    yield "more than a voucher allows the holder, further down", 426, pay(
        Chain(tight.voucher, (*back_again.hops,)), HOLDER, BRUNO.key, hi=19_999,
        proof=world.certificate(HOLDER.key, limits=Limits(19_998, 50_000, 8)),
    )
    yield "a payment of one unit where a certificate allows none", 426, pay(
        wide, ALMA, BRUNO.key, lo=0, hi=1, proof=world.certificate(ALMA.key, limits=Limits(0, 0, 8))
    )
    body = VOUCHER.body
    yield "a second before the voucher and the slack", 427, pay(
        FRESH, HOLDER, ALMA.key, proof=None, time=_voucher_first() - 1
    )
    yield "a second after spend-by", 427, pay(
        FRESH, HOLDER, ALMA.key, proof=None, time=body.spend_by + 1
    )
    yield "a return a second after claim-by", 427, give_back(ONE, ALMA, time=body.claim_by + 1)
    yield "a claim a second after claim-by", 427, claim(ONE, ALMA, time=body.claim_by + 1)
    yield "a claim before the voucher", 427, claim(ONE, ALMA, time=_voucher_first() - 1)
    yield "a return before the voucher", 427, give_back(ONE, ALMA, time=_voucher_first() - 1)
    yield "a payment at the end of time", 427, pay(
        FRESH, HOLDER, ALMA.key, proof=None, time=2**53 - 1
    )


def _bad_signatures() -> Iterator[Broken]:
    pay = extend
    yield "signed by the payee", 428, pay(FRESH, HOLDER, ALMA.key, signed_by=ALMA.signer)
    yield "signed by a stranger", 428, pay(ONE, ALMA, BRUNO.key, signed_by=world.STRANGER)
    yield "signed by the owner before", 428, pay(ONE, ALMA, BRUNO.key, signed_by=HOLDER.signer)
    yield "signed by the issuer", 428, pay(ONE, ALMA, BRUNO.key, signed_by=ISSUING)
    yield "a return signed by the payer", 428, give_back(ONE, ALMA, signed_by=HOLDER.signer)
    yield "a claim signed by the owner before", 428, claim(ONE, ALMA, signed_by=HOLDER.signer)
    made = ONE.hops[0].transfer
    for name, envelope in {
        "the last bit of its signature turned": made.envelope[:-1] + bytes([made.envelope[-1] ^ 1]),
        "a signature of zeros": made.envelope[:-64] + bytes(64),
        "another algorithm in its header": made.envelope[:4] + b"\x28" + made.envelope[5:],
    }.items():
        yield name, 428, Chain(VOUCHER, (Hop(replace(made, envelope=envelope)),))
    safe = people("P-256")
    chain = extend(Chain(world.voucher(safe[0].key)), safe[0], safe[1].key)
    yield "a P-256 signature by somebody else", 428, extend(
        chain, safe[1], safe[2].key, signed_by=safe[0].signer
    )
    yield "an Ed25519 signature for a P-256 key", 428, extend(
        chain, safe[1], safe[2].key, signed_by=world.STRANGER
    )


def _add_open_currencies(out: Vectors, trusted: Ref) -> None:
    chain = extend(Chain(world.voucher(HOLDER.key, currency="USD")), HOLDER, ALMA.key)
    opened = out.share("key set without currencies", world.OPEN_TRUSTED.envelope.hex())
    out.add("chain", "any currency where none is listed", chain=chain.encode(), key_set=opened)
    other = seal(world.key_set(keys=world.KEYS[3:] + world.KEYS[:1]), world.ROOT)
    lacking = out.share("key set without the issuing key", other.envelope.hex())
    out.add("chain", "401: a key set that lacks the key", error=401, chain=ONE.encode(), key_set=lacking)
    assert trusted.name != opened.name


def _bad_bytes() -> Iterator[tuple[str, int, bytes]]:
    whole = TWO.encode()
    voucher = VOUCHER.envelope
    hops = [cbor.head(cbor.Major.ARRAY, 2) + h.transfer.envelope + h.certificate.envelope for h in TWO.hops if h.certificate]
    yield "nothing", 101, b""
    yield "a byte after it", 101, whole + b"\x00"
    yield "itself after it", 101, whole + whole
    yield "an array without length", 101, b"\x9f" + whole[1:] + b"\xff"
    yield "an array with a longer head", 101, b"\x98" + whole[:1].replace(b"\x83", b"\x03") + whole[1:]
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
    yield "a hop of three", 102, b"\x82" + voucher + b"\x83" + hops[0][1:] + ALMA.certificate.envelope
    yield "a hop that is no array", 102, b"\x82" + voucher + b"\x01"
    yield "a hop that is a map", 102, b"\x82" + voucher + b"\xa1" + hops[0][1:]
    yield "a voucher as a byte string", 103, b"\x81" + cbor.encode(voucher)
    yield "a voucher with a tag", 103, b"\x81\xd2" + voucher
    yield "a hop without its array", 102, b"\x82" + voucher + ONE.hops[0].transfer.envelope
    yield "a transfer as a byte string", 103, b"\x82" + voucher + b"\x81" + cbor.encode(ONE.hops[0].transfer.envelope)
    yield "a certificate of null", 103, b"\x82" + voucher + b"\x82" + ONE.hops[0].transfer.envelope + b"\xf6"
    yield "a transfer in the place of the voucher", 102, b"\x81" + ONE.hops[0].transfer.envelope
    yield "a voucher in the place of the transfer", 102, b"\x82" + voucher + b"\x81" + voucher
    yield "certificate and transfer exchanged", 102, b"\x82" + voucher + b"\x82" + ALMA.certificate.envelope + ONE.hops[0].transfer.envelope
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
