"""What the history gives over HTTP."""

from datetime import date, datetime
from uuid import UUID

from server.kit.schema import Schema


class SubjectView(Schema):
    """What a movement is about: look it up under its own address."""

    type: str
    id: str


class HistoryItem(Schema):
    """One change of the available balance, ``amount`` below zero when it went out."""

    id: UUID
    at: datetime
    kind: str
    title: str
    """The kind in words, in the language that was asked for."""
    currency: str
    amount: int
    balance: int
    """Posted balance of this currency after the change."""
    subject: SubjectView | None = None
    counterpart: str | None = None
    note: str | None = None


class DayTotals(Schema):
    """One day of one currency, in minor units."""

    day: date
    received: int
    sent: int
    count: int
    closing: int
    """Posted balance when the day ended."""


class Totals(Schema):
    """Every day of a period, also those on which nothing moved: ready for a chart."""

    currency: str
    zone: str
    opening: int
    """Posted balance before the first day."""
    days: list[DayTotals]
