"""Facts about withdrawals that others may hear. Ids and amounts; no account numbers."""

from typing import ClassVar
from uuid import UUID

from server.kit.outbox import Event


class _WithdrawalEvent(Event, frozen=True, kw_only=True):
    """Ordered per user."""

    topic: ClassVar[str] = "payments"
    user_id: UUID
    withdrawal: UUID
    amount: int
    """Minor units, without the fee."""
    fee: int
    currency: str

    def key(self) -> str:
        return str(self.user_id)


class WithdrawalRequested(_WithdrawalEvent, frozen=True, kw_only=True):
    """Amount and fee are set aside."""

    type: ClassVar[str] = "withdrawal.requested"


class WithdrawalSent(_WithdrawalEvent, frozen=True, kw_only=True):
    """The bank has the order."""

    type: ClassVar[str] = "withdrawal.sent"


class WithdrawalPaid(_WithdrawalEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "withdrawal.paid"


class WithdrawalRefused(_WithdrawalEvent, frozen=True, kw_only=True):
    """Nothing was paid; amount and fee are available again."""

    type: ClassVar[str] = "withdrawal.refused"
    reason: str | None


class WithdrawalCancelled(_WithdrawalEvent, frozen=True, kw_only=True):
    type: ClassVar[str] = "withdrawal.cancelled"


class WithdrawalReturned(_WithdrawalEvent, frozen=True, kw_only=True):
    """It was paid and came back; the amount is available again, the fee is not."""

    type: ClassVar[str] = "withdrawal.returned"
    reason: str | None
