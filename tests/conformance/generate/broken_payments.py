"""Payments that are wrong in themselves, or answer something else."""

from collections.abc import Iterator

from offline_protocol import Payment
from tests.conformance.generate import world
from tests.conformance.generate.offers import (
    ALMA,
    ANY,
    ASKED,
    BRUNO,
    HOLDER,
    PASSED,
    SHOP,
    Offer,
    fresh,
    one,
    pay,
)
from tests.conformance.generate.world import NOW, claim, extend, give_back


def _all_pay() -> Iterator[tuple[str, Offer]]:
    asked = ASKED
    chain = pay(fresh(), HOLDER, asked)
    yield "a claim", Offer(Payment((claim(chain, SHOP, time=NOW),)), asked)
    yield "a return", Offer(Payment((give_back(chain, SHOP, time=NOW),)), asked)
    yield "a payment and a claim", Offer(Payment((chain, claim(fresh(1), HOLDER, time=NOW))), asked)


def _to_payee() -> Iterator[tuple[str, Offer]]:
    yield "to somebody else", Offer(one(ASKED, payee=BRUNO.key), ASKED)
    yield "to the payer", Offer(one(ASKED, payee=HOLDER.key), ASKED)
    yield (
        "one of two to somebody else",
        Offer(
            Payment(
                (
                    pay(fresh(1), HOLDER, ANY, sequence=1),
                    pay(fresh(2), HOLDER, ANY, sequence=2, payee=BRUNO.key),
                )
            ),
            ANY,
        ),
    )


def _of_request() -> Iterator[tuple[str, Offer]]:
    other = world.request(SHOP, nonce=1)
    yield "for another request", Offer(one(other), ASKED)
    yield "for no request", Offer(one(ASKED, request_id=bytes(16)), ASKED)
    yield "for half of a request", Offer(one(ASKED, request_id=ASKED.id[16:]), ASKED)
    yield "for the request with another memo", Offer(one(world.request(SHOP, memo="x")), ASKED)
    yield (
        "one of two for another request",
        Offer(
            Payment(
                (pay(fresh(1), HOLDER, ANY, sequence=1), pay(fresh(2), HOLDER, other, sequence=2))
            ),
            ANY,
        ),
    )


def _in_currency() -> Iterator[tuple[str, Offer]]:
    yen = fresh(currency="JPY")
    yield "in yen", Offer(Payment((pay(yen, HOLDER, ASKED),)), ASKED)
    yield (
        "one of two in yen",
        Offer(
            Payment((pay(fresh(1), HOLDER, ANY, sequence=1), pay(yen, HOLDER, ANY, sequence=2))),
            ANY,
        ),
    )


def _distinct() -> Iterator[tuple[str, Offer]]:
    chain = pay(fresh(), HOLDER, ANY)
    yield "one chain twice", Offer(Payment((chain, chain)), ANY)
    yield (
        "two pieces that share a unit",
        Offer(
            Payment(
                (
                    pay(fresh(), HOLDER, ANY, sequence=1),
                    pay(fresh(), HOLDER, ANY, sequence=2, lo=1_249, hi=1_300),
                )
            ),
            ANY,
        ),
    )
    yield (
        "a piece inside another",
        Offer(
            Payment(
                (
                    pay(fresh(), HOLDER, ANY, sequence=1),
                    pay(fresh(1), HOLDER, ANY, sequence=2),
                    pay(fresh(), HOLDER, ANY, sequence=3, lo=100, hi=101),
                )
            ),
            ANY,
        ),
    )
    other = extend(fresh(), HOLDER, BRUNO.key, hi=9_000, sequence=99)
    yield (
        "one unit by two ways",
        Offer(Payment((pay(PASSED, ALMA, ANY), pay(other, BRUNO, ANY))), ANY),
    )


def _without_fork() -> Iterator[tuple[str, Offer]]:
    left = extend(fresh(), HOLDER, ALMA.key, hi=9_000, sequence=1)
    right = extend(fresh(), HOLDER, BRUNO.key, lo=5_000, hi=12_000, sequence=2)
    yield (
        "two ways that overlap above",
        Offer(Payment((pay(left, ALMA, ANY), pay(right, BRUNO, ANY, lo=11_000, hi=12_000))), ANY),
    )
    again = extend(fresh(), HOLDER, ALMA.key, hi=9_000, sequence=3)
    yield (
        "one payment made twice above",
        Offer(
            Payment(
                (
                    pay(left, ALMA, ANY, sequence=20),
                    pay(again, ALMA, ANY, sequence=21, lo=2_000, hi=3_000),
                )
            ),
            ANY,
        ),
    )


def _without_clone() -> Iterator[tuple[str, Offer]]:
    yield (
        "one number twice",
        Offer(
            Payment(
                (pay(fresh(1), HOLDER, ANY, sequence=5), pay(fresh(2), HOLDER, ANY, sequence=5))
            ),
            ANY,
        ),
    )
    yield (
        "one number for two pieces of a voucher",
        Offer(
            Payment(
                (
                    pay(fresh(), HOLDER, ANY, sequence=5),
                    pay(fresh(), HOLDER, ANY, sequence=5, lo=1_250, hi=1_300),
                )
            ),
            ANY,
        ),
    )
    again = extend(extend(fresh(), HOLDER, ALMA.key, sequence=4), ALMA, HOLDER.key)
    yield (
        "one number at both ends of a chain",
        Offer(Payment((pay(again, HOLDER, ANY, sequence=4),)), ANY),
    )
    three = tuple(pay(fresh(place), HOLDER, ANY, sequence=5) for place in range(3))
    yield "one number three times", Offer(Payment(three), ANY)


def _broken_chains() -> Iterator[tuple[str, Offer]]:
    good = pay(fresh(1), HOLDER, ANY, sequence=1)
    bad = pay(fresh(2), HOLDER, ANY, sequence=2, signed_by=ALMA.signer)
    yield "in the first of two", Offer(Payment((bad, good)), ANY)
    yield "in the second of two", Offer(Payment((good, bad)), ANY)
    yield (
        "and to somebody else",
        Offer(Payment((pay(fresh(), HOLDER, ANY, signed_by=ALMA.signer, payee=BRUNO.key),)), ANY),
    )


def bad_bytes() -> Iterator[tuple[str, int, bytes]]:
    whole = one(ASKED).encode()
    chain = whole[1:]
    yield "nothing", 101, b""
    yield "a byte after it", 101, whole + b"\x00"
    yield "a missing chain", 101, b"\x82" + chain
    yield "larger than a payment may be", 101, whole + bytes(32_769 - len(whole))
    yield "an array with a longer head", 101, b"\x98\x01" + chain
    yield "an empty array", 102, b"\x80"
    yield "nine chains", 102, b"\x89" + chain * 9
    yield "many chains", 102, b"\x9a\xff\xff\xff\xff" + chain
    yield "a chain without a transfer", 102, b"\x81\x81" + fresh().voucher.envelope
    yield (
        "a chain without a transfer after a good one",
        102,
        b"\x82" + chain + b"\x81" + fresh().voucher.envelope,
    )
    yield "a map", 102, b"\xa1\x01" + chain
    yield "a byte string", 102, b"\x41\x00"
    yield "a chain that is no array", 102, b"\x81\x01"
    yield "a bare chain", 103, chain
    yield "a chain as a byte string", 102, b"\x81\x58\xff" + chain
    for size in (2, 10, 100, 200, 300):
        yield f"cut to {size} bytes", 103, whole[:size]


BROKEN = {
    428: _broken_chains,
    501: _all_pay,
    502: _to_payee,
    503: _of_request,
    504: _in_currency,
    505: _distinct,
    506: _without_fork,
    507: _without_clone,
}
