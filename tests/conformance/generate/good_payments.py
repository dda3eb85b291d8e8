"""Payments that keep every rule."""

from collections.abc import Iterator

from offline_protocol import Payment, VoucherLimits
from tests.conformance.generate import world
from tests.conformance.generate.offers import (
    ALMA,
    ANY,
    ASKED,
    HOLDER,
    PASSED,
    SAFE,
    SHOP,
    TILL,
    Offer,
    fresh,
    one,
    pay,
)
from tests.conformance.generate.world import DAY, NOW, SLACK, entropy, extend, give_back


def good() -> Iterator[tuple[str, Offer]]:
    yield "of one hop", Offer(one(ASKED), ASKED)
    yield "of one hop without a certificate", Offer(one(ASKED, proof=None), ASKED)
    yield "of two hops", Offer(Payment((pay(PASSED, ALMA, ASKED),)), ASKED)
    asked = world.request(TILL)
    yield "to hardware", Offer(one(asked), asked)
    safe = fresh("safe", SAFE, by=world.ISSUING_P256)
    yield "from hardware", Offer(Payment((pay(safe, SAFE, ASKED),)), ASKED)
    yield "of any amount", Offer(one(ANY, 7), ANY)
    yield "of all units", Offer(one(ANY, 20_000), ANY)
    several = tuple(pay(fresh(place), HOLDER, ANY, sequence=place) for place in range(8))
    yield "of eight chains", Offer(Payment(several), ANY)
    yield "of chains in another order", Offer(Payment(several[::-1]), ANY)
    exact = world.request(SHOP, amount=2_500)
    yield (
        "of two chains to the amount",
        Offer(
            Payment(
                (pay(fresh(1), HOLDER, exact, sequence=1), pay(fresh(2), HOLDER, exact, sequence=2))
            ),
            exact,
        ),
    )
    yield (
        "of two pieces that touch",
        Offer(
            Payment(
                (
                    pay(fresh(), HOLDER, exact, sequence=1),
                    pay(fresh(), HOLDER, exact, sequence=2, lo=1_250, hi=2_500),
                )
            ),
            exact,
        ),
    )
    yield (
        "of two pieces by one way",
        Offer(
            Payment(
                (
                    pay(PASSED, ALMA, exact, sequence=1),
                    pay(PASSED, ALMA, exact, sequence=2, lo=1_250, hi=2_500),
                )
            ),
            exact,
        ),
    )
    yield (
        "of two payers",
        Offer(Payment((pay(fresh(1), HOLDER, exact), pay(fresh(2, ALMA), ALMA, exact))), exact),
    )
    yield (
        "of two payers with one number each",
        Offer(
            Payment(
                (
                    pay(fresh(1), HOLDER, exact, sequence=5),
                    pay(fresh(2, ALMA), ALMA, exact, sequence=5),
                )
            ),
            exact,
        ),
    )
    back = give_back(extend(fresh(), HOLDER, ALMA.key), ALMA)
    yield "of what came back", Offer(Payment((pay(back, HOLDER, ASKED),)), ASKED)
    yield "dated ahead within the slack", Offer(one(ASKED, time=NOW + SLACK), ASKED)
    late = world.request(SHOP, expires_at=NOW - 200)
    yield (
        "in the last second of its request and the slack",
        Offer(one(late, time=NOW - 200 + SLACK), late),
    )
    spend_by = fresh().voucher.body.spend_by
    limit = world.certificate(HOLDER.key, valid_to=spend_by)
    then = world.request(SHOP, expires_at=spend_by)
    yield (
        "in the last second of its voucher and the slack",
        Offer(one(then, time=spend_by, proof=limit), then, {"now": spend_by + SLACK}),
    )
    last = HOLDER.certificate.body.valid_to
    then = world.request(SHOP, expires_at=last)
    yield (
        "in the last second of a certificate and the slack",
        Offer(one(then, time=last), then, {"now": last + SLACK}),
    )
    old = world.certificate(HOLDER.key, valid_from=NOW - 9 * DAY, valid_to=NOW - DAY + 3_600)
    passed = extend(fresh(), HOLDER, ALMA.key, hi=9_000, proof=old)
    yield (
        "whose earlier certificate has expired",
        Offer(Payment((pay(passed, ALMA, ASKED),)), ASKED),
    )
    ahead = world.certificate(HOLDER.key, valid_from=NOW + SLACK)
    yield (
        "before its certificate, within the slack",
        Offer(one(ASKED, proof=ahead, time=NOW), ASKED),
    )
    at_limit = fresh(limits=VoucherLimits(8, 1_250))
    yield "of as much as a voucher allows", Offer(Payment((pay(at_limit, HOLDER, ASKED),)), ASKED)
    yield (
        "with others revoked",
        Offer(
            one(ASKED),
            ASKED,
            {"revoked": [ALMA.key.id.hex(), SHOP.key.id.hex(), entropy("x").hex()]},
        ),
    )
    yield (
        "by a clock that is behind the floor",
        Offer(one(ASKED), ASKED, {"now": NOW - 400 * DAY, "floor": NOW}),
    )
    huge = fresh("huge", value=2**53 - 1, limits=VoucherLimits(8, 2**53 - 1))
    yield (
        "of the greatest amount",
        Offer(Payment((pay(huge, HOLDER, ANY, amount=2**53 - 1, proof=None),)), ANY),
    )
