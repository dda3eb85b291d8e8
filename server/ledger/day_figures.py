"""The figures of a day: what each account did on it, and the sums of each kind.

Read after the day was cut off, so nothing that is read here can change any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import func, select, text

from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx
from server.ledger.book_errors import BooksUnbalanced
from server.ledger.chain import FIRST_PREVIOUS
from server.ledger.days import (
    ClosedDay,
    DayBalance,
    DayTotal,
    day_totals,
    end_of,
    last_closed,
    root_over,
    totals_digest,
)
from server.ledger.models import EntryRow, LeafRow, SealRow


@dataclass(slots=True)
class Figures:
    """All that will be stored about a day."""

    closed: ClosedDay
    balances: list[DayBalance] = field(default_factory=list)
    totals: list[DayTotal] = field(default_factory=list)


async def figures_of(tx: Tx, tenant: int, day: int) -> Figures:
    """Return all that will be stored about a day.

    Raises:
        BooksUnbalanced: the balances of an asset do not sum to zero.
    """
    last = await last_closed(tx, tenant)
    covered = 0 if last is None else last.covered
    seal = (
        await tx.connection.execute(
            select(SealRow.number, SealRow.last_position, SealRow.hash)
            .where(SealRow.tenant == tenant)
            .order_by(SealRow.number.desc())
            .limit(1)
        )
    ).first()
    number, position, seal_hash = seal or (0, 0, FIRST_PREVIOUS)
    balances = await _balances(tx, tenant, day, last, position)
    totals = await _totals(tx, tenant, last, balances)
    _check_balanced(totals)
    figures = [each[0] for each in balances]
    return Figures(
        ClosedDay(
            tenant=tenant,
            day=day,
            accounts=len(figures),
            postings=sum(each.postings for each in figures),
            covered=await _covered(tx, tenant, day, covered, position),
            seal=number,
            seal_hash=seal_hash,
            root=root_over(figures),
            totals=totals_digest(totals),
            previous=FIRST_PREVIOUS if last is None else last.hash,
            at=tx.now,
        ),
        figures,
        totals,
    )


_CHANGED = """
    SELECT c.account, c.postings, c.debits, c.credits, a.kind, a.asset,
      (SELECT b.balance FROM day_balance b WHERE b.tenant = :tenant AND b.account = c.account
        ORDER BY b.day DESC LIMIT 1)
    FROM (
      SELECT CASE WHEN leg = 1 THEN debit ELSE credit END AS account, count(*) AS postings,
        sum(CASE WHEN leg = 1 THEN amount ELSE 0 END) AS debits,
        sum(CASE WHEN leg = 2 THEN amount ELSE 0 END) AS credits
      FROM leaf l
      JOIN entry e ON e.tenant = l.tenant AND e.id = l.entry
      CROSS JOIN (SELECT 1 AS leg UNION ALL SELECT 2) legs
      WHERE l.tenant = :tenant AND l.position > :after AND l.position <= :upto
        AND e.debit_version IS NOT NULL AND e.effective_at >= :begin AND e.effective_at < :end
      GROUP BY CASE WHEN leg = 1 THEN debit ELSE credit END
    ) c JOIN account a ON a.tenant = :tenant AND a.id = c.account
    ORDER BY c.account
"""
_Changed = tuple[DayBalance, str, str, bool]


async def _balances(
    tx: Tx, tenant: int, day: int, last: ClosedDay | None, upto: int
) -> list[_Changed]:
    """Return for each account that changed its figures, asset, kind, and whether it is new."""
    rows = await tx.connection.execute(
        text(_CHANGED),
        {
            "tenant": tenant,
            "after": 0 if last is None else last.covered,
            "upto": upto,
            "begin": -(2**62) if last is None else to_microseconds(end_of(last.day)),
            "end": to_microseconds(end_of(day)),
        },
    )
    found = []
    for account, postings, debits, credits_, kind, asset, before in rows:
        id_ = UUID(bytes=account) if isinstance(account, bytes) else account
        balance = int(before or 0) + int(credits_) - int(debits)
        figures = DayBalance(id_, int(postings), int(debits), int(credits_), balance)
        found.append((figures, asset, kind, before is None))
    return found


async def _totals(
    tx: Tx, tenant: int, last: ClosedDay | None, changed: Sequence[_Changed]
) -> list[DayTotal]:
    sums: dict[tuple[str, str], list[int]] = {}
    if last is not None:
        for row in await day_totals(tx, tenant, last.day):
            sums[row.asset, row.kind] = [row.accounts, 0, 0, row.balance]
    for figures, asset, kind, is_new in changed:
        total = sums.setdefault((asset, kind), [0, 0, 0, 0])
        total[0] += is_new
        total[1] += figures.debits
        total[2] += figures.credits
        total[3] += figures.credits - figures.debits
    return [DayTotal(asset, kind, *total) for (asset, kind), total in sorted(sums.items())]


def _check_balanced(totals: Iterable[DayTotal]) -> None:
    sums: dict[str, int] = {}
    for total in totals:
        sums[total.asset] = sums.get(total.asset, 0) + total.balance
    wrong = {asset: off for asset, off in sums.items() if off}
    if wrong:
        raise BooksUnbalanced(
            f"The balances of {', '.join(wrong)} do not sum to zero.",
            fix="Run `tallystick verify-ledger`; no day is closed before it is sound.",
        )


async def _covered(tx: Tx, tenant: int, day: int, after: int, upto: int) -> int:
    """Return the last position up to which everything took effect by the end of the day."""
    beyond = await tx.connection.scalar(
        select(func.min(LeafRow.position))
        .join(EntryRow, (EntryRow.tenant == LeafRow.tenant) & (EntryRow.id == LeafRow.entry))
        .where(
            LeafRow.tenant == tenant,
            LeafRow.position > after,
            LeafRow.position <= upto,
            EntryRow.effective_at >= end_of(day),
        )
    )
    return upto if beyond is None else int(beyond) - 1
