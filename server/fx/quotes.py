"""Quotes: a price that holds for thirty seconds and can be taken once.

Nothing is reserved by a quote. Whoever takes it does so in the transaction that posts its entries:
if the money is refused and that transaction fails, the quote can be taken again while it lasts. A
transaction that goes on in spite of the refusal says so with `void_quotes`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Final
from uuid import UUID

from sqlalchemy import insert, select, update

from server.fx.errors import QuoteExpired, QuoteMismatch, QuoteTaken, QuoteUnknown
from server.fx.models import QuoteRow
from server.fx.pricing import price_of_purchase, price_of_sale
from server.fx.rates import current_mid
from server.fx.terms import is_domestic, terms_in_force
from server.kit.money import asset
from server.kit.unit_of_work import Tx

QUOTE_LIFE: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What somebody wants to exchange: exactly one of the two amounts, in minor units.

    ``payee_id`` and the countries are of a payment to somebody else; for one's own exchange payee
    and payer are the same person.
    """

    user_id: UUID
    sell_currency: str
    buy_currency: str
    sell_amount: int | None = None
    buy_amount: int | None = None
    payee_id: UUID | None = None
    payer_country: str | None = None
    payee_country: str | None = None

    def __post_init__(self) -> None:
        if (self.sell_amount is None) == (self.buy_amount is None):
            raise ValueError("a quote is for what is sold or for what is bought")


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote as it was given. ``sell_amount`` is all that the payer gives, charge included."""

    id: UUID
    tenant: int
    user_id: UUID
    payee_id: UUID | None
    sell_currency: str
    buy_currency: str
    sell_amount: int
    buy_amount: int
    charge_amount: int
    """In the currency sold, part of ``sell_amount``."""
    spread_amount: int
    """In the currency bought: how much less is bought than at the mid rate."""
    sell_rate: str
    buy_rate: str
    rate_date: date
    rate_source: str
    spread_bps: int
    charge_bps: int
    payer_country: str | None
    payee_country: str | None
    created_at: datetime
    expires_at: datetime
    taken_at: datetime | None
    voided_at: datetime | None = None

    @property
    def net_amount(self) -> int:
        """What of ``sell_amount`` is exchanged."""
        return self.sell_amount - self.charge_amount

    @property
    def mid(self) -> Fraction:
        """Units bought for one unit sold, exactly."""
        return Fraction(self.buy_rate) / Fraction(self.sell_rate)

    @property
    def rate(self) -> Fraction:
        """Units bought for one unit that is exchanged: the mid rate less the spread."""
        return self.mid * Fraction(10_000 - self.spread_bps, 10_000)

    @property
    def domestic(self) -> bool:
        return self.payee_id is None or is_domestic(self.payer_country, self.payee_country)


async def make_quote(tx: Tx, tenant: int, wanted: QuoteRequest, *, age_max_days: int) -> Quote:
    """Give a quote and remember it.

    Raises:
        UnknownCurrency: this server does not know one of the currencies.
        InvalidRequest: they are the same.
        RateMissing: there is no rate for one of them.
        RateStale: a rate is more than ``age_max_days`` working days old.
        AmountTooSmall: nothing would be left of the amount.
        AmountTooLarge: an amount would be over ``AMOUNT_MAX``.
    """
    sell, buy = wanted.sell_currency, wanted.buy_currency
    mid = await current_mid(tx, tenant, sell, buy, age_max_days=age_max_days)
    terms = await terms_in_force(tx, tenant)
    spread_bps = terms.spread_bps(sell, buy)
    charge_bps = (
        terms.document.domestic_bps
        if wanted.payee_id is None
        else terms.charge_bps(wanted.payer_country, wanted.payee_country)
    )
    if wanted.sell_amount is not None:
        price = price_of_sale(
            wanted.sell_amount, mid.minor, spread_bps=spread_bps, charge_bps=charge_bps
        )
    else:
        assert wanted.buy_amount is not None
        price = price_of_purchase(
            wanted.buy_amount, mid.minor, spread_bps=spread_bps, charge_bps=charge_bps
        )
    quote = Quote(
        id=tx.ids.uuid(),
        tenant=tenant,
        user_id=wanted.user_id,
        payee_id=wanted.payee_id,
        sell_currency=asset(sell).code,
        buy_currency=asset(buy).code,
        sell_amount=price.sell,
        buy_amount=price.buy,
        charge_amount=price.charge,
        spread_amount=price.spread,
        sell_rate=mid.sell.text,
        buy_rate=mid.buy.text,
        rate_date=mid.on,
        rate_source=mid.source,
        spread_bps=spread_bps,
        charge_bps=charge_bps,
        payer_country=wanted.payer_country,
        payee_country=wanted.payee_country,
        created_at=tx.now,
        expires_at=tx.now + QUOTE_LIFE,
        taken_at=None,
    )
    values = {name: getattr(quote, name) for name in Quote.__slots__}
    await tx.connection.execute(insert(QuoteRow).values(values))
    return quote


async def find_quote(tx: Tx, tenant: int, user_id: UUID, quote_id: UUID) -> Quote:
    """Return one of a user's own quotes.

    Raises:
        QuoteUnknown: there is none with this id, or it is somebody else's.
    """
    row = await tx.session.get(QuoteRow, (tenant, quote_id))
    return _own(row, user_id)


async def take_quote(
    tx: Tx, tenant: int, user_id: UUID, quote_id: UUID, *, payee_id: UUID | None = None
) -> Quote:
    """Use a quote up, in the transaction that posts `postings_for` it.

    Raises:
        QuoteUnknown: there is none with this id, or it is somebody else's.
        QuoteTaken: it was used before.
        QuoteExpired: its thirty seconds are over.
        QuoteMismatch: it was made for paying somebody else, or for one's own exchange.
    """
    row = await tx.session.scalar(
        select(QuoteRow)
        .where(QuoteRow.tenant == tenant, QuoteRow.id == quote_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    quote = _own(row, user_id)
    assert row is not None
    if quote.payee_id != payee_id:
        raise QuoteMismatch(
            "The quote was made for another payment.", fix="Ask for a quote for this payee."
        )
    if quote.taken_at is not None:
        raise QuoteTaken("A quote is good once.", fix="Ask for a new quote.")
    if tx.now >= quote.expires_at:
        raise QuoteExpired(
            f"The quote ended at {quote.expires_at:%Y-%m-%dT%H:%M:%SZ}.",
            fix="Ask for a new quote and use it within 30 seconds.",
        )
    row.taken_at = tx.now
    await tx.session.flush()
    return _view(row)


async def void_quotes(tx: Tx, tenant: int, quote_ids: Collection[UUID]) -> None:
    """Say of quotes that this transaction took that nothing was posted for them.

    For whoever keeps a refusal instead of letting the transaction fail. They stay used up.
    """
    if quote_ids:
        await tx.session.execute(
            update(QuoteRow)
            .where(
                QuoteRow.tenant == tenant,
                QuoteRow.id.in_(quote_ids),
                QuoteRow.taken_at == tx.now,
                QuoteRow.voided_at.is_(None),
            )
            .values(voided_at=tx.now)
        )


def _own(row: QuoteRow | None, user_id: UUID) -> Quote:
    if row is None or row.user_id != user_id:
        raise QuoteUnknown("You have no quote with this id.", fix="Ask for a quote.")
    return _view(row)


def _view(row: QuoteRow) -> Quote:
    return Quote(**{name: getattr(row, name) for name in Quote.__slots__})
