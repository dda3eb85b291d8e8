"""The trial balance: every kind of account, by asset; each asset sums to zero."""

from dataclasses import dataclass

from sqlalchemy import func, select

from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountClass, AccountKind
from server.ledger.models import AccountRow


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


async def trial_balance(tx: Tx, tenant: int) -> TrialBalance:
    """Return the sums of all accounts by asset and kind."""
    rows = await tx.connection.execute(
        select(
            AccountRow.asset,
            AccountRow.kind,
            func.count(),
            func.sum(AccountRow.posted),
        )
        .where(AccountRow.tenant == tenant)
        .group_by(AccountRow.asset, AccountRow.kind)
    )
    lines = []
    for asset, kind, accounts, posted in rows:
        account_class = AccountKind(kind).rule.account_class
        total = int(posted)
        lines.append(
            TrialLine(
                asset, AccountKind(kind), account_class, accounts, total, total * account_class.sign
            )
        )
    classes = list(AccountClass)
    lines.sort(key=lambda line: (line.asset, classes.index(line.account_class), line.kind))
    return TrialBalance(tuple(lines))
