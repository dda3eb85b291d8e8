"""Schedules as people handle them: made, paused, resumed, ended, looked at."""

from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import func, select

from server.identity import Payee, find_payees
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.outbox import emit
from server.kit.schema import Page
from server.kit.unit_of_work import Tx
from server.payments.transfers import events
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Via, clean_note
from server.payments.transfers.errors import (
    ScheduleClosed,
    ScheduleInvalid,
    SelfTransfer,
)
from server.payments.transfers.listing import make_cursor, read_cursor
from server.payments.transfers.models import ScheduleRow, ScheduleRunRow
from server.payments.transfers.notes import open_note, seal_note
from server.payments.transfers.recurrence import Every, Recurrence, check_recurrence
from server.payments.transfers.schemas import ScheduleCreate, ScheduleRunView, ScheduleView
from server.payments.transfers.views import shown_person

Change = Literal["pause", "resume", "end"]
_RUNS_SHOWN = 100


async def plan(
    tx: Tx,
    desk: TransferDesk,
    caller: Caller,
    data: ScheduleCreate,
    *,
    receiver: tuple[Via, Payee],
    key: str,
) -> ScheduleView:
    """Make a schedule, once for a key.

    Raises:
        ScheduleInvalid: it would never pay, or the caller has as many schedules as allowed.
        SelfTransfer, NoteInvalid, UnknownCurrency: as of a transfer.
        IdempotencyConflict: the key was used for another schedule.
    """

    async def work() -> UUID:
        return await _make(tx, desk, caller, data, receiver)

    schedule_id = await once(
        tx,
        tenant=desk.tenant,
        owner=caller.user_id,
        operation="transfer_schedule",
        key=key,
        digest=fingerprint(data),
        answer_type=UUID,
        work=work,
    )
    return await show(tx, desk, caller.user_id, schedule_id)


async def change(
    tx: Tx, desk: TransferDesk, caller: Caller, schedule_id: UUID, what: Change
) -> ScheduleView:
    """Pause, resume or end a schedule. Doing it again changes nothing.

    What falls due during a pause is left out: resumed, it goes on with what is due next.

    Raises:
        NotFound: the caller has no such schedule.
        ScheduleClosed: it has ended.
    """
    row = await tx.session.get(
        ScheduleRow, (desk.tenant, schedule_id), with_for_update=True, populate_existing=True
    )
    if row is None or row.user_id != caller.user_id:
        raise NotFound("You have no schedule with this id.")
    state = {"pause": "paused", "resume": "active", "end": "ended"}[what]
    if row.state != state:
        if row.state == "ended":
            raise ScheduleClosed("The schedule has ended.", fix="Make a new one.")
        row.state = state
        if what == "resume":
            _go_on(tx, row)
        await tx.session.flush()
        if row.state == "ended":
            await emit(tx, ended(row), tenant=desk.tenant)
    return await show(tx, desk, caller.user_id, schedule_id)


async def show(tx: Tx, desk: TransferDesk, viewer: UUID, schedule_id: UUID) -> ScheduleView:
    """Return one's own schedule. Raises NotFound."""
    row = await tx.session.get(ScheduleRow, (desk.tenant, schedule_id))
    if row is None or row.user_id != viewer:
        raise NotFound("You have no schedule with this id.")
    (view,) = await _views(tx, desk, [row])
    return view


async def page(
    tx: Tx, desk: TransferDesk, viewer: UUID, *, cursor: str | None, limit: int
) -> Page[ScheduleView]:
    """Return one's own schedules, newest first. Raises InvalidRequest for a strange cursor."""
    query = select(ScheduleRow).where(
        ScheduleRow.tenant == desk.tenant, ScheduleRow.user_id == viewer
    )
    if cursor is not None:
        query = query.where(ScheduleRow.id < read_cursor(cursor))
    found = (await tx.session.scalars(query.order_by(ScheduleRow.id.desc()).limit(limit + 1))).all()
    items = await _views(tx, desk, found[:limit])
    return Page(items=items, next_cursor=make_cursor(items[-1].id) if len(found) > limit else None)


async def runs(
    tx: Tx, desk: TransferDesk, viewer: UUID, schedule_id: UUID, *, before: int | None
) -> list[ScheduleRunView]:
    """Return what became of a schedule's last payments, newest first. Raises NotFound."""
    await show(tx, desk, viewer, schedule_id)
    query = select(ScheduleRunRow).where(
        ScheduleRunRow.tenant == desk.tenant, ScheduleRunRow.schedule_id == schedule_id
    )
    if before is not None:
        query = query.where(ScheduleRunRow.occurrence < before)
    found = await tx.session.scalars(
        query.order_by(ScheduleRunRow.occurrence.desc()).limit(_RUNS_SHOWN)
    )
    return [
        ScheduleRunView(
            occurrence=row.occurrence,
            due_at=row.due_at,
            result=row.result,  # type: ignore[arg-type]
            tries=row.attempts,
            transfer_id=row.transfer_id,
            reason=row.reason,
            at=row.at,
        )
        for row in found
    ]


def rule_of(row: ScheduleRow) -> Recurrence:
    return Recurrence(Every(row.every), row.starts_on, row.ends_on, row.at_time, row.time_zone)


def ended(row: ScheduleRow) -> events.ScheduleEnded:
    return events.ScheduleEnded(schedule_id=row.id, user_id=row.user_id, occurrence=row.occurrence)


def _go_on(tx: Tx, row: ScheduleRow) -> None:
    """Let a schedule go on with the first occurrence that lies ahead; end it if there is none."""
    rule = rule_of(row)
    occurrence = rule.first_after(tx.now, row.occurrence)
    due_at = None if occurrence is None else rule.due_at(occurrence)
    if occurrence is None or due_at is None:
        row.state = "ended"
        return
    row.occurrence, row.attempts, row.due_at, row.try_at = occurrence, 0, due_at, due_at


async def _make(
    tx: Tx,
    desk: TransferDesk,
    caller: Caller,
    data: ScheduleCreate,
    receiver: tuple[Via, Payee],
) -> UUID:
    asset(data.currency)
    via, payee = receiver
    if payee.id == caller.user_id:
        raise SelfTransfer("You cannot send money to yourself.", fix="Choose somebody else.")
    rule = Recurrence(Every(data.every), data.starts_on, data.ends_on, data.at_time, data.time_zone)
    due_at = check_recurrence(rule, tx.now)
    await _check_room(tx, desk, caller.user_id)
    schedule_id = tx.ids.uuid()
    note = clean_note(data.note)
    tx.session.add(
        ScheduleRow(
            tenant=desk.tenant,
            id=schedule_id,
            user_id=caller.user_id,
            receiver_id=payee.id,
            via=via,
            amount=data.amount,
            currency=data.currency,
            note_sealed=seal_note(
                tx,
                desk.vault,
                note,
                tenant=desk.tenant,
                of="transfer_schedule",
                identifier=schedule_id,
            ),
            every=data.every,
            starts_on=data.starts_on,
            ends_on=data.ends_on,
            at_time=data.at_time,
            time_zone=data.time_zone,
            state="active",
            occurrence=0,
            attempts=0,
            due_at=due_at,
            try_at=due_at,
            created_at=tx.now,
        )
    )
    await tx.session.flush()
    return schedule_id


async def _check_room(tx: Tx, desk: TransferDesk, user_id: UUID) -> None:
    live = await tx.session.scalar(
        select(func.count())
        .select_from(ScheduleRow)
        .where(
            ScheduleRow.tenant == desk.tenant,
            ScheduleRow.user_id == user_id,
            ScheduleRow.state != "ended",
        )
    )
    if (live or 0) >= desk.policy.schedules_max:
        raise ScheduleInvalid(
            f"You have {desk.policy.schedules_max} schedules already.", fix="End one of them."
        )


async def _views(tx: Tx, desk: TransferDesk, rows: Sequence[ScheduleRow]) -> list[ScheduleView]:
    people = await find_payees(tx, desk.tenant, ids={row.receiver_id for row in rows})
    return [_view(desk, row, people.by_id) for row in rows]


def _view(desk: TransferDesk, row: ScheduleRow, people: Mapping[UUID, Payee]) -> ScheduleView:
    note = open_note(
        desk.vault, row.note_sealed, tenant=row.tenant, of="transfer_schedule", identifier=row.id
    )
    return ScheduleView(
        id=row.id,
        receiver=shown_person(people.get(row.receiver_id), Via(row.via), None),
        amount=row.amount,
        currency=row.currency,
        every=row.every,  # type: ignore[arg-type]
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        at_time=row.at_time,
        time_zone=row.time_zone,
        state=row.state,  # type: ignore[arg-type]
        next_at=row.try_at if row.state == "active" else None,
        failed_tries=row.attempts,
        note=note,
        created_at=row.created_at,
    )
