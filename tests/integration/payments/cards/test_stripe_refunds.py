"""What is given back is held first, leaves once, and comes back when the bank sends it back."""

import asyncio
from datetime import timedelta

import pytest

from server.kit.errors import IdempotencyConflict, NotFound
from server.ledger import InsufficientFunds
from server.payments.cards.errors import RefundTooLarge, TopUpUnsettled
from server.payments.cards.refunds import refunds_of
from server.payments.cards.top_ups import GIVE_UP_AFTER
from tests.fakes.clock import ManualClock
from tests.integration.payments.cards.books import AVAILABLE, DEBT, FEES, GATEWAY, LATER, Town, fee
from tests.integration.payments.people import join

KEPT = 10_000 - fee(10_000)


async def test_parts_are_given_back_until_nothing_is_left(town: Town) -> None:
    made = await town.top_up()
    first = await town.refund(made.id, 4_000)
    assert (first.status, first.amount) == ("succeeded", 4_000)
    with pytest.raises(RefundTooLarge) as refusal:
        await town.refund(made.id, 6_001)
    assert refusal.value.members["left"] == 6_000
    rest = await town.refund(made.id)
    assert (rest.status, rest.amount) == ("succeeded", 6_000)
    with pytest.raises(RefundTooLarge):
        await town.refund(made.id)
    await town.hear_all()
    assert await town.books() == {GATEWAY: -fee(10_000), FEES: fee(10_000)}
    assert town.at_company() == -fee(10_000)
    listed = await town.uow.read(lambda tx: refunds_of(tx, town.ada, made.id))
    assert [refund.amount for refund in listed] == [4_000, 6_000]


async def test_the_same_key_gives_back_once_and_another_body_conflicts(town: Town) -> None:
    made = await town.top_up()
    rows = await asyncio.gather(*(town.refund(made.id, 1_000, key="k") for _ in range(5)))
    assert len({row.id for row in rows}) == 1
    with pytest.raises(IdempotencyConflict):
        await town.refund(made.id, 1_001, key="k")
    await town.work()
    assert await town.available() == 9_000
    assert len(town.company.get("/v1/refunds")["data"]) == 1


async def test_many_at_once_never_give_back_more_than_was_paid(town: Town) -> None:
    made = await town.top_up()
    answers = await asyncio.gather(
        *(town.refund(made.id, 3_000, key=f"k{number}") for number in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, RefundTooLarge) for answer in answers) == 3
    await town.work()
    assert await town.available() == 1_000
    assert len(town.company.get("/v1/refunds")["data"]) == 3


async def test_only_what_is_there_and_ones_own_can_be_given_back(town: Town) -> None:
    made = await town.top_up()
    bob = await join(town.uow, "bob")
    ada, town.ada = town.ada, bob
    with pytest.raises(NotFound):
        await town.refund(made.id)
    town.ada = ada
    waiting = await town.top_up(card=None)
    with pytest.raises(TopUpUnsettled):
        await town.refund(waiting.id)
    await town.spend(9_500)
    with pytest.raises(InsufficientFunds):
        await town.refund(made.id, 501)
    assert (await town.refund(made.id, 500)).status == "succeeded"


@pytest.mark.parametrize("result", ["succeeded", "failed"])
async def test_a_refund_that_waits_keeps_the_money_set_aside(town: Town, result: str) -> None:
    made = await town.top_up(card="pm_card_pendingRefund")
    row = await town.refund(made.id, 4_000)
    assert row.status == "pending"
    assert await town.available() == 6_000
    town.company.control("refund", refund=row.gateway_id, status=result)
    await town.hear_all()
    assert await town.available() == (6_000 if result == "succeeded" else 10_000)
    given = 4_000 if result == "succeeded" else 0
    assert (await town.books())[GATEWAY] == KEPT - given == town.at_company()


async def test_a_refund_that_comes_back_after_weeks_is_the_users_again(
    town: Town, clock: ManualClock
) -> None:
    made = await town.top_up(card="pm_card_refundFail")
    row = await town.refund(made.id, 4_000)
    await town.work()
    assert await town.available() == 6_000
    clock.advance(timedelta(days=20))
    town.company.control("refund", refund=row.gateway_id, status="failed")
    await town.hear_all()
    assert await town.available() == 10_000
    assert (await town.books())[GATEWAY] == KEPT == town.at_company()
    # What came back can be given back again.
    assert (await town.refund(made.id, 10_000)).status == "succeeded"


@pytest.mark.parametrize("fault", ["lose_answer", "error_500", "drop", "before_500", "conflict"])
async def test_a_lost_answer_gives_back_once(town: Town, clock: ManualClock, fault: str) -> None:
    made = await town.top_up()
    town.company.control("fault", path="POST /v1/refunds", kind=fault, times=2)
    row = await town.refund(made.id, 4_000, key="k")
    assert row.status == "pending"
    assert await town.available() == 6_000
    for _ in range(3):
        clock.advance(LATER)
        await town.work()
    assert (await town.refund(made.id, 4_000, key="k")).status == "succeeded"
    assert len(town.company.get("/v1/refunds")["data"]) == 1
    assert await town.books() == {
        GATEWAY: KEPT - 4_000,
        AVAILABLE: 6_000,
        FEES: fee(10_000),
    }


async def test_an_answer_lost_for_a_day_is_found_among_the_facts(
    town: Town, clock: ManualClock
) -> None:
    made = await town.top_up()
    town.company.control("fault", path="POST /v1/refunds", kind="lose_answer")
    await town.refund(made.id, 4_000)
    clock.advance(GIVE_UP_AFTER)
    town.company.control("clock", seconds=3 * 86_400)
    await town.work()
    assert len(town.company.get("/v1/refunds")["data"]) == 1
    assert await town.available() == 6_000


async def test_a_gateway_that_was_never_reached_gives_the_money_free_after_a_day(
    town: Town, clock: ManualClock
) -> None:
    made = await town.top_up()
    town.company.control("fault", path="POST /v1/refunds", kind="drop", times=9)
    await town.refund(made.id, 4_000)
    clock.advance(GIVE_UP_AFTER)
    await town.work()
    (row,) = await town.uow.read(lambda tx: refunds_of(tx, town.ada, made.id))
    assert (row.status, row.reason) == ("failed", "gateway_unreachable")
    assert await town.available() == 10_000


async def test_what_the_gateway_refuses_is_free_again_at_once(town: Town) -> None:
    made = await town.top_up()
    charge = town.intent()["latest_charge"]
    assert town.company.post("/v1/refunds", charge=charge, amount="8000").status_code == 200
    row = await town.refund(made.id, 4_000)
    assert (row.status, row.reason) == ("failed", "amount_not_payable")
    assert await town.available() == 10_000, "the hold is released; the other one is not heard of"
    await town.hear_all()
    assert await town.available() == 2_000


async def test_a_refund_by_hand_is_taken_from_the_user_and_the_rest_is_owed(town: Town) -> None:
    made = await town.top_up()
    await town.spend(7_000)
    charge = town.intent()["latest_charge"]
    refund = town.company.post("/v1/refunds", charge=charge, amount="5000").json()
    await town.hear_all()
    await town.hear_all()
    assert await town.available() == 0
    books = await town.books()
    assert (books[DEBT], books[GATEWAY]) == (2_000, KEPT - 5_000)
    with pytest.raises(RefundTooLarge):
        await town.refund(made.id, 5_001)

    town.company.control("refund", refund=refund["id"], status="failed")
    await town.hear_all()
    assert await town.available() == 3_000
    assert (await town.books())[GATEWAY] == KEPT == town.at_company()
    assert DEBT not in await town.books()


async def test_refunds_of_converted_money_balance_in_both_currencies(town: Town) -> None:
    town.company.control("settlement", currency="eur", rate_millionths=20_000)
    made = await town.top_up(100_000, currency="TRY")
    await town.refund(made.id, 30_000)
    await town.work()
    await town.hear_all()
    assert (await town.books("TRY")).get(GATEWAY, 0) == 0
    assert (await town.books("EUR"))[GATEWAY] == town.at_company("eur")
