"""The trial balance: every kind of account, by asset; each asset sums to zero."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select

from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.ledger.book_errors import DayNotClosed
from server.ledger.book_models import ClosedDayRow
from server.ledger.chart import AccountClass, AccountKind
from server.ledger.days import day_totals, number_of
from server.ledger.models import AccountRow, PostingRow
from server.ledger.past import Times


@dataclass(frozen=True, slots=True)
class TrialLine:
    """The sum over all accounts of a kind in one asset; ``shown`` has the natural sign."""

    asset: str
    kind: AccountKind
    account_class: AccountClass
    accounts: int
    posted: int
    shown: int


@dataclass(frozen=True, slots=True)
class TrialBalance:
    lines: tuple[TrialLine, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Return the sum per asset, credit-positive: zero, or the books are wrong."""
        totals: dict[str, int] = {}
        for line in self.lines:
            totals[line.asset] = totals.get(line.asset, 0) + line.posted
        return totals

    @property
    def balanced(self) -> bool:
        return not any(self.totals.values())

    def as_json(self) -> dict[str, object]:
        return {
            "balanced": self.balanced,
            "totals": self.totals,
            "lines": [
                {
                    "currency": line.asset,
                    "kind": line.kind,
                    "class": line.account_class,
                    "accounts": line.accounts,
                    "amount": line.shown,
                }
                for line in self.lines
            ],
        }

    def as_text(self) -> str:
        rows = [
            f"{line.account_class:<10} {line.kind:<24} {line.accounts:>7} "
            f"{Money(line.shown, line.asset)!s:>24}"
            for line in self.lines
        ]
        rows += [
            f"{asset}: {'sums to zero' if total == 0 else f'is off by {Money(total, asset)}'}"
            for asset, total in self.totals.items()
        ]
        return "\n".join(rows or ["There are no accounts yet."])


async def trial_balance(
    tx: Tx, tenant: int, *, at: datetime | None = None, by: Times = Times.RECORDED
) -> TrialBalance:
    """Return the sums of all accounts by asset and kind, now or as they were at an instant."""
    total, opened = func.sum(AccountRow.posted), AccountRow.tenant == tenant
    if at is not None:
        moment = PostingRow.at if by is Times.RECORDED else PostingRow.effective_at
        past = (
            select(PostingRow.account, func.sum(PostingRow.delta).label("posted"))
            .where(PostingRow.tenant == tenant, moment <= at)
            .group_by(PostingRow.account)
            .subquery()
        )
        query = (
            select(AccountRow.asset, AccountRow.kind, func.count(), func.sum(past.c.posted))
            .join(past, past.c.account == AccountRow.id)
            .where(opened)
        )
    else:
        query = select(AccountRow.asset, AccountRow.kind, func.count(), total).where(opened)
    rows = await tx.connection.execute(query.group_by(AccountRow.asset, AccountRow.kind))
    return _trial_balance([(asset, kind, count, int(sum_)) for asset, kind, count, sum_ in rows])


async def closed_trial_balance(tx: Tx, tenant: int, day: date) -> TrialBalance:
    """Return the trial balance that was closed with a day: the same for ever.

    Raises:
        DayNotClosed: the day is open, or before the first one that was closed.
    """
    number = number_of(day)
    closed = select(ClosedDayRow.day).where(
        ClosedDayRow.tenant == tenant, ClosedDayRow.day == number
    )
    if await tx.connection.scalar(closed) is None:
        raise DayNotClosed(f"{day} is not closed.", fix="Close it, or ask for an instant.")
    totals = await day_totals(tx, tenant, number)
    return _trial_balance([(row.asset, row.kind, row.accounts, row.balance) for row in totals])


def _trial_balance(sums: Iterable[tuple[str, str, int, int]]) -> TrialBalance:
    lines = []
    for asset, name, accounts, posted in sums:
        kind = AccountKind(name)
        account_class = kind.rule.account_class
        shown = posted * account_class.sign
        lines.append(TrialLine(asset, kind, account_class, accounts, posted, shown))
    classes = list(AccountClass)
    lines.sort(key=lambda line: (line.asset, classes.index(line.account_class), line.kind))
    return TrialBalance(tuple(lines))
