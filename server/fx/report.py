"""The officers' report: what exchanges left us with, what they earned, and whether both add up.

What exchanges posted to positions and income is compared with the sums of all quotes that were
taken; a difference is a fault. Others post to a position too, such as a card company that pays out
in another currency: that part is shown apart.
"""

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import func, select

from server.fx.models import QuoteRow
from server.fx.postings import POSTED_KINDS
from server.fx.rates import Rate, newest_rates
from server.kit.money import Money, asset
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, totals_by_kind, trial_balance


@dataclass(frozen=True, slots=True)
class CurrencyLine:
    """One currency, in minor units. A position above zero is what we have too much of."""

    currency: str
    position: int
    position_exchanged: int
    """The part of the position that exchanges posted."""
    position_quoted: int
    income: int
    income_quoted: int
    exchanges: int
    """Quotes that were taken in which the currency was sold or bought."""
    position_euro: int | None
    """The position in euro cents at the newest rate, rounded down; None when there is no rate."""

    @property
    def position_other(self) -> int:
        return self.position - self.position_exchanged

    @property
    def adds_up(self) -> bool:
        return (self.position_exchanged, self.income) == (self.position_quoted, self.income_quoted)


@dataclass(frozen=True, slots=True)
class FxReport:
    """Every currency in which something was exchanged."""

    lines: list[CurrencyLine]

    @property
    def adds_up(self) -> bool:
        return all(line.adds_up for line in self.lines)

    def as_json(self) -> dict[str, object]:
        return {
            "adds_up": self.adds_up,
            "currencies": [
                asdict(line) | {"position_other": line.position_other, "adds_up": line.adds_up}
                for line in self.lines
            ],
        }

    def as_text(self) -> str:
        head = (
            f"{'':4} {'position':>22} {'not by exchanges':>22} {'income':>22} "
            f"{'exchanges':>10} {'position in EUR':>18}"
        )
        end = (
            "What exchanges posted is the sum of all quotes that were taken."
            if self.adds_up
            else "The books differ from the quotes."
        )
        return "\n".join([head, *map(_row, self.lines), end])


def _row(line: CurrencyLine) -> str:
    def money(amount: int) -> str:
        return f"{Money(amount, line.currency)!s:>22}"

    euro = "-" if line.position_euro is None else str(Money(line.position_euro, "EUR"))
    return (
        f"{line.currency:4} {money(line.position)} {money(line.position_other)} "
        f"{money(line.income)} {line.exchanges:>10} {euro:>18}"
        + ("" if line.adds_up else "  DIFFERS FROM ITS QUOTES")
    )


async def fx_report(tx: Tx, tenant: int) -> FxReport:
    """Compare positions and income with the quotes, in every currency that has either."""
    sold = await _sums(tx, tenant, "sell_currency", "sell_amount", "charge_amount")
    bought = await _sums(tx, tenant, "buy_currency", "buy_amount", "spread_amount")
    posted = {
        line.asset
        for line in (await trial_balance(tx, tenant)).lines
        if line.kind in {AccountKind.HOUSE_FX_POSITION, AccountKind.HOUSE_FX_INCOME}
    }
    currencies = sorted({*sold, *bought, *posted})
    rates = await newest_rates(tx, tenant, currencies)
    lines = []
    for currency in currencies:
        given = sold.get(currency, _Sums(0, 0, 0))
        taken = bought.get(currency, _Sums(0, 0, 0))
        by_kind = await totals_by_kind(
            tx, AccountRef(AccountKind.HOUSE_FX_POSITION, currency, None, tenant)
        )
        earned = await totals_by_kind(
            tx, AccountRef(AccountKind.HOUSE_FX_INCOME, currency, None, tenant)
        )
        position = sum(by_kind.values())
        lines.append(
            CurrencyLine(
                currency=currency,
                position=position,
                position_exchanged=sum(
                    total for kind, total in by_kind.items() if kind in POSTED_KINDS
                ),
                position_quoted=given.amount - given.earned - taken.amount - taken.earned,
                income=sum(earned.values()),
                income_quoted=given.earned + taken.earned,
                exchanges=given.times + taken.times,
                position_euro=_in_euro(position, rates.get(currency)),
            )
        )
    return FxReport(lines)


class _Sums(NamedTuple):
    amount: int
    earned: int
    times: int


async def _sums(tx: Tx, tenant: int, currency: str, amount: str, earned: str) -> dict[str, _Sums]:
    columns = QuoteRow.__table__.c
    rows = await tx.connection.execute(
        select(
            columns[currency], func.sum(columns[amount]), func.sum(columns[earned]), func.count()
        )
        .where(
            QuoteRow.tenant == tenant,
            QuoteRow.taken_at.is_not(None),
            QuoteRow.voided_at.is_(None),
        )
        .group_by(columns[currency])
    )
    return {row[0]: _Sums(int(row[1]), int(row[2]), int(row[3])) for row in rows}


def _in_euro(position: int, rate: Rate | None) -> int | None:
    if rate is None:
        return None
    cents = Fraction(position) / rate.per_euro * Fraction(10) ** (2 - asset(rate.currency).scale)
    return cents.numerator // cents.denominator
