"""What accounts had at a past instant, and statements of a period.

There are two times. The *recorded* time is when the ledger learnt of a movement; it never changes
and orders an account's postings. The *effective* time is when the movement counts from, such as
the value date of a bank; a fact that was learnt later took effect before it was recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import and_, case, func, or_, select

from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountKind, AccountRef
from server.ledger.models import AccountRow, EntryRow, HoldRow, PostingRow
from server.ledger.queries import Balance, StatementLine, balance_at, point_at, statement

_TICK = timedelta(microseconds=1)


class Times(StrEnum):
    """Which of the two times counts."""

    RECORDED = "recorded"
    EFFECTIVE = "effective"


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """What an account did in a period of recorded time. Amounts are credit-positive."""

    ref: AccountRef
    begin: datetime
    end: datetime
    opening: int
    closing: int
    lines: tuple[StatementLine, ...]
    next_version: int | None
    """Where the next page goes on (its ``after_version``), or None behind the last line."""


async def account_statement(
    tx: Tx,
    ref: AccountRef,
    *,
    begin: datetime,
    end: datetime,
    after_version: int = 0,
    limit: int = 100,
) -> AccountStatement:
    """Return a page of what was recorded from ``begin`` up to, and without, ``end``.

    Opening and closing balance are those of the whole period on every page. A period that is over
    never changes.
    """
    first, opening = await point_at(tx, ref, begin - _TICK)
    last, closing = await point_at(tx, ref, max(begin, end) - _TICK)
    after = max(first, after_version)
    lines: Sequence[StatementLine] = ()
    if after < last:
        lines = await statement(tx, ref, after_version=after, limit=min(limit, last - after))
    more = lines and lines[-1].version < last
    return AccountStatement(
        ref, begin, end, opening, closing, tuple(lines), lines[-1].version if more else None
    )


async def balance_effective(tx: Tx, ref: AccountRef, when: datetime) -> int:
    """Return the sum of all that took effect up to and including an instant.

    It is what was recorded by then, and few corrections: an index has only the postings whose two
    times differ.
    """
    late = and_(PostingRow.effective_at <= when, PostingRow.at > when)
    early = and_(PostingRow.effective_at > when, PostingRow.at <= when)
    corrections = await tx.connection.scalar(
        select(
            func.coalesce(
                func.sum(case((late, PostingRow.delta), (early, -PostingRow.delta), else_=0)), 0
            )
        ).where(
            PostingRow.tenant == ref.tenant,
            PostingRow.account == ref.id,
            PostingRow.effective_at != PostingRow.at,
        )
    )
    return await balance_at(tx, ref, when) + int(corrections or 0)


async def held_at(tx: Tx, ref: AccountRef, when: datetime) -> int:
    """Return what open holds kept back at an instant, by recorded time."""
    captured = (
        select(func.coalesce(func.sum(EntryRow.amount), 0))
        .where(
            EntryRow.tenant == HoldRow.tenant,
            EntryRow.hold == HoldRow.id,
            EntryRow.operation == "capture",
            EntryRow.outcome == "applied",
            EntryRow.at <= when,
        )
        .correlate(HoldRow)
        .scalar_subquery()
    )
    ended = (
        select(EntryRow.id)
        .where(
            EntryRow.tenant == HoldRow.tenant,
            EntryRow.hold == HoldRow.id,
            EntryRow.operation.in_(["release", "expire"]),
            EntryRow.outcome == "applied",
            EntryRow.at <= when,
        )
        .correlate(HoldRow)
        .exists()
    )
    total = await tx.connection.scalar(
        select(func.coalesce(func.sum(HoldRow.amount - captured), 0)).where(
            HoldRow.tenant == ref.tenant,
            HoldRow.debit == ref.id,
            HoldRow.at <= when,
            or_(HoldRow.expires_at.is_(None), HoldRow.expires_at > when),
            ~ended,
        )
    )
    return int(total or 0)


async def balances_at(
    tx: Tx, tenant: int, owner: UUID, when: datetime, *, by: Times = Times.RECORDED
) -> list[Balance]:
    """Return the balances that an owner's accounts had at an instant, by asset and kind.

    ``held`` is always what holds kept back by recorded time: a hold takes effect when it is placed.
    """
    rows = await tx.connection.execute(
        select(AccountRow.kind, AccountRow.asset)
        .where(AccountRow.tenant == tenant, AccountRow.owner == owner, AccountRow.opened_at <= when)
        .order_by(AccountRow.asset, AccountRow.kind)
    )
    found = []
    for kind, asset in rows.all():
        ref = AccountRef(AccountKind(kind), asset, owner, tenant)
        version, posted = await point_at(tx, ref, when)
        if by is Times.EFFECTIVE:
            posted = await balance_effective(tx, ref, when)
        found.append(Balance(ref, posted, await held_at(tx, ref, when), version))
    return found


async def account_by_id(tx: Tx, tenant: int, account: UUID) -> AccountRef | None:
    """Return the name of an account that was opened, or None."""
    row = (
        await tx.connection.execute(
            select(AccountRow.kind, AccountRow.asset, AccountRow.owner).where(
                AccountRow.tenant == tenant, AccountRow.id == account
            )
        )
    ).first()
    return None if row is None else AccountRef(AccountKind(row[0]), row[1], row[2], tenant)
