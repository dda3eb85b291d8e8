"""Chains of one to eight hops, returns and claims, and every way in which a chain is broken."""

from collections.abc import Iterator

from offline_protocol import Chain, Limits, VoucherLimits, seal
from tests.conformance.generate import world
from tests.conformance.generate.broken_chains import bad_bytes, bad_chains
from tests.conformance.generate.cases import Ref, Vectors
from tests.conformance.generate.people import (
    ALGORITHMS,
    ALMA,
    BRUNO,
    FRESH,
    HOLDER,
    ONE,
    PEOPLE,
    VOUCHER,
    first_second,
    passed_on,
    people,
)
from tests.conformance.generate.world import DAY, ISSUING, NOW, SLACK, claim, extend, give_back


def vectors() -> Vectors:
    out = Vectors("chains", "Chains of vouchers and transfers, good and broken")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    for name, chain in _good():
        out.add("chain", name, chain=chain.encode(), key_set=trusted)
    for name, number, chain in bad_chains():
        out.add("chain", f"{number}: {name}", error=number, chain=chain.encode(), key_set=trusted)
    _add_open_currencies(out, trusted)
    for name, number, data in bad_bytes():
        out.add("chain", f"{number}: {name}", error=number, chain=data, key_set=trusted)
    return out


def _good() -> Iterator[tuple[str, Chain]]:
    for name in ALGORITHMS:
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
    yield (
        "the holder once more, without a certificate",
        extend(extend(ONE, ALMA, HOLDER.key), HOLDER, ALMA.key, proof=None),
    )
    yield "a payment with no request", extend(FRESH, HOLDER, ALMA.key, request_id=bytes(16))
    yield "the first second", extend(FRESH, HOLDER, ALMA.key, proof=None, time=first_second())
    yield "the last second", extend(FRESH, HOLDER, ALMA.key, proof=None, time=VOUCHER.body.spend_by)
    late = VOUCHER.body.claim_by
    yield "a return in the last second", give_back(ONE, ALMA, time=late)
    yield "a claim in the last second", claim(ONE, ALMA, time=late)
    yield (
        "a claim with an old certificate",
        claim(
            ONE,
            ALMA,
            proof=world.certificate(ALMA.key, valid_from=NOW - 80 * DAY, valid_to=NOW - 70 * DAY),
        ),
    )
    yield (
        "a return with a certificate of later",
        give_back(ONE, ALMA, proof=world.certificate(ALMA.key, valid_from=NOW + DAY)),
    )
    yield (
        "a claim by a device that may not pay on",
        claim(ONE, ALMA, proof=world.certificate(ALMA.key, limits=Limits(0, 0, 0))),
    )
    yield (
        "a return by a device that may not pay on",
        give_back(ONE, ALMA, proof=world.certificate(ALMA.key, limits=Limits(0, 0, 0))),
    )
    first, last = ALMA.certificate.body.valid_from, ALMA.certificate.body.valid_to
    early = world.voucher(HOLDER.key, issued_at=first - DAY)
    taken = extend(Chain(early), HOLDER, ALMA.key, proof=None, time=first - DAY)
    yield (
        "a certificate's first second and the slack",
        extend(taken, ALMA, BRUNO.key, time=first - SLACK),
    )
    yield "a certificate's last second", extend(taken, ALMA, BRUNO.key, time=last)
    limited = world.certificate(ALMA.key, limits=Limits(20_000, 20_000, 2))
    yield "as much and as far as a certificate allows", extend(ONE, ALMA, BRUNO.key, proof=limited)
    exact = world.voucher(HOLDER.key, limits=VoucherLimits(1, 20_000))
    yield (
        "as much and as far as a voucher allows",
        extend(Chain(exact), HOLDER, ALMA.key, proof=None),
    )
    past = world.voucher(HOLDER.key, by=world.ISSUING_BEFORE, issued_at=world.ROTATED + DAY)
    yield "a voucher of the key before", extend(Chain(past), HOLDER, ALMA.key)
    yield "a claim of a part", claim(ONE, ALMA, lo=5, hi=6)


def _add_open_currencies(out: Vectors, trusted: Ref) -> None:
    chain = extend(Chain(world.voucher(HOLDER.key, currency="USD")), HOLDER, ALMA.key)
    opened = out.share("key set without currencies", world.OPEN_TRUSTED.envelope.hex())
    out.add("chain", "any currency where none is listed", chain=chain.encode(), key_set=opened)
    other = seal(world.key_set(keys=world.KEYS[3:] + world.KEYS[:1]), world.ROOT)
    lacking = out.share("key set without the issuing key", other.envelope.hex())
    out.add(
        "chain", "401: a key set that lacks the key", error=401, chain=ONE.encode(), key_set=lacking
    )
    assert trusted.name != opened.name
