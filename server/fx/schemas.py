"""What the exchange of currencies takes and gives over HTTP."""

from datetime import date, datetime
from decimal import Context, Decimal
from fractions import Fraction
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.fx.quotes import Quote
from server.fx.terms import TermsDocument
from server.kit.schema import Amount, CurrencyCode, Schema

_SHOWN = Context(prec=12)
Id = Annotated[UUID, msgspec.Meta(examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]
Day = Annotated[date, msgspec.Meta(examples=["2026-03-02"])]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500, examples=["decided on 3 March"])]


class RateView(Schema):
    """Units of a currency for one euro. A stale rate is shown and not exchanged by."""

    currency: str
    rate: str
    rate_date: date | None
    source: str
    age_working_days: int
    stale: bool


class RatesView(Schema):
    """The rates that are known now."""

    base: str
    age_max_working_days: int
    rates: list[RateView]


class QuoteCreate(Schema):
    """Ask what an exchange costs: name exactly one of the two amounts.

    With ``payee`` (a username) it is a payment to somebody else, and with ``payee_id`` too.
    """

    sell_currency: CurrencyCode
    buy_currency: CurrencyCode
    sell_amount: Amount | None = None
    buy_amount: Amount | None = None
    payee: Annotated[str, msgspec.Meta(max_length=64, examples=["grace"])] | None = None
    payee_id: Id | None = None


class QuoteView(Schema):
    """What an exchange costs, until ``expires_at``. Amounts are minor units.

    ``sell_amount`` is all that leaves the payer: ``charge_amount`` for the house, the rest
    exchanged at ``rate``, which is ``mid`` less the spread. ``spread_amount`` is in the currency
    bought.
    """

    id: UUID
    sell_currency: str
    sell_amount: int
    charge_amount: int
    charge_bps: int
    charge_kind: Literal["domestic", "international"]
    net_amount: int
    buy_currency: str
    buy_amount: int
    spread_amount: int
    spread_bps: int
    mid: str
    rate: str
    rate_date: date
    rate_source: str
    payer_country: str | None
    payee_country: str | None
    payee_id: UUID | None
    created_at: datetime
    expires_at: datetime
    taken_at: datetime | None


class ExchangeCreate(Schema):
    """Exchange your own money as a quote says."""

    quote_id: Id


class ExchangeView(Schema):
    """An exchange that was made; it has the id of its quote."""

    id: UUID
    sell_currency: str
    sell_amount: int
    charge_amount: int
    buy_currency: str
    buy_amount: int
    rate: str
    exchanged_at: datetime


class TermsVersion(Schema):
    """A version of the terms of exchange; number 0 is the built-in one."""

    version: int
    in_force: bool
    effective_at: datetime | None
    reason: str
    changed_by: str
    changed_at: datetime | None
    terms: TermsDocument


class TermsChange(Schema):
    """The whole new terms, and the version that they replace."""

    terms: TermsDocument
    reason: Reason
    replaces: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, examples=[0])]
    effective_at: (
        Annotated[datetime, msgspec.Meta(tz=True, examples=["2026-12-01T00:00:00Z"])] | None
    ) = None


class RateSet(Schema):
    """A rate that an officer stands for: units of the currency for one euro on a day."""

    currency: CurrencyCode
    rate: Annotated[str, msgspec.Meta(max_length=24, examples=["129.45"])]
    rate_date: Day
    reason: Reason


def quote_view(quote: Quote) -> QuoteView:
    return QuoteView(
        id=quote.id,
        sell_currency=quote.sell_currency,
        sell_amount=quote.sell_amount,
        charge_amount=quote.charge_amount,
        charge_bps=quote.charge_bps,
        charge_kind="domestic" if quote.domestic else "international",
        net_amount=quote.net_amount,
        buy_currency=quote.buy_currency,
        buy_amount=quote.buy_amount,
        spread_amount=quote.spread_amount,
        spread_bps=quote.spread_bps,
        mid=shown(quote.mid),
        rate=shown(quote.rate),
        rate_date=quote.rate_date,
        rate_source=quote.rate_source,
        payer_country=quote.payer_country,
        payee_country=quote.payee_country,
        payee_id=quote.payee_id,
        created_at=quote.created_at,
        expires_at=quote.expires_at,
        taken_at=quote.taken_at,
    )


def exchange_view(quote: Quote) -> ExchangeView:
    assert quote.taken_at is not None
    return ExchangeView(
        id=quote.id,
        sell_currency=quote.sell_currency,
        sell_amount=quote.sell_amount,
        charge_amount=quote.charge_amount,
        buy_currency=quote.buy_currency,
        buy_amount=quote.buy_amount,
        rate=shown(quote.rate),
        exchanged_at=quote.taken_at,
    )


def shown(number: Fraction) -> str:
    """Return a rate for people, of twelve significant digits. Amounts never follow from it."""
    quotient = _SHOWN.divide(Decimal(number.numerator), Decimal(number.denominator))
    return f"{quotient.normalize(_SHOWN):f}"
