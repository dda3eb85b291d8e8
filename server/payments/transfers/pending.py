"""Money that waits for somebody to register: claimed, cancelled or returned, once.

It stands in ``house_pending_transfers``. Whoever deletes the row of `PendingTransferRow` under its
lock decides what becomes of it, so of a claim, a cancelling and an expiry exactly one happens.

A confirmed address only moves the next look at what waits there to now (`contact_confirmed`, in the
transaction that confirms). The look itself is a job, so a refusal of the ledger never stands in the
way of confirming. The job also looks by itself, ever more rarely: a transfer can be sent in the
moment in which its recipient confirms, and then neither of the two transactions sees the other.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import exists, func, select, update

from server.identity import ContactKind, address_owners, find_payees
from server.kit.errors import NotFound
from server.kit.outbox import Event, emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import EntryRequest, post_many
from server.payments.limits import LimitKind, LimitUse, PastUse, count_uses, give_back
from server.payments.transfers import events, postings
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import TransferState
from server.payments.transfers.errors import TransferDecided
from server.payments.transfers.models import PendingTransferRow, TransferRow

FIRST_CHECK: Final = timedelta(seconds=5)
_CHECK_MAX: Final = timedelta(days=1)
_AFTER_REFUSAL: Final = timedelta(hours=1)
_BATCH_MAX: Final = 50
_log = get_logger(__name__)
_Ended = events.TransferClaimed | events.TransferReturned | events.TransferCancelled


class _Move(NamedTuple):
    """What becomes of a transfer that waits."""

    row: TransferRow
    place: PendingTransferRow
    ending: postings.Ending
    to: UUID


async def waiting_of(tx: Tx, tenant: int, senders: Collection[UUID]) -> dict[UUID, int]:
    """Return how many transfers of each sender wait for somebody."""
    if not senders:
        return {}
    rows = await tx.session.execute(
        select(PendingTransferRow.sender_id, func.count())
        .where(PendingTransferRow.tenant == tenant, PendingTransferRow.sender_id.in_(senders))
        .group_by(PendingTransferRow.sender_id)
    )
    return {sender: count for sender, count in rows}  # noqa: C416 - a row is no pair to mypy


async def contact_confirmed(tx: Tx, tenant: int, kind: ContactKind, index: bytes) -> None:
    """Have what waits at an address looked at now: somebody is confirming it."""
    await tx.session.execute(
        update(PendingTransferRow)
        .where(
            PendingTransferRow.tenant == tenant,
            PendingTransferRow.address_kind == kind.value,
            PendingTransferRow.address_index == index,
        )
        .values(check_at=tx.now)
    )


async def cancel(tx: Tx, desk: TransferDesk, sender: UUID, transfer_id: UUID) -> None:
    """Give waiting money back to its sender. Doing it again changes nothing.

    Raises:
        NotFound: the sender has no such transfer.
        TransferDecided: it was claimed or returned before, or never waited.
        EntryRefused: the sender's account takes no money.
    """
    row = await tx.session.get(TransferRow, (desk.tenant, transfer_id))
    if row is None or row.sender_id != sender:
        raise NotFound("You have sent no transfer with this id.")
    waiting = await tx.session.get(
        PendingTransferRow,
        (desk.tenant, transfer_id),
        with_for_update=True,
        populate_existing=True,
    )
    if waiting is None:
        await tx.session.refresh(row)
        if row.state == TransferState.CANCELLED:
            return
        raise TransferDecided(
            "The transfer does not wait for anybody.",
            fix="Look the transfer up to see what became of it.",
        )
    await give_back(tx, desk.tenant, [_use(row)])
    (outcome,) = await post_many(tx, [_entry(row, "cancelled", waiting.attempts, sender)])
    outcome.raise_for_refusal()
    row.state, row.settled_at = TransferState.CANCELLED, tx.now
    await tx.session.delete(waiting)
    await tx.session.flush()
    await emit(tx, _told(events.TransferCancelled, row), tenant=desk.tenant)


async def settle_pending(uow: UnitOfWork, desk: TransferDesk) -> int:
    """Look at what is due: claim for whoever has registered, return what expired; return how many.

    Safe to run in several processes at once.
    """
    settled = 0
    while await uow.read(lambda tx: _is_due(tx, desk)):
        looked, ended = await uow.run(lambda tx: _settle_some(tx, desk))
        settled += ended
        if looked < _BATCH_MAX:
            break
    return settled


async def _is_due(tx: Tx, desk: TransferDesk) -> bool:
    due = exists().where(
        PendingTransferRow.tenant == desk.tenant, PendingTransferRow.check_at <= tx.now
    )
    return bool(await tx.session.scalar(select(due)))


async def _settle_some(tx: Tx, desk: TransferDesk) -> tuple[int, int]:
    """Look at the first few that are due; return how many those were, and how many are decided."""
    due = await tx.session.scalars(
        select(PendingTransferRow)
        .where(PendingTransferRow.tenant == desk.tenant, PendingTransferRow.check_at <= tx.now)
        .order_by(PendingTransferRow.check_at)
        .limit(_BATCH_MAX)
        .with_for_update(skip_locked=True)
    )
    waiting = {row.transfer_id: row for row in due}
    if not waiting:
        return 0, 0
    rows = await tx.session.scalars(
        select(TransferRow).where(
            TransferRow.tenant == desk.tenant, TransferRow.id.in_(list(waiting))
        )
    )
    owners = await _owners(tx, desk.tenant, list(waiting.values()))
    moves = []
    for row in rows:
        place = waiting[row.id]
        owner = owners.get((place.address_kind, place.address_index))
        if move := _decide(row, place, owner, tx.now):
            moves.append(move)
        else:
            delay = min(FIRST_CHECK * 4 ** min(place.checks, 10), _CHECK_MAX)
            place.checks += 1
            place.check_at = min(tx.now + delay, place.expires_at)
    await tx.session.flush()
    return len(waiting), await _carry_out(tx, desk.tenant, moves)


async def _owners(
    tx: Tx, tenant: int, waiting: Sequence[PendingTransferRow]
) -> dict[tuple[str, bytes], UUID]:
    """Return who has confirmed which address, of those who can have money."""
    found: dict[tuple[str, bytes], UUID] = {}
    for kind in ContactKind:
        indexes = [row.address_index for row in waiting if row.address_kind == kind.value]
        owners = await address_owners(tx, tenant, kind, indexes)
        found |= {(kind.value, index): owner for index, owner in owners.items()}
    people = await find_payees(tx, tenant, ids=set(found.values()))
    return {place: who for place, who in found.items() if people.by_id[who].may_hold_money}


def _decide(
    row: TransferRow, place: PendingTransferRow, owner: UUID | None, now: datetime
) -> _Move | None:
    """Return what becomes of a transfer; None when it waits on."""
    expired = place.expires_at <= now
    if owner == row.sender_id or (expired and (owner is None or place.attempts)):
        return _Move(row, place, "returned", row.sender_id)
    if owner is not None:
        return _Move(row, place, "claimed", owner)
    return None


async def _carry_out(tx: Tx, tenant: int, moves: Sequence[_Move]) -> int:
    """Move the money; what the ledger refuses waits for another try. Return how much was moved."""
    back = [_use(move.row) for move in moves if move.ending == "returned"]
    await give_back(tx, tenant, back)
    outcomes = await post_many(
        tx, [_entry(move.row, move.ending, move.place.attempts, move.to) for move in moves]
    )
    told: list[Event] = []
    for move, outcome in zip(moves, outcomes, strict=True):
        if not outcome.applied:
            _log.error("pending_transfer_stuck", transfer=str(move.row.id), reason=outcome.reason)
            move.place.attempts += 1
            move.place.check_at = tx.now + _AFTER_REFUSAL
            continue
        move.row.settled_at = tx.now
        if move.ending == "claimed":
            move.row.state, move.row.receiver_id = TransferState.COMPLETED, move.to
            told.append(_told(events.TransferClaimed, move.row))
        else:
            move.row.state = TransferState.RETURNED
            told.append(_told(events.TransferReturned, move.row))
        await tx.session.delete(move.place)
    await tx.session.flush()
    refused = zip(moves, outcomes, strict=True)
    again = [m for m, outcome in refused if m.ending == "returned" and not outcome.applied]
    await count_uses(tx, tenant, [_use(move.row).use for move in again])
    await emit(tx, *told, tenant=tenant)
    return len(told)


def _entry(row: TransferRow, ending: postings.Ending, attempt: int, to: UUID) -> EntryRequest:
    return postings.for_ending(
        tenant=row.tenant,
        transfer=row.id,
        ending=ending,
        attempt=attempt,
        to=to,
        amount=row.amount,
        currency=row.currency,
    )


def _use(row: TransferRow) -> PastUse:
    use = LimitUse(row.sender_id, LimitKind.TRANSFER, row.currency, row.amount)
    return PastUse(use, row.created_at)


def _told(kind: type[_Ended], row: TransferRow) -> Event:
    return kind(
        transfer_id=row.id,
        sender_id=row.sender_id,
        receiver_id=row.receiver_id,
        amount=row.amount,
        currency=row.currency,
    )
