"""The workflow that carries a withdrawal out: begin, call the rail, note what it says, ask again.

Each step is safe to repeat. ``begin`` and ``note`` are transactions under the row's lock. ``call``
counts the call in a transaction before it is made, and asks what became of the order before it
sends it. So however often processes die, and however many of them drive the same withdrawal, the
outside sees one order id, and the ledger posts once.

The workflow's own books may be lost: the background job starts it anew, and it finds the state.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update

from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.kit.workflows import (
    JsonValue,
    Retry,
    Run,
    RunState,
    Workflow,
    WorkflowFailed,
    WorkflowsUnavailable,
)
from server.payments.payouts.desk import PayoutDesk
from server.payments.payouts.domain import OPEN_STATES, WithdrawalState
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.rail import (
    PayoutAnswer,
    PayoutOrder,
    PayoutRail,
    PayoutStatus,
    RailUnavailable,
)
from server.payments.payouts.settlement import apply_answer, locked_withdrawal

WORKFLOW: Final = "withdrawal"
LOOK_FIRST: Final = timedelta(seconds=10)
_LOOK_AGAIN: Final = timedelta(minutes=5)
_BATCH_MAX: Final = 50
_NO_ANSWER: Final = "no_answer"
_ENDED: Final = "ended"
_PATIENT: Final = Retry(on=(Exception,), attempts=20, first_s=0.5, longest_s=30)
"""Some eight minutes, which bears a database that fails over."""
_STUCK_REASON_MAX: Final = 200
_log = get_logger(__name__)


def workflow_key(tenant: int, identifier: UUID) -> str:
    return f"{tenant}.{identifier}"


def read_key(key: str) -> tuple[int, UUID]:
    """Return tenant and withdrawal of a workflow's key.

    Raises:
        ValueError: it is no such key.
    """
    tenant, _, identifier = key.partition(".")
    return int(tenant), UUID(identifier)


def withdrawal_workflow(desk: PayoutDesk) -> Workflow:
    """Return the workflow, bound to the rails and the database of this process."""

    async def body(run: Run, key: str) -> str:
        return await _Carrier(desk, run, *read_key(key)).carry()

    async def failed(key: str, reason: str) -> None:
        tenant, identifier = read_key(key)
        await desk.uow.run(lambda tx: mark_stuck(tx, tenant, identifier, reason))

    return Workflow(WORKFLOW, body, failed)


@dataclass(frozen=True, slots=True)
class _Carrier:
    desk: PayoutDesk
    run: Run
    tenant: int
    id: UUID

    async def carry(self) -> str:
        state = await self._step("begin", lambda: self.desk.uow.run(self._begin))
        question = silent = 0
        while not WithdrawalState(state).is_final:
            if question:
                await self.run.sleep(self.desk.pace.pause(question, self.id))
            question += 1
            answer = await self._step("call", self._call)
            if answer["status"] in {_NO_ANSWER, PayoutStatus.UNKNOWN.value}:
                silent += 1
                if silent >= self.desk.pace.silent_max:
                    raise WorkflowFailed(f"no usable answer to {silent} calls in a row")
                continue
            silent = 0
            state = await self._step("note", partial(self._note, answer))
            if question >= self.desk.pace.answers_max:
                raise WorkflowFailed(f"no final answer after {question} calls")
        return str(state)

    async def _step(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        timeout_s = self.desk.pace.call_timeout_s + 30
        return await self.run.step(name, work, retry=_PATIENT, timeout_s=timeout_s)

    async def _begin(self, tx: Tx) -> str:
        row = await locked_withdrawal(tx, self.tenant, self.id)
        if row.state == WithdrawalState.REQUESTED:
            row.state, row.sending_at = WithdrawalState.SENDING.value, tx.now
        row.stuck_at = row.stuck_reason = None
        row.given_up_by = row.given_up_reason = None
        await tx.session.flush()
        return row.state

    async def _call(self) -> Mapping[str, JsonValue]:
        counted = await self.desk.uow.run(lambda tx: count_call(tx, self.tenant, self.id))
        if counted is None:
            return {"status": _ENDED}
        order, rail_name = counted
        rail = self.desk.rails.get(rail_name)
        if rail is None:
            raise WorkflowFailed(f"no rail is called {rail_name}")
        try:
            async with asyncio.timeout(self.desk.pace.call_timeout_s):
                answer = await ask(rail, order)
        except (RailUnavailable, TimeoutError) as error:
            _log.warning("rail_unavailable", rail=rail_name, order=str(order.id), error=str(error))
            return {"status": _NO_ANSWER}
        return {
            "status": answer.status.value,
            "external_id": answer.external_id,
            "reason": answer.reason,
        }

    async def _note(self, told: Mapping[str, JsonValue]) -> str:
        if told["status"] == _ENDED:
            return (await self.desk.uow.read(self._row)).state
        external_id, reason = told["external_id"], told["reason"]
        answer = PayoutAnswer(
            PayoutStatus(str(told["status"])),
            None if external_id is None else str(external_id),
            None if reason is None else str(reason),
        )
        return await self.desk.uow.run(lambda tx: apply_answer(tx, self.tenant, self.id, answer))

    async def _row(self, tx: Tx) -> WithdrawalRow:
        return await tx.session.get_one(WithdrawalRow, (self.tenant, self.id))


async def ask(rail: PayoutRail, order: PayoutOrder) -> PayoutAnswer:
    """Find out what became of an order, and send it if the other side has never seen it.

    It is asked before the first sending too: our database may be a restored copy.

    Raises:
        RailUnavailable: no answer.
    """
    found = await rail.find(order)
    return await rail.send(order) if found is None else found


async def count_call(tx: Tx, tenant: int, identifier: UUID) -> tuple[PayoutOrder, str] | None:
    """Write down that the outside is about to be called; None when the withdrawal has ended."""
    row = await locked_withdrawal(tx, tenant, identifier)
    if WithdrawalState(row.state).is_final:
        return None
    row.calls, row.called_at = row.calls + 1, tx.now
    await tx.session.flush()
    return order_of(row), row.rail


def order_of(row: WithdrawalRow) -> PayoutOrder:
    return PayoutOrder(
        id=row.id,
        amount=row.amount,
        currency=row.currency,
        destination=row.destination,
        reference=f"WITHDRAWAL {row.id.hex[-12:].upper()}",
    )


async def mark_stuck(tx: Tx, tenant: int, identifier: UUID, reason: str) -> None:
    """Say that a withdrawal waits for a person, unless it has ended."""
    row = await locked_withdrawal(tx, tenant, identifier)
    if not WithdrawalState(row.state).is_final and row.stuck_at is None:
        row.stuck_at, row.stuck_reason = tx.now, reason[:_STUCK_REASON_MAX]
        await tx.session.flush()


async def keep_withdrawals(desk: PayoutDesk) -> int:
    """Make sure that a workflow drives every open withdrawal; return how many were looked at.

    Starts those whose process died between commit and start, and all open ones when the books of
    the workflows were lost; marks those whose workflow is dead.
    """
    looked: list[UUID] = []
    try:
        for identifier in await desk.uow.run(lambda tx: _lease(tx, desk.tenant)):
            await _keep(desk, identifier)
            looked.append(identifier)
    except WorkflowsUnavailable:
        _log.warning("withdrawals_not_looked_after")
    if looked:
        await desk.uow.run(lambda tx: _postpone(tx, desk.tenant, looked))
    return len(looked)


async def _keep(desk: PayoutDesk, identifier: UUID) -> None:
    key = workflow_key(desk.tenant, identifier)
    found = await desk.book.find(WORKFLOW, key)
    if found is None:
        await desk.book.start(WORKFLOW, key)
    elif found.state is RunState.DONE:
        # The database is a restored copy, and the books are newer.
        await desk.book.replay(WORKFLOW, key, done_too=True)
    elif found.state in {RunState.DEAD, RunState.CANCELLED}:
        reason = found.reason or "the workflow was cancelled"
        await desk.uow.run(lambda tx: mark_stuck(tx, desk.tenant, identifier, reason))


async def _lease(tx: Tx, tenant: int) -> list[UUID]:
    due = (
        select(WithdrawalRow)
        .where(
            WithdrawalRow.tenant == tenant,
            WithdrawalRow.state.in_(sorted(OPEN_STATES)),
            WithdrawalRow.look_at <= tx.now,
        )
        .order_by(WithdrawalRow.look_at)
        .limit(_BATCH_MAX)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.session.scalars(due)).all()
    await _look_at(tx, tenant, [row.id for row in rows], LOOK_FIRST)
    return [row.id for row in rows]


async def _postpone(tx: Tx, tenant: int, looked: Sequence[UUID]) -> None:
    await _look_at(tx, tenant, looked, _LOOK_AGAIN)


async def _look_at(tx: Tx, tenant: int, ids: Sequence[UUID], pause: timedelta) -> None:
    rows = update(WithdrawalRow).where(WithdrawalRow.tenant == tenant, WithdrawalRow.id.in_(ids))
    await tx.connection.execute(rows.values(look_at=tx.now + pause))
