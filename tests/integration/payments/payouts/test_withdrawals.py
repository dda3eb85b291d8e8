"""Withdrawals step by step: what is asked for, what moves, what never happens twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import select

from server.kit.auth import Caller
from server.kit.errors import IdempotencyConflict, NotFound
from server.kit.money import UnknownCurrency
from server.kit.outbox import OutboxRow
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflows import RunState, WorkflowFailed, WorkflowPlace, prepare_books
from server.ledger import InsufficientFunds
from server.payments.limits import LimitKind, LimitUse, use_limits
from server.payments.payouts import (
    PayoutAnswer,
    PayoutDesk,
    PayoutOrder,
    PayoutStatus,
    RailUnavailable,
    apply_answer,
    book_return,
    keep_withdrawals,
    withdrawal_workflow,
)
from server.payments.payouts.carrying import WORKFLOW, workflow_key
from server.payments.payouts.domain import Terms
from server.payments.payouts.errors import (
    WithdrawalSent,
    WithdrawalTooLarge,
    WithdrawalTooSmall,
    WithdrawalUnavailable,
)
from server.payments.payouts.schemas import WithdrawalView
from server.payments.payouts.terms import all_terms, set_terms, terms_of
from server.payments.payouts.views import withdrawal_view
from server.payments.payouts.withdrawals import (
    cancel_withdrawal,
    find_withdrawal,
    own_withdrawals,
    request_withdrawal,
)
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.fakes.http_rail import BankProcess, HttpRail, bank_process
from tests.fakes.runs import PlainRun
from tests.integration.payments.payouts.people import (
    FOREIGN,
    desk_of,
    rich,
    shown,
    wish,
)

FEE = 50
PAID = PayoutAnswer(PayoutStatus.PAID, "OUT-1")
REFUSED = PayoutAnswer(PayoutStatus.REFUSED, None, "account_closed")
ACCEPTED = PayoutAnswer(PayoutStatus.ACCEPTED, "OUT-1")


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path) as process:
        yield process


@pytest.fixture
async def desk(uow: UnitOfWork, database: Database, bank: BankProcess) -> AsyncIterator[PayoutDesk]:
    desk = desk_of(uow, database.url, {"http": HttpRail(bank.url)})
    yield desk
    await desk.book.close()


async def carry(desk: PayoutDesk, view: WithdrawalView) -> tuple[str, PlainRun]:
    run = PlainRun()
    return await withdrawal_workflow(desk).body(run, workflow_key(1, view.id)), run


async def look(desk: PayoutDesk, caller: Caller, view: WithdrawalView) -> WithdrawalView:
    row = await desk.uow.read(lambda tx: find_withdrawal(tx, caller, view.id))
    return withdrawal_view(row)


async def told(uow: UnitOfWork) -> list[str]:
    async def query(tx: Tx) -> list[str]:
        kinds = await tx.session.scalars(select(OutboxRow.type).order_by(OutboxRow.place))
        return list(kinds)

    return [kind for kind in await uow.read(query) if kind.startswith("withdrawal.")]


@pytest.mark.parametrize(
    ("amount", "ending", "steps"),
    [
        (2_502, "paid", ["begin", "call", "note"]),
        (2_500, "paid", ["begin", "call", "note", "call", "note", "call", "note"]),
        (2_503, "paid", ["begin", "call", "call", "note"]),
        (2_504, "paid", ["begin", "call", "call", "call", "note"]),
        (2_501, "refused", ["begin", "call", "note", "call", "note"]),
    ],
)
async def test_it_is_carried_to_its_end(
    desk: PayoutDesk, bank: BankProcess, amount: int, ending: str, steps: list[str]
) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(amount), key="k")
    assert (view.state, view.fee, view.total) == ("requested", FEE, amount + FEE)
    assert await shown(desk.uow, ada) == (100_000, amount + FEE, 100_000, 0)
    word, run = await carry(desk, view)
    assert (word, run.steps) == (ending, steps)
    assert bank.orders()[view.id]["effects"] == 1
    out = amount if ending == "paid" else 0
    fee = FEE if ending == "paid" else 0
    assert await shown(desk.uow, ada) == (100_000 - out - fee, 0, 100_000 - out, fee)
    after = await look(desk, ada, view)
    assert (after.state, after.can_cancel, after.needs_attention) == (ending, False, False)
    assert after.reason == (None if ending == "paid" else "account_closed")
    assert (await told(desk.uow))[0] == "withdrawal.requested"
    assert (await told(desk.uow))[-1] == f"withdrawal.{ending}"
    again, rerun = await carry(desk, view)
    assert (again, rerun.steps) == (ending, ["begin"])


async def test_the_same_key_is_the_same_withdrawal_and_another_wish_a_conflict(
    desk: PayoutDesk,
) -> None:
    ada = await rich(desk.uow)
    first, second = await asyncio.gather(
        request_withdrawal(desk, ada, wish(), key="k"),
        request_withdrawal(desk, ada, wish(), key="k"),
    )
    assert first.id == second.id
    assert await shown(desk.uow, ada) == (100_000, 2_500 + FEE, 100_000, 0)
    with pytest.raises(IdempotencyConflict):
        await request_withdrawal(desk, ada, wish(2_600), key="k")


async def test_sixteen_at_once_take_no_more_than_there_is(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow, 3 * (2_500 + FEE) + 2_549)
    answers = await asyncio.gather(
        *(request_withdrawal(desk, ada, wish(), key=str(n)) for n in range(16)),
        return_exceptions=True,
    )
    taken = [answer for answer in answers if isinstance(answer, WithdrawalView)]
    refused = [answer for answer in answers if isinstance(answer, InsufficientFunds)]
    assert (len(taken), len(refused)) == (3, 13)
    assert (await shown(desk.uow, ada))[1] == 3 * (2_500 + FEE)


async def test_the_fee_has_to_be_there_as_well_and_nothing_is_kept_of_a_refusal(
    desk: PayoutDesk,
) -> None:
    ada = await rich(desk.uow, 2_500 + FEE - 1)
    with pytest.raises(InsufficientFunds):
        await request_withdrawal(desk, ada, wish(), key="k")
    page = await desk.uow.read(lambda tx: own_withdrawals(tx, ada, cursor=None, limit=5))
    assert (page.items, await told(desk.uow)) == ([], [])
    assert (await shown(desk.uow, ada))[1] == 0


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (wish(999), WithdrawalTooSmall),
        (wish(500_001), WithdrawalTooLarge),
        (wish(currency="USD"), WithdrawalUnavailable),
        (wish(currency="XXX"), UnknownCurrency),
        (wish(account=FOREIGN), NotFound),
    ],
)
async def test_what_cannot_be_is_refused_before_anything_is_held(
    desk: PayoutDesk, bad: object, error: type[Exception]
) -> None:
    ada = await rich(desk.uow, 10_000_000)
    with pytest.raises(error):
        await request_withdrawal(desk, ada, bad, key="k")  # type: ignore[arg-type]
    assert (await shown(desk.uow, ada))[1] == 0


class Undone(Exception):
    """Rolls a transaction back and carries what was learnt in it."""


async def test_a_limit_counts_what_is_withdrawn_and_gives_back_what_was_not(
    desk: PayoutDesk,
) -> None:
    ada = await rich(desk.uow, 10_000_000)

    async def fits(amount: int) -> bool:
        async def probe(tx: Tx) -> None:
            use = LimitUse(ada.user_id, LimitKind.WITHDRAWAL, "EUR", amount)
            (refusal,) = await use_limits(tx, 1, [use])
            raise Undone(refusal is None)

        try:
            await desk.uow.run(probe)
        except Undone as undone:
            return bool(undone.args[0])
        raise AssertionError

    async def room() -> int:
        """Return the largest further use that the limits allow, by halving."""
        low, high = 0, 10_000_000
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if await fits(middle) else (low, middle - 1)
        return low

    before = await room()
    assert 0 < before < 10_000_000
    view = await request_withdrawal(desk, ada, wish(), key="k")
    assert await room() == before - 2_500
    await desk.uow.run(lambda tx: cancel_withdrawal(tx, ada, view.id))
    assert await room() == before


async def test_cancelling_gives_all_back_until_it_began_to_be_sent(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    assert view.can_cancel
    for _ in range(2):
        after = await desk.uow.run(lambda tx: cancel_withdrawal(tx, ada, view.id))
        assert after.state == "cancelled"
    assert await shown(desk.uow, ada) == (100_000, 0, 100_000, 0)
    word, run = await carry(desk, view)
    assert (word, run.steps) == ("cancelled", ["begin"])
    other = await request_withdrawal(desk, ada, wish(2_502), key="other")
    await carry(desk, other)
    with pytest.raises(WithdrawalSent):
        await desk.uow.run(lambda tx: cancel_withdrawal(tx, ada, other.id))


async def test_cancelling_and_sending_race_and_one_of_them_wins(
    desk: PayoutDesk, bank: BankProcess
) -> None:
    ada = await rich(desk.uow)
    for number in range(8):
        view = await request_withdrawal(desk, ada, wish(2_502), key=str(number))
        cancelled, carried = await asyncio.gather(
            desk.uow.run(lambda tx, view=view: cancel_withdrawal(tx, ada, view.id)),  # type: ignore[misc]
            carry(desk, view),
            return_exceptions=True,
        )
        if isinstance(cancelled, WithdrawalSent):
            assert cast("tuple[str, PlainRun]", carried)[0] == "paid"
        else:
            assert cast("tuple[str, PlainRun]", carried)[0] == "cancelled"
        assert (view.id in bank.orders()) is isinstance(cancelled, WithdrawalSent)
    sent = len(bank.orders())
    assert await shown(desk.uow, ada) == (
        100_000 - sent * (2_502 + FEE),
        0,
        100_000 - sent * 2_502,
        sent * FEE,
    )


async def test_nobody_sees_or_cancels_what_is_somebody_elses(desk: PayoutDesk) -> None:
    ada, eve = await rich(desk.uow), await rich(desk.uow, name="eve")
    view = await request_withdrawal(desk, ada, wish(), key="k")
    with pytest.raises(NotFound):
        await look(desk, eve, view)
    with pytest.raises(NotFound):
        await desk.uow.run(lambda tx: cancel_withdrawal(tx, eve, view.id))


async def test_pages_have_everything_once_newest_first(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    made = [(await request_withdrawal(desk, ada, wish(), key=str(n))).id for n in range(5)]
    seen, cursor = [], None
    while True:
        page = await desk.uow.read(
            lambda tx, cursor=cursor: own_withdrawals(tx, ada, cursor=cursor, limit=2)  # type: ignore[misc]
        )
        seen += [item.id for item in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == made[::-1]


async def test_a_final_answer_settles_once_whoever_hears_it(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    for answer in (ACCEPTED, PAID, PAID, REFUSED, ACCEPTED):
        await desk.uow.run(lambda tx, answer=answer: apply_answer(tx, 1, view.id, answer))  # type: ignore[misc]
    assert (await look(desk, ada, view)).state == "paid"
    assert await shown(desk.uow, ada) == (100_000 - 2_500 - FEE, 0, 97_500, FEE)
    assert await told(desk.uow) == ["withdrawal.requested", "withdrawal.sent", "withdrawal.paid"]
    word, run = await carry(desk, view)
    assert (word, run.steps) == ("paid", ["begin"])


async def test_what_comes_back_is_credited_once_and_the_fee_stays(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    await desk.uow.run(lambda tx: apply_answer(tx, 1, view.id, PAID))
    for _ in range(2):
        await desk.uow.run(
            lambda tx: book_return(tx, 1, view.id, external_id="IN-1", reason="wrong_name")
        )
    after = await look(desk, ada, view)
    assert (after.state, after.reason) == ("returned", "wrong_name")
    assert [step.what[:12] for step in after.steps][-1] == "The bank sen"
    assert await shown(desk.uow, ada) == (100_000 - FEE, 0, 100_000, FEE)


async def test_a_return_that_overtakes_the_payment_books_both(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    await desk.uow.run(lambda tx: book_return(tx, 1, view.id, external_id="IN-1", reason=None))
    await desk.uow.run(lambda tx: apply_answer(tx, 1, view.id, PAID))
    assert (await look(desk, ada, view)).state == "returned"
    assert await shown(desk.uow, ada) == (100_000 - FEE, 0, 100_000, FEE)


async def test_a_return_of_what_was_never_paid_credits_nobody(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    await desk.uow.run(lambda tx: apply_answer(tx, 1, view.id, REFUSED))
    await desk.uow.run(lambda tx: book_return(tx, 1, view.id, external_id="IN-1", reason=None))
    assert (await look(desk, ada, view)).state == "refused"
    assert await shown(desk.uow, ada) == (100_000, 0, 100_000, 0)


async def test_a_bank_that_never_answers_makes_a_dead_letter_and_holds_the_money(
    desk: PayoutDesk, bank: BankProcess
) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(2_505), key="k")
    workflow = withdrawal_workflow(desk)
    with pytest.raises(WorkflowFailed, match="no usable answer to 6 calls"):
        await carry(desk, view)
    assert workflow.failed is not None
    await workflow.failed(workflow_key(1, view.id), "no usable answer")
    after = await look(desk, ada, view)
    assert (after.state, after.needs_attention, after.can_cancel) == ("sending", True, False)
    assert (await shown(desk.uow, ada))[1] == 2_505 + FEE
    assert bank.orders() == {}


async def test_a_rail_that_breaks_its_promise_of_errors_is_not_paid_twice(
    desk: PayoutDesk,
) -> None:
    class Rude:
        name = "http"
        sent = 0

        async def send(self, order: PayoutOrder) -> PayoutAnswer:  # noqa: ARG002
            self.sent += 1
            raise ZeroDivisionError

        async def find(self, order: PayoutOrder) -> PayoutAnswer | None:  # noqa: ARG002
            if self.sent:
                raise RailUnavailable("closed")
            return None

    rude = Rude()
    other = desk_of(desk.uow, desk.book._place.url, {"http": rude})
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    with pytest.raises(ZeroDivisionError):
        await carry(other, view)
    with pytest.raises(WorkflowFailed):
        await carry(other, view)
    assert rude.sent == 1


async def test_what_was_not_started_is_started_by_the_background_job(
    desk: PayoutDesk, database: Database, clock: ManualClock
) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    assert view.state == "requested"  # although there are no books to start it in
    place = WorkflowPlace.beside(database.url)
    clock.advance(timedelta(seconds=11))
    assert await keep_withdrawals(desk) == 0
    await asyncio.to_thread(prepare_books, place)
    clock.advance(timedelta(seconds=11))
    assert await keep_withdrawals(desk) == 1
    found = await desk.book.find(WORKFLOW, workflow_key(1, view.id))
    assert found is not None
    assert found.state is RunState.WAITING
    assert await keep_withdrawals(desk) == 0


async def test_terms_can_be_set_and_hold_for_what_comes_after(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    before = await request_withdrawal(desk, ada, wish(), key="before")
    await desk.uow.run(lambda tx: set_terms(tx, 1, Terms("EUR", 2_000, 3_000, 7)))
    await desk.uow.run(lambda tx: set_terms(tx, 1, Terms("EUR", 2_000, 4_000, 0)))
    assert (await desk.uow.read(lambda tx: terms_of(tx, 1, "EUR"))).maximum == 4_000
    assert (await desk.uow.read(lambda tx: all_terms(tx, 2)))["EUR"].fee == FEE
    free = await request_withdrawal(desk, ada, wish(2_502), key="after")
    assert (before.fee, free.fee) == (FEE, 0)
    assert (await carry(desk, free))[0] == "paid"
    assert await shown(desk.uow, ada) == (100_000 - 2_502, 2_500 + FEE, 100_000 - 2_502, 0)
