"""The state of offline money in a few figures, for operators and for tests.

The one equation that must always hold: the ledger's offline float is the sum of what open vouchers
still back, in every currency.
"""

from dataclasses import asdict, dataclass
from hashlib import sha256

import msgspec
from sqlalchemy import Select, func, select

from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, balance
from server.offline.models import AccountRow, ConflictRow, PositionRow, VoucherRow


@dataclass(frozen=True, slots=True)
class CurrencyReport:
    """Minor units. ``debts`` is what double spenders still owe."""

    currency: str
    offline_float: int
    open_vouchers: int
    clearing: int
    guarantee_fund: int
    debts: int
    recovered: int
    loss: int

    @property
    def adds_up(self) -> bool:
        return self.offline_float == self.open_vouchers and self.clearing == 0


@dataclass(frozen=True, slots=True)
class OfflineReport:
    currencies: tuple[CurrencyReport, ...]
    forks: int
    clones: int

    @property
    def adds_up(self) -> bool:
        """Whether the float is the sum of open vouchers and nothing is stuck in clearing."""
        return all(each.adds_up for each in self.currencies)

    def as_json(self) -> dict[str, object]:
        return {
            "adds_up": self.adds_up,
            "forks": self.forks,
            "clones": self.clones,
            "currencies": [asdict(each) | {"adds_up": each.adds_up} for each in self.currencies],
        }

    def as_text(self) -> str:
        lines = [f"Double spends: {self.forks}. Copied devices: {self.clones}."]
        for each in self.currencies:
            verdict = "equal" if each.adds_up else "NOT EQUAL"
            lines.append(
                f"{each.currency}: float {_money(each, each.offline_float)}, "
                f"open vouchers {_money(each, each.open_vouchers)}: {verdict}"
            )
            lines.append(
                f"     guarantee fund {_money(each, each.guarantee_fund)}, "
                f"debts {_money(each, each.debts)}, recovered {_money(each, each.recovered)}, "
                f"loss {_money(each, each.loss)}"
            )
        return "\n".join(lines)


async def offline_report(tx: Tx, tenant: int) -> OfflineReport:
    """Return the figures of one tenant."""
    open_vouchers = await _sums(
        tx,
        select(VoucherRow.currency, func.sum(VoucherRow.unpaid))
        .where(VoucherRow.tenant == tenant)
        .group_by(VoucherRow.currency),
    )
    outstanding = AccountRow.owed - AccountRow.recovered + AccountRow.overdrawn
    by_currency = select(AccountRow.currency).where(AccountRow.tenant == tenant)
    by_currency = by_currency.group_by(AccountRow.currency)
    owed = await _sums(tx, by_currency.add_columns(func.sum(outstanding)))
    recovered = await _sums(tx, by_currency.add_columns(func.sum(AccountRow.recovered)))
    counts = {
        kind: int(number)
        for kind, number in await tx.session.execute(
            select(ConflictRow.kind, func.count())
            .where(ConflictRow.tenant == tenant)
            .group_by(ConflictRow.kind)
        )
    }

    async def shown(kind: AccountKind, currency: str) -> int:
        return (await balance(tx, AccountRef(kind, currency, None, tenant))).shown

    return OfflineReport(
        currencies=tuple(
            [
                CurrencyReport(
                    currency=code,
                    offline_float=await shown(AccountKind.HOUSE_OFFLINE_FLOAT, code),
                    open_vouchers=open_vouchers.get(code, 0),
                    clearing=await shown(AccountKind.HOUSE_OFFLINE_CLEARING, code),
                    guarantee_fund=await shown(AccountKind.HOUSE_GUARANTEE_FUND, code),
                    debts=owed.get(code, 0),
                    recovered=recovered.get(code, 0),
                    loss=await shown(AccountKind.HOUSE_OFFLINE_LOSS, code),
                )
                for code in sorted(open_vouchers.keys() | owed.keys())
            ]
        ),
        forks=counts.get("fork", 0),
        clones=counts.get("clone", 0),
    )


async def positions_digest(tx: Tx, tenant: int) -> bytes:
    """Return 32 bytes that are equal exactly when the settled positions and debts are."""
    positions = await tx.session.execute(
        select(
            PositionRow.root,
            PositionRow.leg,
            PositionRow.account,
            PositionRow.amount,
            PositionRow.held,
        ).where(PositionRow.tenant == tenant, PositionRow.amount > 0)
    )
    accounts = await tx.session.execute(
        select(
            AccountRow.currency,
            AccountRow.user_id,
            AccountRow.owed,
            AccountRow.recovered,
            AccountRow.overdrawn,
        ).where(AccountRow.tenant == tenant, AccountRow.owed + AccountRow.overdrawn > 0)
    )
    state = [sorted(map(tuple, positions)), sorted(map(tuple, accounts))]
    return sha256(msgspec.json.encode(state)).digest()


async def _sums(tx: Tx, query: Select[str, int]) -> dict[str, int]:
    return {code: int(total) for code, total in await tx.session.execute(query)}


def _money(report: CurrencyReport, amount: int) -> Money:
    return Money(amount, report.currency)
