from datetime import timedelta

import pytest

from server.kit.errors import NotFound
from server.kit.unit_of_work import UnitOfWork
from server.ledger import close_account, expire_holds, open_holds
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import balance_of, post, results, verified
from tests.unit.ledger.books import (
    ANNA,
    BERK,
    CAROL,
    capture,
    fresh_id,
    fund,
    hold,
    move,
    release,
)


@pytest.fixture(autouse=True)
async def _anna_has_100(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 100))


async def test_a_hold_is_captured_in_parts_over_several_transactions(uow: UnitOfWork) -> None:
    held = hold(ANNA, BERK, 60)
    assert await results(uow, held) == ["applied"]
    assert (await balance_of(uow, ANNA)).available == 40
    first = capture(held, 20)
    assert await results(uow, first) == ["applied"]
    assert await results(uow, first) == ["applied"]
    assert await results(uow, capture(held, 41)) == ["hold_exceeded"]
    assert await results(uow, capture(held, 40)) == ["applied"]
    assert await results(uow, capture(held, 1)) == ["hold_done"]
    anna = await balance_of(uow, ANNA)
    assert (anna.posted, anna.held, anna.available) == (40, 0, 40)
    await verified(uow)


async def test_a_release_gives_back_what_is_left(uow: UnitOfWork) -> None:
    held = hold(ANNA, BERK, 60)
    await post(uow, held, capture(held, 10))
    assert await results(uow, release(held)) == ["applied"]
    assert await results(uow, release(held)) == ["hold_done"]
    assert (await balance_of(uow, ANNA)).available == 90
    await verified(uow)


async def test_a_hold_placed_and_captured_in_one_batch(uow: UnitOfWork) -> None:
    held, other = hold(ANNA, BERK, 60), hold(ANNA, CAROL, 30)
    assert set(
        await results(uow, held, other, capture(held, 60), capture(other, 1), release(other))
    ) == {"applied"}
    assert (await balance_of(uow, ANNA)).available == 39
    await verified(uow)


async def test_open_holds_are_listed_with_what_is_left(uow: UnitOfWork, clock: ManualClock) -> None:
    held, brief = hold(ANNA, BERK, 60), hold(ANNA, BERK, 5, for_s=10)
    await post(uow, held, brief, capture(held, 20))
    listed = await uow.read(lambda tx: open_holds(tx, ANNA))
    assert {(h.id, h.rest) for h in listed} == {(held.id, 40), (brief.id, 5)}
    clock.advance(timedelta(seconds=10))
    (left,) = await uow.read(lambda tx: open_holds(tx, ANNA))
    assert left.id == held.id


async def test_an_expired_hold_no_longer_counts_before_anybody_ends_it(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, hold(ANNA, BERK, 60, for_s=10))
    clock.advance(timedelta(seconds=10))
    anna = await balance_of(uow, ANNA)
    assert (anna.posted, anna.held, anna.available) == (100, 0, 100)


async def test_an_expired_hold_cannot_be_captured_however_late_the_sweep(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    held = hold(ANNA, BERK, 60, for_s=10)
    await post(uow, held)
    clock.advance(timedelta(seconds=10))
    assert await results(uow, capture(held, 1)) == ["hold_expired"]
    assert await results(uow, release(held)) == ["hold_expired"]
    await verified(uow)


async def test_money_of_an_expired_hold_can_be_spent_at_once(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, hold(ANNA, BERK, 100, for_s=10))
    assert await results(uow, move(ANNA, CAROL, 100)) == ["insufficient_funds"]
    clock.advance(timedelta(seconds=10))
    assert await results(uow, move(ANNA, CAROL, 100, id=fresh_id())) == ["applied"]
    await verified(uow)


async def test_the_sweep_ends_each_expired_hold_once(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, fund(BERK, 10))
    await post(
        uow,
        hold(ANNA, BERK, 10, for_s=10),
        hold(ANNA, BERK, 10, for_s=11),
        hold(BERK, ANNA, 10, for_s=10),
        hold(ANNA, BERK, 10),
    )
    assert await expire_holds(uow) == 0
    clock.advance(timedelta(seconds=10))
    assert await expire_holds(uow) == 2
    assert await expire_holds(uow) == 0
    clock.advance(timedelta(seconds=1))
    assert await expire_holds(uow) == 1
    assert (await balance_of(uow, ANNA)).held == 10
    report = await verified(uow)
    assert report.counts["entries"] == 9


async def test_closing_ends_expired_holds_first(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, hold(ANNA, BERK, 10, for_s=10), move(ANNA, CAROL, 90))
    clock.advance(timedelta(seconds=10))
    await post(uow, move(ANNA, CAROL, 10))
    await uow.run(lambda tx: close_account(tx, ANNA))
    assert await results(uow, fund(ANNA, 1)) == ["account_closed"]
    with pytest.raises(NotFound):
        await uow.run(lambda tx: close_account(tx, BERK.__class__(BERK.kind, "USD", BERK.owner)))
