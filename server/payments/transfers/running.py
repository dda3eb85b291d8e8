"""Schedules when they are due: each occurrence is decided once, under several workers and crashes.

A schedule is locked, its transfer sent, the run written and the schedule moved on in one
transaction. After a crash either all of that has happened or nothing. What cannot be paid for want
of money or by a limit is tried again a few times, then skipped, and its owner is told. What is
found too late, because no worker ran, is missed and not paid: a payment a week late may be worse
than none, and the next one is due anyway.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, select

from server.identity import tell_user
from server.kit.errors import TallyError
from server.kit.money import Money
from server.kit.outbox import Event, emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.transfers import events
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Order, Recipient, Via
from server.payments.transfers.models import ScheduleRow, ScheduleRunRow
from server.payments.transfers.notes import open_note
from server.payments.transfers.scheduling import ended, rule_of
from server.payments.transfers.sending import send

_ROUND_MAX = 200
_REASON_MAX = 64
_log = get_logger(__name__)


class _Run(NamedTuple):
    """What became of an occurrence."""

    result: str
    tries: int
    transfer_id: UUID | None = None
    reason: str | None = None


async def run_schedules(uow: UnitOfWork, desk: TransferDesk) -> int:
    """Run what is due, each in a transaction of its own; return how many were looked at.

    One that fails is logged and tried again; it stops no other. Safe to run in several processes at
    once.
    """

    async def due(tx: Tx) -> Sequence[UUID]:
        ids = await tx.session.scalars(
            select(ScheduleRow.id)
            .where(*_is_due(tx, desk))
            .order_by(ScheduleRow.try_at)
            .limit(_ROUND_MAX)
        )
        return ids.all()

    looked = 0
    for schedule_id in await uow.read(due):
        try:
            looked += await uow.run(lambda tx, id_=schedule_id: _run_one(tx, desk, id_))  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 - the others are somebody else's payments
            _log.error("schedule_failed", schedule=str(schedule_id), exc_info=error)
    return looked


def _is_due(tx: Tx, desk: TransferDesk) -> tuple[ColumnElement[bool], ...]:
    return (
        ScheduleRow.tenant == desk.tenant,
        ScheduleRow.state == "active",
        ScheduleRow.try_at <= tx.now,
    )


async def _run_one(tx: Tx, desk: TransferDesk, schedule_id: UUID) -> bool:
    """Try what is due of a schedule; return False when somebody else does or has done it."""
    row = await tx.session.scalar(
        select(ScheduleRow)
        .where(*_is_due(tx, desk), ScheduleRow.id == schedule_id)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return False
    if tx.now - row.due_at > desk.policy.late_max:
        missed = _Run("missed", row.attempts)
        await _finish(tx, desk, row, missed)
        return True
    transfer_id = tx.ids.uuid()
    (answer,) = await send(tx, desk, [(transfer_id, _order(desk, row))])
    tries = row.attempts + 1
    if not isinstance(answer, TallyError):
        await _finish(tx, desk, row, _Run("paid", tries, transfer_id))
    elif row.attempts < len(desk.policy.schedule_retries):
        row.try_at = tx.now + desk.policy.schedule_retries[row.attempts]
        row.attempts = tries
        await tx.session.flush()
    else:
        reason = answer.code[:_REASON_MAX]
        await _finish(tx, desk, row, _Run("skipped", tries, reason=reason))
    return True


def _order(desk: TransferDesk, row: ScheduleRow) -> Order:
    note = open_note(
        desk.vault, row.note_sealed, tenant=row.tenant, of="transfer_schedule", identifier=row.id
    )
    return Order(
        tenant=row.tenant,
        sender=row.user_id,
        recipient=Recipient(Via(row.via), user_id=row.receiver_id),
        amount=row.amount,
        currency=row.currency,
        note=note,
        schedule_id=row.id,
    )


async def _finish(tx: Tx, desk: TransferDesk, row: ScheduleRow, run: _Run) -> None:
    """Write down what became of an occurrence, tell it, and go on to the next."""
    tx.session.add(
        ScheduleRunRow(
            tenant=row.tenant,
            schedule_id=row.id,
            occurrence=row.occurrence,
            due_at=row.due_at,
            result=run.result,
            attempts=run.tries,
            transfer_id=run.transfer_id,
            reason=run.reason,
            at=tx.now,
        )
    )
    told = [_event(row, run)]
    due_at = rule_of(row).due_at(row.occurrence + 1)
    if due_at is None:
        row.state = "ended"
        told.append(ended(row))
    else:
        row.occurrence, row.attempts, row.due_at, row.try_at = row.occurrence + 1, 0, due_at, due_at
    await tx.session.flush()
    if run.result != "paid":
        await tell_user(
            tx,
            desk.vault,
            row.tenant,
            row.user_id,
            subject="A scheduled payment",
            text=_text(row, run),
        )
    await emit(tx, *told, tenant=row.tenant)


def _event(row: ScheduleRow, run: _Run) -> Event:
    if run.transfer_id is not None:
        return events.SchedulePaid(
            schedule_id=row.id,
            user_id=row.user_id,
            occurrence=row.occurrence,
            transfer_id=run.transfer_id,
        )
    if run.reason is not None:
        return events.ScheduleSkipped(
            schedule_id=row.id, user_id=row.user_id, occurrence=row.occurrence, reason=run.reason
        )
    return events.ScheduleMissed(schedule_id=row.id, user_id=row.user_id, occurrence=row.occurrence)


def _text(row: ScheduleRow, run: _Run) -> str:
    why = (
        "came too late, because our service did not run at its time"
        if run.result == "missed"
        else f"was tried {run.tries} times ({run.reason})"
    )
    return (
        f"Your scheduled payment of {Money(row.amount, row.currency)} {why} and was not made. "
        "Nothing was taken from your account."
    )
