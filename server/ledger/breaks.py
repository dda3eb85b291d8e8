"""Breaks: differences between a mirror account and the outside party, and what became of them.

A break is open until somebody explains or closes it, or until a later statement or entry makes it
right. Every change has its reason and stays.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, insert, select, update

from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx
from server.ledger.account_books import check_reason
from server.ledger.book_errors import BreakFinal
from server.ledger.book_models import ReconciliationBreakRow, ReconciliationEventRow
from server.ledger.chart import AccountRef

BOOKS = "books"
"""Who closes a break that came right by itself."""


class BreakKind(StrEnum):
    MISSING_HERE = "missing_here"
    """The statement has a line that nobody booked."""
    MISSING_THERE = "missing_there"
    """An entry that no statement shows."""
    DIFFERENT_AMOUNT = "different_amount"
    DIFFERENT_CURRENCY = "different_currency"
    DUPLICATE = "duplicate"
    """An id that came before: twice on one statement, or on another with other content."""


class BreakState(StrEnum):
    OPEN = "open"
    EXPLAINED = "explained"
    CLOSED = "closed"


_CHANGES = {
    BreakState.OPEN: frozenset({BreakState.EXPLAINED, BreakState.CLOSED}),
    BreakState.EXPLAINED: frozenset({BreakState.OPEN, BreakState.CLOSED}),
    BreakState.CLOSED: frozenset[BreakState](),
}


@dataclass(frozen=True, slots=True)
class Break:
    """A difference. ``here`` and ``there`` are amounts as the outside party counts them."""

    tenant: int
    id: UUID
    account: UUID
    statement: str
    kind: BreakKind
    external_id: str | None
    entry: UUID | None
    here: int | None
    there: int | None
    state: BreakState
    at: datetime

    @property
    def effect(self) -> int:
        """How much more the other side has because of this break."""
        match self.kind:
            case BreakKind.DUPLICATE:
                return self.there or 0
            case BreakKind.DIFFERENT_CURRENCY:
                return 0
            case _:
                return (self.there or 0) - (self.here or 0)


@dataclass(frozen=True, slots=True)
class BreakEvent:
    number: int
    state: BreakState
    reason: str
    set_by: str
    at: datetime


async def open_break(
    tx: Tx,
    mirror: AccountRef,
    statement: str,
    kind: BreakKind,
    *,
    external_id: str | None,
    entry: UUID | None,
    here: int | None,
    there: int | None,
) -> Break:
    """Keep a difference that was found."""
    row = ReconciliationBreakRow(
        tenant=mirror.tenant,
        id=tx.ids.uuid(),
        account=mirror.id,
        statement=statement,
        kind=kind.value,
        external_id=external_id,
        entry=entry,
        here=here,
        there=there,
        state=BreakState.OPEN.value,
        at=tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    found = _break_of(row)
    await _record(tx, found, BreakState.OPEN, f"Found on statement {statement}.", BOOKS)
    return found


async def settle_break(tx: Tx, found: Break, reason: str) -> None:
    """Close a break that came right."""
    await _change(tx, found, BreakState.CLOSED, reason, BOOKS)


async def decide_break(
    tx: Tx, tenant: int, id_: UUID, state: BreakState, *, reason: str, by: str
) -> Break:
    """Explain a break, open it again, or close it for good.

    Raises:
        NotFound: there is no such break.
        BreakFinal: it is closed, or in that state already.
        InvalidRequest: there is no reason.
    """
    check_reason(reason)
    query = select(ReconciliationBreakRow).where(
        ReconciliationBreakRow.tenant == tenant, ReconciliationBreakRow.id == id_
    )
    row = (await tx.session.scalars(query.with_for_update())).first()
    if row is None:
        raise NotFound("There is no such break.")
    found = _break_of(row)
    if state not in _CHANGES[found.state]:
        raise BreakFinal(f"A break that is {found.state} does not become {state}.")
    await _change(tx, found, state, reason, by)
    await tx.session.refresh(row)
    return _break_of(row)


async def unsettled(tx: Tx, mirror: AccountRef, *, settled: bool = False) -> list[Break]:
    """Return the breaks of a mirror account that are not closed, or all, the oldest first."""
    query = select(ReconciliationBreakRow).where(
        ReconciliationBreakRow.tenant == mirror.tenant,
        ReconciliationBreakRow.account == mirror.id,
    )
    if not settled:
        query = query.where(ReconciliationBreakRow.state != BreakState.CLOSED.value)
    rows = await tx.session.scalars(
        query.order_by(ReconciliationBreakRow.at, ReconciliationBreakRow.id)
    )
    return [_break_of(row) for row in rows]


async def list_breaks(
    tx: Tx,
    tenant: int,
    *,
    state: BreakState | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[Break]:
    """Return breaks of all mirror accounts, the oldest first, from after an id on."""
    query = select(ReconciliationBreakRow).where(ReconciliationBreakRow.tenant == tenant)
    if state is not None:
        query = query.where(ReconciliationBreakRow.state == state.value)
    if after is not None:
        query = query.where(ReconciliationBreakRow.id > after)
    rows = await tx.session.scalars(query.order_by(ReconciliationBreakRow.id).limit(limit))
    return [_break_of(row) for row in rows]


async def break_by_id(tx: Tx, tenant: int, id_: UUID) -> Break:
    """Return a break.

    Raises:
        NotFound: there is none with this id.
    """
    row = await tx.session.get(ReconciliationBreakRow, (tenant, id_))
    if row is None:
        raise NotFound("There is no such break.")
    return _break_of(row)


async def events_of(tx: Tx, tenant: int, id_: UUID) -> list[BreakEvent]:
    """Return what became of a break, in order."""
    rows = await tx.session.scalars(
        select(ReconciliationEventRow)
        .where(ReconciliationEventRow.tenant == tenant, ReconciliationEventRow.subject == id_)
        .order_by(ReconciliationEventRow.number)
    )
    return [
        BreakEvent(row.number, BreakState(row.state), row.reason, row.set_by, row.at)
        for row in rows
    ]


async def _change(tx: Tx, found: Break, state: BreakState, reason: str, by: str) -> None:
    await tx.connection.execute(
        update(ReconciliationBreakRow)
        .where(ReconciliationBreakRow.tenant == found.tenant, ReconciliationBreakRow.id == found.id)
        .values(state=state.value)
    )
    await _record(tx, found, state, reason, by)


async def _record(tx: Tx, found: Break, state: BreakState, reason: str, by: str) -> None:
    last = await tx.connection.scalar(
        select(func.max(ReconciliationEventRow.number)).where(
            ReconciliationEventRow.tenant == found.tenant,
            ReconciliationEventRow.subject == found.id,
        )
    )
    await tx.connection.execute(
        insert(ReconciliationEventRow).values(
            tenant=found.tenant,
            subject=found.id,
            number=int(last or 0) + 1,
            state=state.value,
            reason=reason,
            set_by=by,
            at=tx.now,
        )
    )


def _break_of(row: ReconciliationBreakRow) -> Break:
    return Break(
        tenant=row.tenant,
        id=row.id,
        account=row.account,
        statement=row.statement,
        kind=BreakKind(row.kind),
        external_id=row.external_id,
        entry=row.entry,
        here=row.here,
        there=row.there,
        state=BreakState(row.state),
        at=row.at,
    )
