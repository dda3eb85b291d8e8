"""Facts about card money that others may hear. Ids and amounts, nothing about the card."""

from typing import ClassVar
from uuid import UUID

from server.kit.outbox import Event


class _CardEvent(Event, frozen=True, kw_only=True):
    """Ordered per user."""

    topic: ClassVar[str] = "payments"
    user_id: UUID
    top_up: UUID
    amount: int
    """Minor units."""
    currency: str

    def key(self) -> str:
        return str(self.user_id)


class TopUpSucceeded(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "top_up.succeeded"


class TopUpDeclined(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "top_up.declined"
    reason: str | None


class RefundRequested(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "refund.requested"
    refund: UUID


class RefundSucceeded(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "refund.succeeded"
    refund: UUID
    at_gateway: bool
    """Whether it was made at the gateway by hand."""


class RefundFailed(_CardEvent, frozen=True, kw_only=True):
    """The money is the user's again, also when the refund had succeeded before."""

    type: ClassVar[str] = "refund.failed"
    refund: UUID
    reason: str | None


class DisputeOpened(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "dispute.opened"
    dispute: str
    reason: str


class DisputeLost(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "dispute.lost"
    dispute: str


class DisputeWon(_CardEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "dispute.won"
    dispute: str


class DisputeClosed(_CardEvent, frozen=True, kw_only=True):
    """Over without a loss and without a win: an inquiry that led to nothing."""

    type: ClassVar[str] = "dispute.closed"
    dispute: str
