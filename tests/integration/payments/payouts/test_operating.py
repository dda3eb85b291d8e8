"""Giving a stuck withdrawal up: the money comes back only when nothing was, or will be, paid."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from server.kit.auth import Caller
from server.kit.errors import InvalidRequest, NotFound
from server.kit.unit_of_work import UnitOfWork
from server.kit.workflows import WorkflowFailed, WorkflowRunning
from server.payments.payouts import PayoutDesk, PayoutOrder, RailUnavailable, withdrawal_workflow
from server.payments.payouts.carrying import WORKFLOW, count_call, workflow_key
from server.payments.payouts.errors import PayoutUnderWay, SecondPersonNeeded, WithdrawalDone
from server.payments.payouts.operating import give_up, stuck_withdrawals
from server.payments.payouts.rail import PayoutAnswer
from server.payments.payouts.withdrawals import request_withdrawal
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.fakes.http_rail import BankProcess, HttpRail, bank_process
from tests.fakes.runs import PlainRun
from tests.integration.payments.payouts.people import FAST, desk_of, rich, shown, wish

ZOE, YAN = UUID(int=1), UUID(int=2)
WHY = "the bank said so"
LATER = FAST.quiet + timedelta(seconds=1)


class Deaf(HttpRail):
    """Sends, and hears nothing from then on."""

    deaf = True
    has_sent = False

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        self.has_sent = True
        answer = await super().send(order)
        if self.deaf:
            raise RailUnavailable("the answer was lost")
        return answer

    async def find(self, order: PayoutOrder) -> PayoutAnswer | None:
        if self.deaf and self.has_sent:
            raise RailUnavailable("no answer")
        return await super().find(order)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path) as process:
        yield process


@pytest.fixture
def rail(bank: BankProcess) -> Deaf:
    return Deaf(bank.url)


@pytest.fixture
async def desk(uow: UnitOfWork, database: Database, rail: Deaf) -> AsyncIterator[PayoutDesk]:
    desk = desk_of(uow, database.url, {"http": rail})
    yield desk
    await desk.book.close()


async def stick(desk: PayoutDesk, amount: int) -> tuple[Caller, str]:
    """Return somebody with a withdrawal whose workflow gave up, and its key."""
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(amount), key="k")
    key, workflow = workflow_key(1, view.id), withdrawal_workflow(desk)
    with pytest.raises(WorkflowFailed) as failure:
        await workflow.body(PlainRun(), key)
    assert workflow.failed is not None
    await workflow.failed(key, str(failure.value))
    return ada, key


async def test_what_the_bank_never_saw_is_given_back(
    desk: PayoutDesk, rail: Deaf, clock: ManualClock
) -> None:
    ada, key = await stick(desk, 2_505)
    (stuck,) = await desk.uow.read(lambda tx: stuck_withdrawals(tx, 1))
    assert stuck.stuck_reason == "no usable answer to 6 calls in a row"
    with pytest.raises(PayoutUnderWay):
        await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    clock.advance(LATER)
    rail.deaf = False
    outcome, row = await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    assert (outcome, row.state, row.reason) == ("given_back", "refused", "given_up")
    assert await shown(desk.uow, ada) == (100_000, 0, 100_000, 0)
    assert await desk.uow.read(lambda tx: stuck_withdrawals(tx, 1)) == []
    assert await desk.uow.run(lambda tx: count_call(tx, 1, row.id)) is None
    with pytest.raises(WithdrawalDone):
        await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)


async def test_what_the_bank_paid_is_booked_as_paid(
    desk: PayoutDesk, rail: Deaf, clock: ManualClock, bank: BankProcess
) -> None:
    ada, key = await stick(desk, 2_502)
    clock.advance(LATER)
    rail.deaf = False
    outcome, row = await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    assert (outcome, row.state) == ("paid", "paid")
    assert bank.orders()[row.id]["effects"] == 1
    assert await shown(desk.uow, ada) == (100_000 - 2_502 - 50, 0, 100_000 - 2_502, 50)


async def test_what_the_bank_still_has_is_not_given_up(
    desk: PayoutDesk, rail: Deaf, clock: ManualClock
) -> None:
    ada, key = await stick(desk, 2_506)
    clock.advance(LATER)
    rail.deaf = False
    with pytest.raises(PayoutUnderWay):
        await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    assert (await shown(desk.uow, ada))[1] == 2_506 + 50


async def test_where_the_bank_cannot_say_two_people_agree(
    desk: PayoutDesk, clock: ManualClock
) -> None:
    ada, key = await stick(desk, 2_502)
    clock.advance(LATER)
    outcome, row = await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    assert (outcome, row.state, row.given_up_by) == ("proposed", "sending", ZOE)
    with pytest.raises(SecondPersonNeeded):
        await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    assert (await shown(desk.uow, ada))[1] == 2_502 + 50
    outcome, row = await give_up(desk, WORKFLOW, key, by=YAN, reason=WHY)
    assert (outcome, row.state) == ("given_back", "refused")
    assert await shown(desk.uow, ada) == (100_000, 0, 100_000, 0)


async def test_a_proposal_ends_when_somebody_tries_again(
    desk: PayoutDesk, rail: Deaf, clock: ManualClock
) -> None:
    _, key = await stick(desk, 2_500)
    clock.advance(LATER)
    await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    rail.deaf = False
    assert await withdrawal_workflow(desk).body(PlainRun(), key) == "paid"


async def test_a_call_that_begins_meanwhile_stops_it(
    desk: PayoutDesk, clock: ManualClock, rail: Deaf
) -> None:
    """Between asking the bank and giving back, somebody replays the workflow."""
    ada, key = await stick(desk, 2_505)
    clock.advance(LATER)
    desk_seen = desk
    number = UUID(key.partition(".")[2])

    class Slow(Deaf):
        async def find(self, order: PayoutOrder) -> PayoutAnswer | None:  # noqa: ARG002
            await desk_seen.uow.run(lambda tx: count_call(tx, 1, number))
            clock.advance(LATER)
            return None

    racing = desk_of(desk.uow, desk.book._place.url, {"http": Slow(rail.url)})
    with pytest.raises(PayoutUnderWay, match="began to send"):
        await give_up(racing, WORKFLOW, key, by=ZOE, reason=WHY)
    assert (await shown(desk.uow, ada))[1] == 2_505 + 50


async def test_only_what_is_stuck_and_ours_can_be_given_up(desk: PayoutDesk) -> None:
    ada = await rich(desk.uow)
    view = await request_withdrawal(desk, ada, wish(), key="k")
    key = workflow_key(1, view.id)
    with pytest.raises(WorkflowRunning):
        await give_up(desk, WORKFLOW, key, by=ZOE, reason=WHY)
    with pytest.raises(InvalidRequest):
        await give_up(desk, "something", key, by=ZOE, reason=WHY)
    for wrong in ("", "1", f"2.{view.id}", f"1.{UUID(int=9)}", f"+1.{view.id}", "1.x"):
        with pytest.raises(NotFound):
            await give_up(desk, WORKFLOW, wrong, by=ZOE, reason=WHY)
