"""What the emergency balance takes and gives over HTTP."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from server.kit.schema import Amount, CurrencyCode, Schema


class EmergencyMove(Schema):
    """How much to lock away, or to unlock."""

    amount: Amount
    currency: CurrencyCode


class EmergencyView(Schema):
    """What was done, and the two balances after it. ``as_of`` is when."""

    entry: UUID
    direction: Literal["lock", "unlock"]
    amount: int
    currency: str
    emergency: int
    available: int
    as_of: datetime
