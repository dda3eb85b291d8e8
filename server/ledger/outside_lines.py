"""Lines of outside statements, and the entries that they speak of."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from server.kit.bulk import id_value, insert_rows
from server.kit.unit_of_work import Tx
from server.ledger.account_books import entries_by_external_ids
from server.ledger.book_models import ExternalReferenceRow, OutsideLineRow
from server.ledger.chart import AccountRef
from server.ledger.days import date_of, number_of
from server.ledger.models import EntryRow, PostingRow

_PART = 4_000
"""SQLite takes 32,766 parameters in a statement."""


class OutsideLine(NamedTuple):
    """A line of an outside statement. ``amount`` above zero is money that we got."""

    external_id: str
    amount: int
    currency: str
    booked_on: date
    text: str


class BookedFact(NamedTuple):
    """An entry as the other side would count it."""

    entry: UUID
    amount: int


class ShownFact(NamedTuple):
    """The earliest line that showed an id."""

    amount: int
    day: date
    statement: str


class LaterEntry(NamedTuple):
    """A posting of a mirror account; ``shown`` says whether any statement has its id."""

    version: int
    entry: UUID
    amount: int
    effective_at: datetime
    external_id: str | None
    shown: bool


async def store_lines(
    tx: Tx, mirror: AccountRef, statement: str, lines: Sequence[OutsideLine]
) -> None:
    account = id_value(tx, mirror.id)
    await insert_rows(
        tx,
        "outside_line",
        (
            "tenant",
            "account",
            "statement",
            "number",
            "external_id",
            "amount",
            "currency",
            "day",
            "text",
        ),
        [
            (mirror.tenant, account, statement, number, *line[:3], number_of(line[3]), line[4])
            for number, line in enumerate(lines, start=1)
        ],
    )


async def entries_of(tx: Tx, mirror: AccountRef, ids: Sequence[str]) -> dict[str, BookedFact]:
    """Return the entries that book outside facts, by external id."""
    entries = await entries_by_external_ids(tx, mirror, ids)
    sign = mirror.kind.rule.account_class.sign
    amounts: dict[UUID, int] = {}
    wanted = list(entries.values())
    for first in range(0, len(wanted), _PART):
        rows = await tx.connection.execute(
            select(EntryRow.id, EntryRow.debit, EntryRow.amount).where(
                EntryRow.tenant == mirror.tenant,
                EntryRow.id.in_(wanted[first : first + _PART]),
            )
        )
        for entry, debit, amount in rows:
            amounts[entry] = (-amount if debit == mirror.id else amount) * sign
    return {id_: BookedFact(entry, amounts[entry]) for id_, entry in entries.items()}


async def lines_of(tx: Tx, mirror: AccountRef, ids: Sequence[str]) -> dict[str, ShownFact]:
    """Return the earliest line in the mirror's currency that showed each id."""
    found: dict[str, ShownFact] = {}
    for first in range(0, len(ids), _PART):
        rows = await tx.connection.execute(
            select(
                OutsideLineRow.external_id,
                OutsideLineRow.amount,
                OutsideLineRow.day,
                OutsideLineRow.statement,
            )
            .where(
                OutsideLineRow.tenant == mirror.tenant,
                OutsideLineRow.account == mirror.id,
                OutsideLineRow.external_id.in_(ids[first : first + _PART]),
                OutsideLineRow.currency == mirror.asset,
            )
            .order_by(
                OutsideLineRow.day.desc(),
                OutsideLineRow.statement.desc(),
                OutsideLineRow.number.desc(),
            )
        )
        found |= {row[0]: ShownFact(row[1], date_of(row[2]), row[3]) for row in rows}
    return found


async def entries_after(tx: Tx, mirror: AccountRef, version: int) -> list[LaterEntry]:
    """Return the postings of a mirror account after a version, in order."""
    reference, line = ExternalReferenceRow.__table__, OutsideLineRow.__table__
    shown = (
        select(line.c.number)
        .where(
            line.c.tenant == mirror.tenant,
            line.c.account == mirror.id,
            line.c.external_id == reference.c.external_id,
        )
        .correlate(reference)
        .exists()
    )
    rows = await tx.connection.execute(
        select(
            PostingRow.version,
            PostingRow.entry,
            PostingRow.delta,
            PostingRow.effective_at,
            reference.c.external_id,
            shown,
        )
        .outerjoin(
            reference,
            (reference.c.tenant == PostingRow.tenant)
            & (reference.c.account == PostingRow.account)
            & (reference.c.entry == PostingRow.entry),
        )
        .where(
            PostingRow.tenant == mirror.tenant,
            PostingRow.account == mirror.id,
            PostingRow.version > version,
        )
        .order_by(PostingRow.version)
    )
    sign = mirror.kind.rule.account_class.sign
    return [
        LaterEntry(version, entry, delta * sign, effective_at, external_id, bool(was_shown))
        for version, entry, delta, effective_at, external_id, was_shown in rows
    ]
