"""Rates: units of a currency for one euro, stored with their day and source, never changed.

The newest day counts; of one day an officer's, and then what was stored last. Rates between two
currencies go through the euro as exact fractions; nothing is rounded before an amount is.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy import Select, func, insert, select, union_all

from server.fx.errors import RateInvalid, RateMissing, RateStale
from server.fx.models import RateRow
from server.kit.errors import InvalidRequest
from server.kit.money import ASSETS, asset
from server.kit.unit_of_work import Tx

PIVOT = "EUR"
OFFICER = "officer"
_STORING = 0xFA7E
"""First half of the advisory lock of whoever stores rates of a tenant."""
_SATURDAY = 5
"""As `date.weekday` counts."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Units of a currency for one euro on a day."""

    currency: str
    text: str
    """The number as its source wrote it."""
    on: date | None
    """None for the euro itself, which never ages."""
    source: str

    @property
    def per_euro(self) -> Fraction:
        return Fraction(self.text)

    def age(self, today: date) -> int:
        """Return how many working days, Monday to Friday, lie between its day and today."""
        return 0 if self.on is None else working_days(self.on, today)


EURO = Rate(PIVOT, "1", None, "definition")


@dataclass(frozen=True, slots=True)
class Mid:
    """A mid rate between two currencies: units of ``buy`` for one unit of ``sell``, exactly."""

    sell: Rate
    buy: Rate

    @property
    def value(self) -> Fraction:
        return self.buy.per_euro / self.sell.per_euro

    @property
    def minor(self) -> Fraction:
        """Minor units of ``buy`` for one minor unit of ``sell``."""
        scale = asset(self.buy.currency).scale - asset(self.sell.currency).scale
        return self.value * Fraction(10) ** scale

    @property
    def on(self) -> date:
        """The older of the two days."""
        days = [rate.on for rate in (self.sell, self.buy) if rate.on is not None]
        return min(days)

    @property
    def source(self) -> str:
        """Where it comes from: ``officer`` as soon as one of the two was set by hand."""
        sources = {rate.source for rate in (self.sell, self.buy)} - {EURO.source}
        return OFFICER if OFFICER in sources else min(sources)


def working_days(since: date, until: date) -> int:
    """Return how many days from Monday to Friday are after ``since``, up to ``until``."""
    if until <= since:
        return 0
    weeks, rest = divmod((until - since).days, 7)
    extra = sum((since + timedelta(n)).weekday() < _SATURDAY for n in range(1, rest + 1))
    return weeks * 5 + extra


async def newest_rates(
    tx: Tx, tenant: int, currencies: Collection[str] = tuple(ASSETS), *, at: datetime | None = None
) -> dict[str, Rate]:
    """Return the newest rate of each currency that has any; the euro always has one.

    With ``at``, what was known at that instant.
    """
    wanted = sorted(set(currencies) - {PIVOT})
    found = {PIVOT: EURO} if PIVOT in currencies else {}
    if wanted:
        query = union_all(*(_newest(tenant, currency, at) for currency in wanted))
        rows: Iterable[Sequence[Any]] = await tx.connection.execute(query)
        found |= {row[0]: Rate(row[0], row[1], row[2], row[3]) for row in rows}
    return found


async def last_mids(
    tx: Tx, tenant: int, currencies: Collection[str], *, at: datetime | None = None
) -> Mapping[str, Fraction]:
    """Return units for one euro of each currency that was ever rated, however old the rate is.

    For counting against limits, never for an exchange.
    """
    rates = await newest_rates(tx, tenant, currencies, at=at)
    return {currency: rate.per_euro for currency, rate in rates.items()}


async def current_mid(tx: Tx, tenant: int, sell: str, buy: str, *, age_max_days: int) -> Mid:
    """Return the mid rate for an exchange.

    Raises:
        UnknownCurrency: one of the currencies is not known here.
        InvalidRequest: they are the same.
        RateMissing: one of them has no rate.
        RateStale: a rate is more than ``age_max_days`` working days old.
    """
    if asset(sell) == asset(buy):
        raise InvalidRequest("An exchange is between two different currencies.")
    rates = await newest_rates(tx, tenant, (sell, buy))
    for currency in (sell, buy):
        if currency not in rates:
            raise RateMissing(
                f"There is no rate for {currency}.",
                fix="Choose another currency, or ask the operator to load or set a rate.",
                currency=currency,
            )
        if (age := rates[currency].age(tx.now.date())) > age_max_days:
            raise RateStale(
                f"The rate for {currency} is of {rates[currency].on}, {age} working days ago.",
                fix="Try again later; the operator has to load newer rates.",
                currency=currency,
                rate_date=str(rates[currency].on),
            )
    return Mid(rates[sell], rates[buy])


async def store_rates(
    tx: Tx, tenant: int, rates: Mapping[str, str], *, on: date, source: str
) -> list[str]:
    """Store what a provider said; return the currencies that are new or changed.

    Currencies unknown to this server are left out. The same sheet again stores nothing.
    """
    await _one_at_a_time(tx, tenant)
    known = await newest_rates(tx, tenant, [code for code in rates if code in ASSETS])
    fresh = [
        code
        for code, text in rates.items()
        if code in ASSETS and code != PIVOT and _says_more(known.get(code), text, on)
    ]
    for code in sorted(fresh):
        await _append(tx, tenant, Rate(code, rates[code], on, source))
    return fresh


async def set_rate(
    tx: Tx, tenant: int, currency: str, text: str, *, on: date, by: str, reason: str
) -> Rate:
    """Store a rate that an officer stands for, until a provider has one of a later day.

    Raises:
        UnknownCurrency: this server does not know the currency.
        RateInvalid: it is the euro, no decimal number above zero, of a day to come, or older than
            what is known.
    """
    asset(currency)
    await _one_at_a_time(tx, tenant)
    known = (await newest_rates(tx, tenant, (currency,))).get(currency)
    problem = (
        "The euro is what the others are measured in."
        if currency == PIVOT
        else "The day is still to come."
        if on > tx.now.date()
        else f"A rate of {known.on} is known already."
        if known is not None and known.on is not None and known.on > on
        else "A rate needs a reason."
        if not reason.strip()
        else None
    )
    if problem is not None or not is_rate(text):
        raise RateInvalid(
            problem or "A rate is a decimal number above zero, such as 48.65.",
            fix="Give units of the currency for one euro, and the day that they are of.",
        )
    rate = Rate(currency, text, on, OFFICER)
    await _append(tx, tenant, rate, by=by, reason=reason)
    return rate


def is_rate(text: str) -> bool:
    """Return whether a text is a decimal above zero with at most 9 places before, 12 after."""
    whole, point, places = text.partition(".")
    digits = whole + places
    return (
        digits.isascii()
        and digits.isdigit()
        and 0 < len(whole) <= 9  # noqa: PLR2004
        and len(places) <= 12  # noqa: PLR2004
        and bool(places) == bool(point)
        and digits.strip("0") != ""
    )


def _newest(tenant: int, currency: str, at: datetime | None) -> Select[tuple[str, str, date, str]]:
    query = select(RateRow.currency, RateRow.rate, RateRow.rate_date, RateRow.source).where(
        RateRow.tenant == tenant, RateRow.currency == currency
    )
    if at is not None:
        query = query.where(RateRow.stored_at <= at)
    newest = query.order_by(RateRow.rate_date.desc(), RateRow.number.desc()).limit(1).subquery()
    return select(newest.c.currency, newest.c.rate, newest.c.rate_date, newest.c.source)


def _says_more(known: Rate | None, text: str, on: date) -> bool:
    if known is None or known.on is None:
        return True
    if on == known.on:
        # What an officer said of a day is not unsaid by the same sheet a quarter of an hour later.
        return known.source != OFFICER and known.per_euro != Fraction(text)
    return on > known.on


async def _append(
    tx: Tx, tenant: int, rate: Rate, *, by: str | None = None, reason: str | None = None
) -> None:
    number = await tx.session.scalar(
        select(func.coalesce(func.max(RateRow.number), 0)).where(
            RateRow.tenant == tenant, RateRow.currency == rate.currency
        )
    )
    await tx.connection.execute(
        insert(RateRow).values(
            tenant=tenant,
            currency=rate.currency,
            number=(number or 0) + 1,
            rate_date=rate.on,
            rate=rate.text,
            source=rate.source,
            set_by=by,
            reason=reason,
            stored_at=tx.now,
        )
    )


async def _one_at_a_time(tx: Tx, tenant: int) -> None:
    """Let whoever stores rates of a tenant see all that were stored before."""
    if tx.dialect == "postgresql":
        await tx.connection.execute(select(func.pg_advisory_xact_lock(_STORING, tenant)))
