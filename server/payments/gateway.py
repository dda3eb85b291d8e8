"""What this room needs of a card company, in its own words.

An adapter translates. Calls are made outside any database transaction, always with an idempotency
key, and an answer that was lost is asked for again by that key.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable


class PaymentStatus(StrEnum):
    """``pending`` is the only one that can still change."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class GatewayPayment:
    """A card payment as the gateway knows it. ``reason`` is a stable word when it was declined."""

    id: str
    status: PaymentStatus
    reason: str | None = None


class GatewayUnavailable(Exception):
    """No answer: the payment may or may not have been made. Ask again with the same key."""


@runtime_checkable
class CardGateway(Protocol):
    async def create_payment(
        self, *, amount: int, currency: str, card: str, idempotency_key: str
    ) -> GatewayPayment:
        """Charge a card once, however often this is called with one key.

        Raises:
            GatewayUnavailable: the outcome is not known.
        """
        ...

    async def find_payment(self, idempotency_key: str) -> GatewayPayment | None:
        """Return the payment that was made with this key, or None when there is none.

        Raises:
            GatewayUnavailable: the gateway did not answer.
        """
        ...
