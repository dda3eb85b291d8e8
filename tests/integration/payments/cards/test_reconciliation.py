"""The company's statement and our mirror of it agree line by line, and what differs is seen."""

from datetime import UTC, datetime, timedelta

from server.ledger import ReconciliationReport
from server.payments.cards.reconciliation import SETTLES_AFTER, reconcile_cards, reconcile_day
from tests.fakes.clock import ManualClock
from tests.integration.payments.cards.books import GATEWAY, SUSPENSE, Town


async def _live(town: Town) -> None:
    """Something of every kind of line."""
    made = await town.top_up(20_000)
    await town.refund(made.id, 4_000)
    await town.top_up(10_000, card="pm_card_createDispute")
    town.company.control("dispute_result", dispute=town.dispute()["id"], result="won")
    back = await town.top_up(10_000, card="pm_card_refundFail")
    row = await town.refund(back.id, 1_000)
    await town.hear_all()
    town.company.control("refund", refund=row.gateway_id, status="failed")
    await town.hear_all()


async def _compared(town: Town) -> dict[str, ReconciliationReport]:
    created = town.events()[0]["created"]
    day = datetime.fromtimestamp(created, UTC).date()
    reports = await reconcile_day(town.uow, town.gateway, day)
    return {report.mirror.asset: report for report in reports}


async def test_every_line_has_its_entry_and_every_entry_its_line(town: Town) -> None:
    await _live(town)
    report = (await _compared(town))["EUR"]
    assert report.sound
    # Three charges, a dispute taken and given back, two refunds, one come back; four fees.
    assert report.matched == report.lines == 12


async def test_a_refund_that_never_arrived_went_and_came_on_both_sides(town: Town) -> None:
    made = await town.top_up(card="pm_card_pendingRefund")
    row = await town.refund(made.id, 4_000)
    town.company.control("refund", refund=row.gateway_id, status="failed")
    await town.hear_all()
    report = (await _compared(town))["EUR"]
    assert report.sound
    assert report.matched == report.lines == 4


async def test_what_is_kept_in_another_currency_is_found_in_both(town: Town) -> None:
    town.company.control("settlement", currency="eur", rate_millionths=20_000)
    made = await town.top_up(100_000, currency="TRY")
    await town.refund(made.id, 30_000)
    await town.top_up(50_000, card="pm_card_createDispute", currency="TRY")
    await town.hear_all()
    reports = await _compared(town)
    assert {currency: report.sound for currency, report in reports.items()} == {
        "EUR": True,
        "TRY": True,
    }


async def test_what_goes_to_our_own_bank_waits_in_suspense_for_the_bank(town: Town) -> None:
    await _live(town)
    form = {"amount": "3000", "currency": "eur"}
    town.company.post("/v1/payouts", **form)
    failed = town.company.post("/v1/payouts", **form).json()
    town.company.control("payout", payout=failed["id"], status="failed")
    assert (await _compared(town))["EUR"].sound
    books = await town.books()
    assert books[GATEWAY] == town.at_company()
    assert books[SUSPENSE] == -3_000


async def test_money_that_nobody_knows_here_is_a_break(town: Town) -> None:
    await _live(town)
    town.company.post(
        "/v1/payment_intents",
        amount="7000",
        currency="eur",
        payment_method="pm_card_visa",
        confirm="true",
    )
    await town.hear_all()
    report = (await _compared(town))["EUR"]
    assert len(report.breaks) == 2, "the charge and its fee"


async def test_the_job_compares_each_day_once_when_it_is_over(
    town: Town, clock: ManualClock
) -> None:
    now = town.company.post("/v1/accounts").json()["created"]
    clock.advance(datetime.fromtimestamp(now, UTC) - clock.now())
    assert await reconcile_cards(town.uow, town.gateway) is None
    await _live(town)
    assert await reconcile_cards(town.uow, town.gateway) is None, "the day is not over"
    clock.advance(timedelta(days=1) + SETTLES_AFTER)
    reports = await reconcile_cards(town.uow, town.gateway)
    assert reports is not None
    assert [report.sound for report in reports] == [True]
    assert await reconcile_cards(town.uow, town.gateway) is None
