"""What this slice tells others. Ids and amounts only."""

from typing import ClassVar
from uuid import UUID

from server.kit.outbox import Event


class DepositReceived(Event, frozen=True):
    """Money of a known user came in at a bank and was credited."""

    topic: ClassVar[str] = "payments"
    type: ClassVar[str] = "deposit.received"
    deposit_id: UUID
    user_id: UUID
    bank_id: UUID
    amount: int
    currency: str
    over_limit: bool

    def key(self) -> str:
        return str(self.user_id)


class DepositSuspended(Event, frozen=True):
    """Money came in whose owner is not known; an officer decides."""

    topic: ClassVar[str] = "payments"
    type: ClassVar[str] = "deposit.suspended"
    deposit_id: UUID
    bank_id: UUID
    amount: int
    currency: str
    cause: str

    def key(self) -> str:
        return str(self.deposit_id)


class DepositReversed(Event, frozen=True):
    """A bank took a user's deposit back, in full or in part; ``owed`` the user did not have."""

    topic: ClassVar[str] = "payments"
    type: ClassVar[str] = "deposit.reversed"
    deposit_id: UUID
    user_id: UUID
    bank_id: UUID
    amount: int
    currency: str
    owed: int

    def key(self) -> str:
        return str(self.user_id)


class BankAccountVerified(Event, frozen=True):
    """A user showed that a bank account is theirs."""

    topic: ClassVar[str] = "payments"
    type: ClassVar[str] = "bank_account.verified"
    account_id: UUID
    user_id: UUID
    currency: str

    def key(self) -> str:
        return str(self.user_id)
