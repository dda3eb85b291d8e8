"""What this slice needs of whoever carries money out, in its own words.

A rail translates for one outside party: a bank's HTTP interface, files of payment orders, a card
company's payouts. Both calls are made outside any database transaction and may be repeated after a
crash at any moment, so whatever a rail does for one order id it does once.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable
from uuid import UUID


class PayoutStatus(StrEnum):
    """What is known of a payout. ``PAID`` and ``REFUSED`` are final, the other two are not."""

    ACCEPTED = "accepted"
    """The order is with the outside party, which will carry it out or refuse it: ask again."""
    PAID = "paid"
    REFUSED = "refused"
    """Nothing was paid and nothing will be under this order id."""
    UNKNOWN = "unknown"
    """Nobody can say for now, a person perhaps: ask again."""

    @property
    def is_final(self) -> bool:
        return self in {PayoutStatus.PAID, PayoutStatus.REFUSED}


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """One payment to be made outside.

    ``id`` is the idempotency key outside. ``amount`` is what arrives, in minor units, without our
    fee. ``destination`` names a user's bank account and means something to the rail alone.
    ``reference`` is the text that the receiver sees: at most 35 characters of ASCII.
    """

    id: UUID
    amount: int
    currency: str
    destination: str
    reference: str


@dataclass(frozen=True, slots=True)
class PayoutAnswer:
    """What an outside party says of an order.

    ``external_id`` is its own name for the payment, which its statement will carry. ``reason`` is a
    stable word when it was refused, never the party's free text.
    """

    status: PayoutStatus
    external_id: str | None = None
    reason: str | None = None


class RailUnavailable(Exception):
    """No usable answer: the order may or may not have been taken. Ask again with the same id.

    The text goes into logs and to operators: no account numbers, no secrets.
    """


@runtime_checkable
class PayoutRail(Protocol):
    @property
    def name(self) -> str:
        """A short stable word, stored with each withdrawal: renaming strands what is on its way."""
        ...

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        """Hand an order over; the same id again changes nothing and answers as it stands now.

        Raises:
            RailUnavailable: the outcome is not known.
        """
        ...

    async def find(self, order: PayoutOrder) -> PayoutAnswer | None:
        """Return what became of an order, or None when the party has never seen its id.

        Raises:
            RailUnavailable: the party did not answer.
        """
        ...
