"""A card at Stripe is charged once and credited once, whichever way the answer comes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from server.kit.errors import IdempotencyConflict
from server.kit.money import AMOUNT_MAX
from server.payments import GatewayPayment, GatewayUnavailable, resume_top_ups
from server.payments.cards import follow_payments, poll_events, process_events
from server.payments.cards.errors import AmountNotPayable
from server.payments.cards.schemas import TopUpCreate
from server.payments.cards.top_ups import GIVE_UP_AFTER, find_top_up, own_top_up, top_up
from server.payments.limits import LimitExceeded
from tests.fakes.card_company import CardCompany
from tests.fakes.clock import ManualClock
from tests.integration.payments.cards.books import (
    AVAILABLE,
    FEES,
    GATEWAY,
    LATER,
    Town,
    fee,
)


def charged(company: CardCompany) -> int:
    listed = company.get("/v1/charges", limit="100")["data"]
    return sum(charge["status"] == "succeeded" for charge in listed)


async def test_a_card_that_works_credits_the_user_and_the_fee_is_posted(town: Town) -> None:
    made = await town.top_up(10_000)
    assert (made.status, made.reason, made.client_secret) == ("succeeded", None, None)
    assert await town.books() == {GATEWAY: 10_000, AVAILABLE: 10_000}
    await town.work()
    assert await town.books() == {
        GATEWAY: 10_000 - fee(10_000),
        AVAILABLE: 10_000,
        FEES: fee(10_000),
    }
    assert town.at_company() == 10_000 - fee(10_000)


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("pm_card_chargeDeclined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_nobody", "card_unknown"),
    ],
)
async def test_a_declined_card_credits_nothing_and_can_never_be_finished(
    town: Town, card: str, reason: str
) -> None:
    made = await town.top_up(card=card)
    assert (made.status, made.reason) == ("declined", reason)
    listed = town.company.get("/v1/payment_intents")["data"]
    assert {intent["status"] for intent in listed} <= {"canceled"}
    await town.hear_all()
    assert await town.books() == {}


async def test_the_payer_enters_a_card_with_the_client_secret(
    town: Town, clock: ManualClock
) -> None:
    made = await town.top_up(card=None)
    assert made.status == "requires_action"
    assert made.client_secret is not None
    again = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert again.client_secret == made.client_secret

    intent = town.intent()
    answer = town.company.post(
        f"/v1/payment_intents/{intent['id']}/confirm",
        payment_method="pm_card_visa",
        client_secret=made.client_secret,
    )
    assert answer.json()["status"] == "succeeded"
    await town.hear_all()
    after = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert (after.status, after.client_secret) == ("succeeded", None)
    clock.advance(LATER)
    await town.work()
    assert (await town.books())[AVAILABLE] == 10_000


async def test_a_declined_try_of_the_payer_leaves_the_payment_open(town: Town) -> None:
    made = await town.top_up(card=None)
    path = f"/v1/payment_intents/{town.intent()['id']}/confirm"
    declined = town.company.post(path, payment_method="pm_card_chargeDeclined")
    assert declined.status_code == 402
    await town.hear_all()
    open_still = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert (open_still.status, open_still.reason) == ("requires_action", "generic_decline")
    town.company.post(path, payment_method="pm_card_visa")
    await town.hear_all()
    assert await town.available() == 10_000


async def test_a_payment_that_nobody_finishes_is_cancelled_after_a_day(
    town: Town, clock: ManualClock
) -> None:
    made = await town.top_up(card=None)
    clock.advance(GIVE_UP_AFTER)
    await resume_top_ups(town.uow, town.gateway)
    after = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert (after.status, after.reason) == ("declined", "canceled")
    assert town.intent()["status"] == "canceled"


async def test_a_payment_finished_while_it_is_given_up_is_credited(
    town: Town, clock: ManualClock
) -> None:
    made = await town.top_up(card=None)
    clock.advance(GIVE_UP_AFTER)
    cancel = town.gateway.cancel_payment

    async def too_late(gateway_id: str) -> GatewayPayment:
        path = f"/v1/payment_intents/{gateway_id}/confirm"
        await asyncio.to_thread(town.company.post, path, payment_method="pm_card_visa")
        return await cancel(gateway_id)

    town.gateway.cancel_payment = too_late  # type: ignore[method-assign]
    await resume_top_ups(town.uow, town.gateway)
    after = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert after.status == "succeeded"
    assert await town.available() == 10_000


@pytest.mark.parametrize("success", [True, False])
async def test_a_card_that_asks_its_owner_waits_for_the_bank(town: Town, *, success: bool) -> None:
    made = await town.top_up(card="pm_card_threeDSecure2Required")
    assert made.status == "requires_action"
    assert made.client_secret is not None
    town.company.control("bank", payment_intent=town.intent()["id"], success=success)
    await town.hear_all()
    assert await town.available() == (10_000 if success else 0)


@pytest.mark.parametrize("success", [True, False])
async def test_a_slow_payment_is_pending_until_the_bank_answers(
    town: Town, clock: ManualClock, *, success: bool
) -> None:
    made = await town.top_up(card="pm_bank_processing")
    assert made.status == "pending"
    town.company.control("bank", payment_intent=town.intent()["id"], success=success)
    clock.advance(LATER)
    await town.work()
    assert await town.available() == (10_000 if success else 0)
    if not success:
        clock.advance(GIVE_UP_AFTER)
        await town.work()
        row = await town.uow.read(lambda tx: own_top_up(tx, town.ada, made.id))
        assert row.status == "declined"


@pytest.mark.parametrize(
    "fault", ["lose_answer", "error_500", "drop", "before_500", "conflict", "rate_limit"]
)
async def test_a_lost_answer_charges_once(town: Town, clock: ManualClock, fault: str) -> None:
    town.company.control("fault", path="POST /v1/payment_intents", kind=fault, times=2)
    wish = TopUpCreate(amount=10_000, currency="EUR", card="pm_card_visa")
    for _ in range(2):
        lost = await top_up(town.uow, town.gateway, town.ada, wish, key="k")
        assert lost.status == "pending"
    clock.advance(LATER)
    await town.work()
    again = await top_up(town.uow, town.gateway, town.ada, wish, key="k")
    assert again.status == "succeeded"
    assert charged(town.company) == 1
    assert (await town.books())[AVAILABLE] == 10_000


async def test_a_charge_whose_answer_was_lost_for_a_day_is_found_by_its_key(
    town: Town, clock: ManualClock
) -> None:
    town.company.control("fault", path="POST /v1/payment_intents", kind="lose_answer")
    made = await town.top_up()
    assert made.status == "pending"
    clock.advance(GIVE_UP_AFTER + timedelta(hours=9))
    # The company has forgotten the key by now: asking with it again would charge again.
    town.company.control("clock", seconds=3 * 86_400)
    await resume_top_ups(town.uow, town.gateway)
    assert charged(town.company) == 1
    assert await town.available() == 10_000


async def test_many_requests_with_one_key_at_once_charge_once(town: Town) -> None:
    wish = TopUpCreate(amount=10_000, currency="EUR", card="pm_card_visa")
    made = await asyncio.gather(
        *(top_up(town.uow, town.gateway, town.ada, wish, key="k") for _ in range(6))
    )
    assert {each.status for each in made} == {"succeeded"}
    assert charged(town.company) == 1
    assert await town.available() == 10_000
    wish = TopUpCreate(amount=10_001, currency="EUR", card="pm_card_visa")
    with pytest.raises(IdempotencyConflict):
        await top_up(town.uow, town.gateway, town.ada, wish, key="k")


async def test_answer_poll_and_webhooks_at_once_credit_once(town: Town, clock: ManualClock) -> None:
    town.company.control("fault", path="POST /v1/payment_intents", kind="lose_answer")
    made = await town.top_up()
    assert made.status == "pending"
    await town.hear(*town.events(), *town.events()[::-1])
    await process_events(town.uow)
    clock.advance(LATER)
    wish = TopUpCreate(amount=10_000, currency="EUR", card="pm_card_visa")
    await asyncio.gather(
        *(follow_payments(town.uow, town.gateway) for _ in range(3)),
        *(resume_top_ups(town.uow, town.gateway) for _ in range(3)),
        *(top_up(town.uow, town.gateway, town.ada, wish, key="top-up 1") for _ in range(3)),
    )
    await town.work()
    assert (await town.books())[AVAILABLE] == 10_000


async def test_the_company_is_restarted_and_remembers(town: Town) -> None:
    await town.top_up()
    # In this thread: the process would die with the one that started it.
    town.company.restart()
    await town.work()
    assert (await town.books())[FEES] == fee(10_000)


async def test_lost_webhooks_are_made_up_for_by_reading_the_list(
    town: Town, clock: ManualClock
) -> None:
    assert await poll_events(town.uow, town.gateway) == 0
    made = await town.top_up(card=None)
    path = f"/v1/payment_intents/{town.intent()['id']}/confirm"
    town.company.post(path, payment_method="pm_card_visa")
    assert await poll_events(town.uow, town.gateway) is None, "not before its time"
    clock.advance(LATER)
    assert (await poll_events(town.uow, town.gateway) or 0) > 0
    await process_events(town.uow)
    await follow_payments(town.uow, town.gateway)
    after = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert after.status == "succeeded"
    clock.advance(LATER)
    assert await poll_events(town.uow, town.gateway) == 0, "what is known is not new"


async def test_a_long_absence_is_made_up_for_hour_by_hour(town: Town, clock: ManualClock) -> None:
    created = town.company.post("/v1/accounts").json()["created"]
    clock.advance(
        datetime.fromtimestamp(created, UTC) - clock.now() - timedelta(hours=3, minutes=30)
    )
    assert await poll_events(town.uow, town.gateway) == 0
    clock.advance(timedelta(hours=3, minutes=40))
    await town.top_up(card=None)
    path = f"/v1/payment_intents/{town.intent()['id']}/confirm"
    town.company.post(path, payment_method="pm_card_visa")
    new = [await poll_events(town.uow, town.gateway) for _ in range(5)]
    assert new[:3] == [0, 0, 0]
    assert (new[3] or 0) > 0
    assert new[4] is None
    await town.work()
    assert await town.available() == 10_000


async def test_a_gateway_that_is_down_is_not_asked_about_everybody(
    town: Town, clock: ManualClock
) -> None:
    for _ in range(6):
        await town.top_up(card=None)
    asked = 0

    async def down(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise GatewayUnavailable("down")

    town.gateway.find_payment = down  # type: ignore[method-assign]
    clock.advance(LATER)
    assert await resume_top_ups(town.uow, town.gateway) == 0
    assert asked == 3


async def test_amounts_that_the_company_cannot_take_are_refused_and_not_counted(
    town: Town,
) -> None:
    for amount, currency in ((1, "EUR"), (1_001, "BHD")):
        with pytest.raises(AmountNotPayable):
            await town.top_up(amount, currency=currency)
    with pytest.raises(LimitExceeded):
        await town.top_up(5_000_001)
    # The whole limit is still there.
    assert (await town.top_up(5_000_000)).status == "succeeded"
    assert AMOUNT_MAX > 5_000_000


async def test_a_currency_that_is_written_in_hundredths_keeps_its_amount(town: Town) -> None:
    await town.top_up(20_000, currency="UGX")
    assert town.intent()["amount"] == 2_000_000
    await town.work()
    assert (await town.books("UGX"))[AVAILABLE] == 20_000


async def test_money_kept_in_another_currency_balances_in_both(town: Town) -> None:
    town.company.control("settlement", currency="eur", rate_millionths=20_000)
    await town.top_up(100_000, currency="TRY")
    await town.work()
    lira, euro = await town.books("TRY"), await town.books("EUR")
    assert lira.get(GATEWAY, 0) == 0, "the company keeps no lira for us"
    assert lira[AVAILABLE] == 100_000
    assert euro[GATEWAY] == town.at_company("eur")
    assert euro[FEES] == fee(100_000) // 50
