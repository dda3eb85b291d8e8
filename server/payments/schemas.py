"""What the payments room takes and gives over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema

CardName = Annotated[
    str,
    msgspec.Meta(
        pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$",
        description="The gateway's name for a card, never its number. Of the sandbox: sandbox-ok, "
        "sandbox-declined, sandbox-pending, sandbox-unreachable, sandbox-lost-answer",
        examples=["sandbox-ok"],
    ),
]


class TopUpCreate(Schema):
    """Add money from a card."""

    amount: Amount
    currency: CurrencyCode
    card: CardName


class TopUpView(Schema):
    """A top-up. ``pending`` still changes; look it up again."""

    id: UUID
    amount: int
    currency: str
    status: Literal["pending", "succeeded", "declined"]
    reason: str | None
    created_at: datetime
    settled_at: datetime | None


class HistoryItem(Schema):
    """One change of the available balance, ``amount`` below zero when it went out."""

    id: UUID
    at: datetime
    kind: str
    currency: str
    amount: int
    balance: int
    """Posted balance of this currency after the change."""
