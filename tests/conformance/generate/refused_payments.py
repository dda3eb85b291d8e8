"""Payments of a wrong amount, or at a wrong time."""

from collections.abc import Iterator
from typing import Any

from offline_protocol import Limits, Payment, VoucherLimits
from tests.conformance.generate import world
from tests.conformance.generate.offers import (
    ALMA,
    ANY,
    ASKED,
    HOLDER,
    PASSED,
    SHOP,
    Offer,
    fresh,
    one,
    pay,
)
from tests.conformance.generate.world import DAY, ISSUING, NOW, SLACK


def _of_amount() -> Iterator[tuple[str, Offer]]:
    yield "a unit less", Offer(one(ASKED, 1_249), ASKED)
    yield "a unit more", Offer(one(ASKED, 1_251), ASKED)
    yield (
        "twice the amount",
        Offer(
            Payment(
                (pay(fresh(1), HOLDER, ASKED, sequence=1), pay(fresh(2), HOLDER, ASKED, sequence=2))
            ),
            ASKED,
        ),
    )
    most = world.request(SHOP, amount=2**53 - 1)
    yield "all where the greatest amount is asked", Offer(one(most, 20_000), most)
    huge = [
        pay(
            fresh(place, value=2**53 - 1, limits=VoucherLimits(8, 2**53 - 1)),
            HOLDER,
            most,
            amount=2**53 - 1,
            proof=None,
            sequence=place,
        )
        for place in range(8)
    ]
    yield "eight times the greatest amount", Offer(Payment(tuple(huge)), most)
    yield (
        "twice the greatest amount, where a rounded sum would do",
        Offer(
            Payment((huge[0], pay(fresh(9), HOLDER, most, amount=1, proof=None, sequence=9))), most
        ),
    )


def _within_limit() -> Iterator[tuple[str, Offer]]:
    small = world.certificate(HOLDER.key, limits=Limits(1_999, 50_000, 8))
    parts: dict[str, Any] = {"amount": 1_000, "proof": small}
    yield (
        "two chains above the certificate's limit",
        Offer(
            Payment(
                (
                    pay(fresh(1), HOLDER, ANY, sequence=1, **parts),
                    pay(fresh(2), HOLDER, ANY, sequence=2, **parts),
                )
            ),
            ANY,
        ),
    )
    tight = [fresh(place, limits=VoucherLimits(8, 1_999)) for place in range(2)]
    yield (
        "two chains above the voucher's limit",
        Offer(
            Payment(
                tuple(
                    pay(chain, HOLDER, ANY, sequence=place, amount=1_000, proof=None)
                    for place, chain in enumerate(tight)
                )
            ),
            ANY,
        ),
    )
    yield (
        "two payers, one above its limit",
        Offer(
            Payment(
                (
                    pay(fresh(1), HOLDER, ANY, amount=1_000, proof=small),
                    pay(fresh(2, ALMA), ALMA, ANY, amount=1_000),
                )
            ),
            ANY,
        ),
    )
    mixed = world.certificate(HOLDER.key, limits=Limits(50_000, 50_000, 8))
    yield (
        "a certificate that allows more than its voucher",
        Offer(
            Payment(
                tuple(
                    pay(chain, HOLDER, ANY, sequence=place, amount=1_000, proof=mixed)
                    for place, chain in enumerate(tight)
                )
            ),
            ANY,
        ),
    )
    huge = [
        pay(
            fresh(place, value=2**53 - 1, limits=VoucherLimits(8, 2**53 - 1)),
            HOLDER,
            ANY,
            amount=2**53 - 1,
            proof=None,
            sequence=place,
        )
        for place in range(2)
    ]
    yield "twice the greatest amount", Offer(Payment(tuple(huge)), ANY)
    yield (
        "a unit above the greatest amount",
        Offer(
            Payment((huge[0], pay(fresh(9), HOLDER, ANY, amount=1, proof=None, sequence=9))), ANY
        ),
    )


def _not_postdated() -> Iterator[tuple[str, Offer]]:
    yield "a second ahead of the slack", Offer(one(ASKED, time=NOW + SLACK + 1), ASKED)
    yield "a day ahead", Offer(one(ASKED, time=NOW + DAY), ASKED)
    yield (
        "one of two ahead",
        Offer(
            Payment(
                (
                    pay(fresh(1), HOLDER, ANY, sequence=1),
                    pay(fresh(2), HOLDER, ANY, sequence=2, time=NOW + SLACK + 1),
                )
            ),
            ANY,
        ),
    )


def _before_expiry() -> Iterator[tuple[str, Offer]]:
    late = world.request(SHOP, expires_at=NOW - 200)
    yield (
        "a second after the request and the slack",
        Offer(one(late, time=NOW - 200 + SLACK + 1), late),
    )
    never = world.request(SHOP, expires_at=0)
    yield "a request of the beginning of time", Offer(one(never), never)


def _spendable() -> Iterator[tuple[str, Offer]]:
    spend_by = fresh().voucher.body.spend_by
    limit = world.certificate(HOLDER.key, valid_to=spend_by)
    then = world.request(SHOP, expires_at=spend_by + DAY)
    yield (
        "a second after the voucher and the slack",
        Offer(one(then, time=spend_by, proof=limit), then, {"now": spend_by + SLACK + 1}),
    )
    yield (
        "the floor is after the voucher",
        Offer(one(then, time=spend_by, proof=limit), then, {"floor": spend_by + SLACK + 1}),
    )
    short = fresh(1, spend_by=NOW - 121)
    yield (
        "one of two vouchers",
        Offer(
            Payment(
                (
                    pay(fresh(), HOLDER, ANY, sequence=1),
                    pay(short, HOLDER, ANY, sequence=2, time=NOW - 121),
                )
            ),
            ANY,
        ),
    )


def _payer_current() -> Iterator[tuple[str, Offer]]:
    last = HOLDER.certificate.body.valid_to
    then = world.request(SHOP, expires_at=last + DAY)
    yield (
        "a second after the certificate and the slack",
        Offer(one(then, time=last), then, {"now": last + SLACK + 1}),
    )
    yield (
        "the floor is after the certificate",
        Offer(one(ASKED), ASKED, {"floor": last + SLACK + 1}),
    )
    ahead = world.certificate(HOLDER.key, valid_from=NOW + SLACK + 1)
    yield (
        "a second before the certificate and the slack",
        Offer(one(ASKED, proof=ahead, time=NOW + 1), ASKED),
    )
    short = world.certificate(HOLDER.key, valid_to=NOW - SLACK - 1)
    yield (
        "one of two certificates",
        Offer(
            Payment(
                (
                    pay(fresh(1), HOLDER, ANY, sequence=1),
                    pay(fresh(2), HOLDER, ANY, sequence=2, proof=short, time=NOW - SLACK - 1),
                )
            ),
            ANY,
        ),
    )


def _not_revoked() -> Iterator[tuple[str, Offer]]:
    two = Payment((pay(PASSED, ALMA, ASKED),))
    safe = Payment((pay(fresh("safe", HOLDER, by=world.ISSUING_P256), HOLDER, ASKED),))
    for name, payment, identity in (
        ("the voucher", two, PASSED.voucher.id),
        ("the payer", two, ALMA.key.id),
        ("the holder, further up", two, HOLDER.key.id),
        ("the issuing key of the voucher", safe, world.ISSUING_P256.public_key.id),
        ("the issuing key of the certificate", safe, ISSUING.public_key.id),
    ):
        yield name, Offer(payment, ASKED, {"revoked": [identity.hex()]})
        yield f"the prefix of {name}", Offer(payment, ASKED, {"revoked": [identity[:8].hex()]})
    several = Payment(tuple(pay(fresh(place), HOLDER, ANY, sequence=place) for place in range(3)))
    yield (
        "the last of three vouchers",
        Offer(several, ANY, {"revoked": [several.chains[2].voucher.id[:8].hex()]}),
    )


REFUSED = {
    508: _of_amount,
    509: _within_limit,
    510: _not_postdated,
    511: _before_expiry,
    512: _spendable,
    513: _payer_current,
    514: _not_revoked,
}
