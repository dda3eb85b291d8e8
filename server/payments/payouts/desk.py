"""What the use cases of this slice work with."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflows import WorkflowBook
from server.ledger import AccountRef
from server.payments.payouts.domain import DEFAULT_PACE, Pace
from server.payments.payouts.rail import PayoutRail


@dataclass(frozen=True, slots=True)
class PayableAccount:
    """A user's own, verified bank account, as far as this slice has to know it."""

    currency: str
    label: str
    """What its owner recognises it by, such as the end of the IBAN."""
    rail: str
    """Name of the rail that pays to it."""
    destination: str
    """What the rail needs to find it: at most 96 characters."""
    source: AccountRef
    """The ledger account that mirrors the money the rail pays out of."""


PayableAccountOf = Callable[[Tx, int, UUID, UUID], Awaitable[PayableAccount]]
"""Given tenant, user and bank account; refuses one that is not theirs, or is not verified."""


@dataclass(frozen=True, slots=True)
class PayoutDesk:
    """Database, books of the workflows and rails, handed to each use case as one thing."""

    uow: UnitOfWork
    book: WorkflowBook
    payable_account: PayableAccountOf
    rails: Mapping[str, PayoutRail] = field(default_factory=dict)
    """By name, as `PayableAccount.rail` says it."""
    pace: Pace = DEFAULT_PACE
    tenant: int = 1
