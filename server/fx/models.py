"""Tables of the exchange of currencies, private to this room."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime

RATE_DIGITS = 24
"""Characters of a stored rate: up to nine places before the point and twelve behind it."""


class RateRow(Base):
    """Units of a currency for one euro on a day. Rows are never changed; a correction is a row."""

    __tablename__ = "fx_rate"
    __table_args__ = (Index("ix_fx_rate_newest", "tenant", "currency", "rate_date", "number"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    currency: Mapped[str] = mapped_column(String(10), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    rate_date: Mapped[date] = mapped_column(Date)
    rate: Mapped[str] = mapped_column(String(RATE_DIGITS))
    source: Mapped[str] = mapped_column(String(16))
    """``officer``, or the name of the provider that it came from."""
    set_by: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(Text)
    stored_at: Mapped[datetime] = mapped_column(UtcTime)


class QuoteRow(Base):
    """A quote as it was given. Only the last two are ever set, each once."""

    __tablename__ = "fx_quote"
    __table_args__ = (
        CheckConstraint("sell_amount > 0 AND buy_amount > 0", name="amounts"),
        CheckConstraint("charge_amount >= 0 AND charge_amount < sell_amount", name="charge"),
        CheckConstraint("spread_amount >= 0", name="spread"),
        CheckConstraint("sell_currency <> buy_currency", name="two"),
        CheckConstraint("taken_at IS NULL OR taken_at < expires_at", name="in_time"),
        CheckConstraint("voided_at IS NULL OR taken_at IS NOT NULL", name="voided"),
        Index("ix_fx_quote_taken", "tenant", "taken_at"),
        Index("ix_fx_quote_expires_at", "expires_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    payee_id: Mapped[UUID | None] = mapped_column(Id)
    sell_currency: Mapped[str] = mapped_column(String(10))
    buy_currency: Mapped[str] = mapped_column(String(10))
    sell_amount: Mapped[int] = mapped_column(BigInteger)
    buy_amount: Mapped[int] = mapped_column(BigInteger)
    charge_amount: Mapped[int] = mapped_column(BigInteger)
    spread_amount: Mapped[int] = mapped_column(BigInteger)
    sell_rate: Mapped[str] = mapped_column(String(RATE_DIGITS))
    buy_rate: Mapped[str] = mapped_column(String(RATE_DIGITS))
    """Units for one euro of either currency, from which the mid rate follows exactly."""
    rate_date: Mapped[date] = mapped_column(Date)
    """The older of the two rates' days."""
    rate_source: Mapped[str] = mapped_column(String(16))
    spread_bps: Mapped[int]
    charge_bps: Mapped[int]
    payer_country: Mapped[str | None] = mapped_column(String(2))
    payee_country: Mapped[str | None] = mapped_column(String(2))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    taken_at: Mapped[datetime | None] = mapped_column(UtcTime)
    voided_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a payment that had taken it was refused, so that nothing was posted."""
