"""What this room needs of a card company, in its own words.

An adapter translates. Calls are made outside any database transaction, always with an idempotency
key, and an answer that was lost is asked for again. Amounts are minor units of the payment's
currency unless said otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable
from uuid import UUID

from server.ledger import OutsideLine


class PaymentStatus(StrEnum):
    """``pending`` and ``requires_action`` can still change."""

    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    """The card's owner has to do something: enter a card, or confirm the payment at the bank."""

    @property
    def is_final(self) -> bool:
        return self in {PaymentStatus.SUCCEEDED, PaymentStatus.DECLINED}


@dataclass(frozen=True, slots=True)
class GatewayPayment:
    """A card payment as the gateway knows it.

    ``reason`` is a stable word when it was declined. ``charge`` is the gateway's name for the
    money that moved, which its statement carries.
    """

    id: str
    status: PaymentStatus
    reason: str | None = None
    charge: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    """With this the payer's browser confirms the payment; it is not stored and not logged."""


class RefundStatus(StrEnum):
    """A refund that succeeded may still come back and fail, weeks later."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class GatewayRefund:
    """``key`` is ours when we asked for it, None when it was made at the gateway by hand."""

    id: str
    amount: int
    status: RefundStatus
    reason: str | None = None
    key: str | None = None


class DisputeStatus(StrEnum):
    """Where a dispute stands; see `RANK` for which may follow which."""

    INQUIRY = "inquiry"
    """A question of the bank; no money was taken."""
    OPEN = "open"
    LOST = "lost"
    WON = "won"
    CLOSED = "closed"
    """Over without money having been taken for good."""

    @property
    def rank(self) -> int:
        """Return its place in time: what was read late never takes a dispute back."""
        return _DISPUTE_RANK[self]


_DISPUTE_RANK = {
    DisputeStatus.INQUIRY: 0,
    DisputeStatus.OPEN: 1,
    # An appeal can still turn a loss into a win.
    DisputeStatus.LOST: 2,
    DisputeStatus.WON: 3,
    DisputeStatus.CLOSED: 3,
}


@dataclass(frozen=True, slots=True)
class GatewayDispute:
    id: str
    amount: int
    status: DisputeStatus
    reason: str
    evidence_due_by: datetime | None = None


class MovementKind(StrEnum):
    """Why the balance at the gateway changed."""

    CHARGE = "charge"
    REFUND = "refund"
    REFUND_RETURNED = "refund_returned"
    DISPUTE = "dispute"
    """Money withheld (below zero) or given back (above zero)."""


@dataclass(frozen=True, slots=True)
class GatewayMovement:
    """One line of the gateway's statement about a payment.

    ``presented`` is what moved in the payment's currency, ``amount`` what moved in ``currency``,
    the one that the gateway keeps our money in; above zero is in our favour. ``fee`` is in
    ``currency`` too and not taken off ``amount``; below zero it was given back. ``external_id``
    names the line once and for all.
    """

    external_id: str
    kind: MovementKind
    presented: int
    amount: int
    currency: str
    fee: int


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """All that a gateway knows about one payment at one moment. ``key`` is ours, if it is ours."""

    payment: GatewayPayment
    key: str | None
    amount: int
    currency: str
    refunds: Sequence[GatewayRefund] = ()
    disputes: Sequence[GatewayDispute] = ()
    movements: Sequence[GatewayMovement] = ()


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A hint that something changed. What changed is asked for; nothing here is believed.

    ``payment`` is the gateway's name of the payment that it is about, where the event says so.
    """

    id: str
    type: str
    created_at: datetime
    object_id: str | None = None
    payment: str | None = None


class GatewayUnavailable(Exception):
    """No usable answer: it may or may not have been done. Ask again with the same key."""


class Outage:
    """Tells a round of work when to stop: a gateway that is down answers nobody."""

    def __init__(self, failures_max: int = 3) -> None:
        self._left = failures_max

    def failed(self) -> bool:
        """Note a question without an answer; return whether to ask no more."""
        self._left -= 1
        return self._left <= 0


class GatewayRefused(Exception):
    """A definite no: nothing was done under this key and nothing will be."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WebhookRefused(Exception):
    """What came in was not signed by the gateway, too old, or no event."""


@runtime_checkable
class CardGateway(Protocol):
    @property
    def name(self) -> str:
        """A short stable word, stored with each top-up: another gateway is never asked for it."""
        ...

    async def create_payment(
        self, *, amount: int, currency: str, card: str | None, idempotency_key: str
    ) -> GatewayPayment:
        """Charge a card once, however often this is called with one key.

        Without ``card`` nothing is charged yet: the payer enters one with the client secret.

        Raises:
            GatewayUnavailable: the outcome is not known.
        """
        ...

    async def find_payment(
        self, idempotency_key: str, *, gateway_id: str | None = None, since: datetime | None = None
    ) -> GatewayPayment | None:
        """Return the payment that was made with this key, or None when there is none.

        ``gateway_id`` is its id where we know it, ``since`` a time before which it was not made.

        Raises:
            GatewayUnavailable: the gateway did not answer.
        """
        ...

    async def cancel_payment(self, gateway_id: str) -> GatewayPayment:
        """End a payment that nobody finished; one that has succeeded meanwhile stays so.

        Raises:
            GatewayUnavailable: the outcome is not known.
        """
        ...

    async def refund_payment(
        self, gateway_id: str, *, amount: int, currency: str, idempotency_key: str
    ) -> GatewayRefund:
        """Give part of a payment back to the card, once for each key.

        Raises:
            GatewayRefused: the gateway will not do it.
            GatewayUnavailable: the outcome is not known.
        """
        ...

    async def payment_facts(self, gateway_id: str) -> PaymentFacts | None:
        """Return all that is known about a payment, or None when there is none.

        Raises:
            GatewayUnavailable: the gateway did not answer.
        """
        ...

    async def recent_events(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[GatewayEvent]:
        """Return what happened in a span of time, in any order, for when webhooks were lost.

        Raises:
            GatewayUnavailable: the gateway did not answer.
        """
        ...


@runtime_checkable
class WebhookReader(Protocol):
    """A gateway that tells us what happens."""

    def read_webhook(self, body: bytes, signature: str | None, now: datetime) -> GatewayEvent:
        """Return the event in a webhook.

        Raises:
            WebhookRefused: the signature is not the gateway's, or too old, or it is no event.
        """
        ...


@runtime_checkable
class StatementSource(Protocol):
    """A gateway that has a statement of account."""

    @property
    def name(self) -> str: ...

    async def statement_lines(self, begin: datetime, end: datetime) -> Sequence[OutsideLine]:
        """Return what moved from one moment to before another, in all currencies.

        Raises:
            GatewayUnavailable: the gateway did not answer.
        """
        ...


def key_as_uuid(key: str | None) -> UUID | None:
    """Return an idempotency key of ours as the id that it was made from."""
    try:
        return UUID(key) if key else None
    except ValueError:
        return None
