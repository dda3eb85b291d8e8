"""Days of the books: what a closed day is, how it is hashed, and reading it.

A day is a number: whole days since 1970-01-01, in UTC.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx
from server.ledger.book_models import ClosedDayRow, DayTotalRow
from server.ledger.canonical import canonical
from server.ledger.merkle import leaf_hash, root_of

DAY_CONTEXT = b"tallystick/closed-day/1"
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """A day whose figures are final."""

    tenant: int
    day: int
    accounts: int
    postings: int
    covered: int
    seal: int
    seal_hash: bytes
    root: bytes
    totals: bytes
    previous: bytes
    at: datetime

    @property
    def date(self) -> date:
        return date_of(self.day)

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for every figure of this day and of all days before."""
        return hashlib.sha256(
            DAY_CONTEXT
            + canonical(
                self.tenant,
                self.day,
                self.accounts,
                self.postings,
                self.covered,
                self.seal,
                self.seal_hash,
                self.root,
                self.totals,
                self.previous,
                to_microseconds(self.at),
            )
        ).digest()


class DayBalance(NamedTuple):
    """What an account did on a day, and had at its end. Credit-positive."""

    account: UUID
    postings: int
    debits: int
    credits: int
    balance: int


class DayTotal(NamedTuple):
    asset: str
    kind: str
    accounts: int
    debits: int
    credits: int
    balance: int


def number_of(day: date) -> int:
    """Return whole days since 1970-01-01."""
    return (day - _EPOCH).days


def date_of(number: int) -> date:
    return _EPOCH + timedelta(days=number)


def end_of(number: int) -> datetime:
    """Return the first instant after a day."""
    return datetime.combine(date_of(number + 1), datetime.min.time(), UTC)


async def last_closed(tx: Tx, tenant: int) -> ClosedDay | None:
    """Return the last day that was closed."""
    row = (
        await tx.connection.execute(
            select(ClosedDayRow.__table__)
            .where(ClosedDayRow.tenant == tenant)
            .order_by(ClosedDayRow.day.desc())
            .limit(1)
        )
    ).first()
    return None if row is None else closed_day_of(row)


def closed_day_of(row: object) -> ClosedDay:
    names = (name for name in ClosedDay.__dataclass_fields__)
    return ClosedDay(*(getattr(row, name) for name in names))


def root_over(balances: Iterable[DayBalance]) -> bytes:
    """Return the Merkle root over the accounts that changed, in the order of their ids."""
    return root_of([leaf_hash(canonical(*each)) for each in balances])


def totals_digest(totals: Iterable[DayTotal]) -> bytes:
    """Return a hash over the sums, in the order of asset and kind."""
    return hashlib.sha256(b"".join(canonical(*each) for each in totals)).digest()


async def day_totals(tx: Tx, tenant: int, day: int) -> list[DayTotal]:
    """Return the sums of a closed day, by asset and kind."""
    rows = await tx.connection.execute(
        select(
            DayTotalRow.asset,
            DayTotalRow.kind,
            DayTotalRow.accounts,
            DayTotalRow.debits,
            DayTotalRow.credits,
            DayTotalRow.balance,
        ).where(DayTotalRow.tenant == tenant, DayTotalRow.day == day)
    )
    return sorted(DayTotal(*row) for row in rows)
