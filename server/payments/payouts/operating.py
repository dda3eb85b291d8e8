"""What an operator does about workflows that failed beyond their retries.

Replaying is harmless: every step may be repeated. Giving a withdrawal up asks the rail first, and
gives the money back only when the rail has never seen the order or refused it. Where the rail
cannot say, two people have to agree, since then money may go out twice.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import select

from server.kit.errors import InvalidRequest, NotFound
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.kit.workflows import (
    RunView,
    StepView,
    WorkflowRunning,
    WorkflowsUnavailable,
)
from server.payments.payouts.carrying import WORKFLOW, order_of, read_key, workflow_key
from server.payments.payouts.desk import PayoutDesk
from server.payments.payouts.domain import WithdrawalState
from server.payments.payouts.errors import PayoutUnderWay, SecondPersonNeeded, WithdrawalDone
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.rail import PayoutAnswer, PayoutStatus, RailUnavailable
from server.payments.payouts.settlement import apply_answer, end_unpaid, locked_withdrawal

COMMAND_LINE: Final = UUID(int=0)
"""Whoever has the server's command line; for two people it counts as one."""
GIVEN_UP: Final = "given_up"
Outcome = Literal["paid", "given_back", "proposed"]
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A workflow, its steps, and the withdrawal that it is about, if it is about one."""

    run: RunView
    steps: list[StepView]
    withdrawal: WithdrawalRow | None


async def show_workflow(desk: PayoutDesk, workflow: str, key: str) -> DeadLetter:
    """Return a workflow, dead or not.

    Raises:
        NotFound: it was never started.
    """
    found = await desk.book.find(workflow, key)
    if found is None:
        raise NotFound("There is no workflow with this key.")
    row = None
    if workflow == WORKFLOW:
        tenant, identifier = _read(desk, key)
        row = await desk.uow.read(lambda tx: tx.session.get(WithdrawalRow, (tenant, identifier)))
    return DeadLetter(found, await desk.book.steps(workflow, key), row)


async def replay_workflow(desk: PayoutDesk, workflow: str, key: str, *, by: UUID) -> None:
    """Run a dead workflow again.

    Raises:
        NotFound: it was never started.
        WorkflowRunning: it is not dead.
    """
    await desk.book.replay(workflow, key)
    _log.info("workflow_replayed", workflow=workflow, key=key, by=str(by))


async def give_up(
    desk: PayoutDesk, workflow: str, key: str, *, by: UUID, reason: str
) -> tuple[Outcome, WithdrawalRow]:
    """Stop trying to pay a stuck withdrawal, and give the money back if nothing was paid.

    Raises:
        NotFound: there is no such withdrawal.
        WithdrawalDone: it has ended.
        WorkflowRunning: it is not stuck; let it go on.
        PayoutUnderWay: the rail has the order, or somebody may still be sending it.
        SecondPersonNeeded: the rail cannot say, and the same person proposed it.
    """
    if workflow != WORKFLOW:
        raise InvalidRequest("Only withdrawals can be given up; replay this one instead.")
    tenant, identifier = _read(desk, key)
    before = await desk.uow.run(lambda tx: _stuck(tx, desk, tenant, identifier))
    outcome = await desk.uow.run(await _decide(desk, before, by=by, reason=reason))
    _log.warning("withdrawal_given_up", key=key, by=str(by), outcome=outcome, why=reason)
    if outcome != "proposed":
        try:
            # Its first step sees that all is done, and it leaves the dead letters.
            await desk.book.replay(WORKFLOW, key)
        except (WorkflowsUnavailable, WorkflowRunning, NotFound) as error:
            _log.warning("workflow_not_ended", key=key, error=str(error))
    row = await desk.uow.read(lambda tx: tx.session.get_one(WithdrawalRow, (tenant, identifier)))
    return outcome, row


async def stuck_withdrawals(tx: Tx, tenant: int, *, limit: int = 100) -> list[WithdrawalRow]:
    """Return the withdrawals that wait for a person, the oldest first."""
    rows = await tx.session.scalars(
        select(WithdrawalRow)
        .where(WithdrawalRow.tenant == tenant, WithdrawalRow.stuck_at.is_not(None))
        .order_by(WithdrawalRow.stuck_at)
        .limit(limit)
    )
    return list(rows)


async def _decide(
    desk: PayoutDesk, before: WithdrawalRow, *, by: UUID, reason: str
) -> Callable[[Tx], Awaitable[Outcome]]:
    """Ask the rail, outside any transaction; return the command that follows from its answer."""
    tenant, identifier, calls = before.tenant, before.id, before.calls
    known, answer = await _ask(desk, before)
    if answer is not None and answer.status is PayoutStatus.ACCEPTED:
        raise PayoutUnderWay(
            "The bank has the order and has not decided yet.",
            fix="Replay the workflow, so that it goes on asking.",
        )

    async def settle(tx: Tx) -> Outcome:
        row = await _stuck(tx, desk, tenant, identifier)
        if row.calls != calls:
            raise PayoutUnderWay("Somebody began to send it again meanwhile.", fix="Look again.")
        if answer is not None and answer.status.is_final:
            state = await apply_answer(tx, tenant, identifier, answer)
            return "paid" if state is WithdrawalState.PAID else "given_back"
        if not known:
            if row.given_up_by is None:
                row.given_up_by, row.given_up_reason = by, reason
                await tx.session.flush()
                return "proposed"
            if row.given_up_by == by:
                raise SecondPersonNeeded(
                    "The bank cannot say whether it paid, so two people have to agree.",
                    fix="Ask a colleague to give the same withdrawal up.",
                )
        await end_unpaid(tx, row, WithdrawalState.REFUSED, GIVEN_UP)
        return "given_back"

    return settle


async def _ask(desk: PayoutDesk, row: WithdrawalRow) -> tuple[bool, PayoutAnswer | None]:
    """Return whether the rail could say anything, and what."""
    rail = desk.rails.get(row.rail)
    if rail is None:
        return False, None
    try:
        async with asyncio.timeout(desk.pace.call_timeout_s):
            found = await rail.find(order_of(row))
    except (RailUnavailable, TimeoutError):
        return False, None
    if found is not None and found.status is PayoutStatus.UNKNOWN:
        return False, None
    return True, found


async def _stuck(tx: Tx, desk: PayoutDesk, tenant: int, identifier: UUID) -> WithdrawalRow:
    row = await locked_withdrawal(tx, tenant, identifier)
    if WithdrawalState(row.state).is_final:
        raise WithdrawalDone(f"This withdrawal is {row.state}.")
    if row.stuck_at is None:
        raise WorkflowRunning("This withdrawal is not stuck; its workflow is at work.")
    if row.called_at is not None and tx.now < row.called_at + desk.pace.quiet:
        raise PayoutUnderWay(
            "The bank was called a moment ago, and the call may still be under way.",
            fix=f"Wait {desk.pace.quiet.total_seconds():.0f} seconds and try again.",
        )
    return row


def _read(desk: PayoutDesk, key: str) -> tuple[int, UUID]:
    try:
        tenant, identifier = read_key(key)
    except ValueError:
        raise NotFound("There is no withdrawal with this key.") from None
    if tenant != desk.tenant or key != workflow_key(tenant, identifier):
        raise NotFound("There is no withdrawal with this key.")
    return tenant, identifier
