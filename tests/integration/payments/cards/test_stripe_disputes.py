"""A contested payment: set aside, given back when it is won, paid for when it is lost."""

import pytest

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.payments.cards import collect_card_debts
from server.payments.cards.errors import RefundTooLarge
from server.payments.cards.queries import debts_of, disputes_of, write_off
from server.payments.cards.schemas import DebtWriteOff
from tests.integration.payments.cards.books import (
    AVAILABLE,
    DEBT,
    DISPUTED,
    FEES,
    GATEWAY,
    LOSS,
    Town,
    fee,
)

DISPUTE_FEE = 1_500
ALL_FEES = fee(10_000) + DISPUTE_FEE


async def _contested(town: Town, spent: int = 0) -> str:
    """Ada adds 100.00, perhaps spends, and her bank takes the payment back."""
    made = await town.top_up()
    if spent:
        await town.spend(spent)
    charge = town.intent()["latest_charge"]
    dispute = town.company.control("dispute", charge=charge)
    await town.hear_all()
    assert made.status == "succeeded"
    return str(dispute["id"])


async def _decide(town: Town, dispute: str, result: str) -> None:
    town.company.control("dispute_result", dispute=dispute, result=result)
    await town.hear_all()


async def test_an_open_dispute_sets_the_money_aside(town: Town) -> None:
    await _contested(town)
    assert await town.available() == 0
    assert await town.books() == {
        GATEWAY: -ALL_FEES,
        DISPUTED: 10_000,
        AVAILABLE: 10_000,
        FEES: ALL_FEES,
    }
    (seen,) = await town.uow.read(lambda tx: disputes_of(tx, 1, town.ada.user_id))
    assert (seen.status, seen.held, seen.reason) == ("open", 10_000, "fraudulent")
    assert seen.evidence_due_by is not None
    assert await town.uow.read(lambda tx: disputes_of(tx, 2)) == []


async def test_a_dispute_that_is_won_changes_nothing_but_fees(town: Town) -> None:
    await _decide(town, await _contested(town), "won")
    assert await town.available() == 10_000
    assert await town.books() == {
        GATEWAY: 10_000 - ALL_FEES,
        AVAILABLE: 10_000,
        FEES: ALL_FEES,
    }
    assert town.at_company() == 10_000 - ALL_FEES


async def test_a_dispute_that_is_lost_is_paid_by_what_was_set_aside(town: Town) -> None:
    await _decide(town, await _contested(town), "lost")
    assert await town.books() == {GATEWAY: -ALL_FEES, FEES: ALL_FEES}


async def test_what_is_not_there_any_more_is_owed_and_collected(town: Town) -> None:
    dispute = await _contested(town, spent=7_000)
    assert await town.available() == 0
    (owed,) = await town.uow.read(lambda tx: debts_of(tx, 1, town.ada.user_id))
    assert (owed.owed, owed.short) == (0, 7_000)
    await town.receive(1_000)
    assert await collect_card_debts(town.uow) == 1
    assert await town.available() == 0, "an open dispute takes what comes in as well"

    await _decide(town, dispute, "lost")
    assert (await town.books())[DEBT] == 6_000
    await town.receive(2_500, number=3)
    await collect_card_debts(town.uow)
    assert await town.available() == 0
    assert (await town.books())[DEBT] == 3_500
    await town.receive(5_000, number=4)
    await collect_card_debts(town.uow)
    assert await town.available() == 1_500
    assert DEBT not in await town.books()
    assert await collect_card_debts(town.uow) == 0


async def test_a_debt_is_paid_from_what_an_open_dispute_has_set_aside(town: Town) -> None:
    """As if the loss had been known first: who owes has nothing set aside for anything else."""
    await town.top_up(card="pm_card_createDispute")
    await town.hear_all()
    await town.top_up()
    await town.spend(9_000)
    town.company.control("dispute", charge=town.intent()["latest_charge"])
    await town.hear_all()
    first, second = town.dispute(1)["id"], town.dispute(0)["id"]
    held = {seen.id: seen.held for seen in await town.uow.read(lambda tx: disputes_of(tx, 1))}
    assert held == {first: 10_000, second: 1_000}
    await _decide(town, second, "lost")
    held = {seen.id: seen.held for seen in await town.uow.read(lambda tx: disputes_of(tx, 1))}
    assert held == {first: 1_000, second: 0}
    assert DEBT not in await town.books()
    (short,) = await town.uow.read(lambda tx: debts_of(tx, 1))
    assert (short.owed, short.short) == (0, 9_000)


async def test_a_loss_that_an_appeal_turns_gives_everything_back(town: Town) -> None:
    dispute = await _contested(town, spent=7_000)
    await _decide(town, dispute, "lost")
    assert (await town.books())[DEBT] == 7_000
    await _decide(town, dispute, "won")
    assert await town.available() == 3_000
    books = await town.books()
    assert DEBT not in books
    assert DISPUTED not in books
    assert books[GATEWAY] == 10_000 - ALL_FEES == town.at_company()


async def test_a_debt_that_is_given_up_is_the_houses_loss(town: Town) -> None:
    await _decide(town, await _contested(town, spent=7_000), "lost")
    officer = Caller(
        tenant=1, user_id=town.ada.session_id, session_id=town.ada.session_id, role="risk"
    )
    wish = DebtWriteOff(user_id=town.ada.user_id, currency="EUR", reason="not to be found")
    for _ in range(2):
        left = await town.uow.run(lambda tx: write_off(tx, officer, wish, key="k"))
        assert left.owed == 0
    assert (await town.books())[LOSS] == 7_000
    with pytest.raises(NotFound):
        await town.uow.run(lambda tx: write_off(tx, officer, wish, key="another"))


async def test_a_question_of_the_bank_takes_no_money(town: Town) -> None:
    made = await town.top_up(card="pm_card_createDisputeInquiry")
    await town.hear_all()
    assert await town.available() == 10_000
    await _decide(town, town.dispute()["id"], "warning_closed")
    assert await town.available() == 10_000
    assert DISPUTED not in await town.books()
    assert (await town.refund(made.id)).status == "succeeded"


async def test_what_is_contested_cannot_be_given_back_too(town: Town) -> None:
    made = await town.top_up(card="pm_card_createDispute")
    await town.hear_all()
    with pytest.raises(RefundTooLarge):
        await town.refund(made.id, 1)


async def test_a_refund_that_is_on_its_way_meets_a_dispute(town: Town) -> None:
    made = await town.top_up(card="pm_card_pendingRefund")
    row = await town.refund(made.id, 4_000)
    dispute = town.company.control("dispute", charge=town.intent()["latest_charge"], amount=6_000)
    await town.hear_all()
    assert await town.available() == 0
    town.company.control("refund", refund=row.gateway_id, status="failed")
    await _decide(town, dispute["id"], "lost")
    assert await town.available() == 4_000
    assert (await town.books())[GATEWAY] == town.at_company()


async def test_disputes_of_converted_money_balance_in_both_currencies(town: Town) -> None:
    town.company.control("settlement", currency="eur", rate_millionths=20_000)
    await town.top_up(100_000, card="pm_card_createDispute", currency="TRY")
    await town.hear_all()
    assert (await town.books("TRY"))[DISPUTED] == 100_000
    assert (await town.books("EUR"))[GATEWAY] == town.at_company("eur")
    await _decide(town, town.dispute()["id"], "won")
    lira = await town.books("TRY")
    assert (lira.get(DISPUTED, 0), lira.get(GATEWAY, 0), lira[AVAILABLE]) == (0, 0, 100_000)
    assert (await town.books("EUR"))[GATEWAY] == town.at_company("eur")
