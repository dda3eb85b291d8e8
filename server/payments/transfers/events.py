"""Facts about transfers, requests and schedules that others are told. Ids and amounts only.

Everything about one transfer, one request or one schedule is told in order.
"""

from typing import ClassVar
from uuid import UUID

from server.kit.outbox import Event

TOPIC = "payments"


class _AboutTransfer(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = TOPIC
    transfer_id: UUID
    sender_id: UUID
    receiver_id: UUID | None
    amount: int
    currency: str

    def key(self) -> str:
        return str(self.transfer_id)


class TransferSent(_AboutTransfer, frozen=True, kw_only=True):
    """Money has reached its receiver."""

    type: ClassVar[str] = "transfer.sent"
    received_amount: int
    received_currency: str


class TransferPending(_AboutTransfer, frozen=True, kw_only=True):
    """Money waits for somebody to register."""

    type: ClassVar[str] = "transfer.pending"


class TransferClaimed(_AboutTransfer, frozen=True, kw_only=True):
    """Money that waited has reached somebody who registered."""

    type: ClassVar[str] = "transfer.claimed"


class TransferReturned(_AboutTransfer, frozen=True, kw_only=True):
    """Money that waited too long went back to its sender."""

    type: ClassVar[str] = "transfer.returned"


class TransferCancelled(_AboutTransfer, frozen=True, kw_only=True):
    """The sender took money back that was still waiting."""

    type: ClassVar[str] = "transfer.cancelled"


class TransferRefunded(_AboutTransfer, frozen=True, kw_only=True):
    """The receiver gave ``amount`` back, as the transfer ``refund_id``."""

    type: ClassVar[str] = "transfer.refunded"
    refund_id: UUID

    def key(self) -> str:
        return str(self.transfer_id)


class _AboutRequest(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = TOPIC
    request_id: UUID
    requester_id: UUID
    payer_id: UUID | None

    def key(self) -> str:
        return str(self.request_id)


class RequestMade(_AboutRequest, frozen=True, kw_only=True):
    type: ClassVar[str] = "request.made"
    amount: int | None
    currency: str


class RequestPaid(_AboutRequest, frozen=True, kw_only=True):
    type: ClassVar[str] = "request.paid"
    transfer_id: UUID


class RequestDeclined(_AboutRequest, frozen=True, kw_only=True):
    type: ClassVar[str] = "request.declined"


class RequestCancelled(_AboutRequest, frozen=True, kw_only=True):
    type: ClassVar[str] = "request.cancelled"


class RequestExpired(_AboutRequest, frozen=True, kw_only=True):
    type: ClassVar[str] = "request.expired"


class _AboutSchedule(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = TOPIC
    schedule_id: UUID
    user_id: UUID
    occurrence: int

    def key(self) -> str:
        return str(self.schedule_id)


class SchedulePaid(_AboutSchedule, frozen=True, kw_only=True):
    type: ClassVar[str] = "schedule.paid"
    transfer_id: UUID


class ScheduleSkipped(_AboutSchedule, frozen=True, kw_only=True):
    """An occurrence was tried as often as allowed, and not paid."""

    type: ClassVar[str] = "schedule.skipped"
    reason: str


class ScheduleMissed(_AboutSchedule, frozen=True, kw_only=True):
    """An occurrence was found too late to pay it."""

    type: ClassVar[str] = "schedule.missed"


class ScheduleEnded(_AboutSchedule, frozen=True, kw_only=True):
    type: ClassVar[str] = "schedule.ended"
