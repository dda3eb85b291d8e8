"""What transfers post. Pure.

The entry of a transfer has the transfer's own id. What follows later (a claim, a return) has an id
made from it and from the number of the attempt, since the ledger's "no" is final for an id.
"""

from typing import Final, Literal
from uuid import UUID, uuid5

from server.ledger import AccountKind, AccountRef, EntryRequest

SENT: Final = "payments.transfer"
PENDING: Final = "payments.transfer_pending"
REFUND: Final = "payments.transfer_refund"
Ending = Literal["claimed", "returned", "cancelled"]


def for_transfer(
    *, tenant: int, transfer: UUID, sender: UUID, receiver: UUID, amount: int, currency: str
) -> EntryRequest:
    """Return the entry of money that goes from one person to another."""
    return EntryRequest(
        id=transfer,
        kind=SENT,
        debit=_user(tenant, sender, currency),
        credit=_user(tenant, receiver, currency),
        amount=amount,
        memo={"transfer": str(transfer)},
    )


def for_pending(
    *, tenant: int, transfer: UUID, sender: UUID, amount: int, currency: str
) -> EntryRequest:
    """Return the entry of money that leaves its sender and waits for somebody to register."""
    return EntryRequest(
        id=transfer,
        kind=PENDING,
        debit=_user(tenant, sender, currency),
        credit=_waiting(tenant, currency),
        amount=amount,
        memo={"transfer": str(transfer)},
    )


def for_ending(
    *,
    tenant: int,
    transfer: UUID,
    ending: Ending,
    attempt: int,
    to: UUID,
    amount: int,
    currency: str,
) -> EntryRequest:
    """Return the entry that takes waiting money to whoever claimed it, or back to its sender."""
    return EntryRequest(
        id=uuid5(transfer, f"{ending}/{attempt}"),
        kind=f"{SENT}_{ending}",
        debit=_waiting(tenant, currency),
        credit=_user(tenant, to, currency),
        amount=amount,
        memo={"transfer": str(transfer)},
    )


def for_refund(
    *,
    tenant: int,
    refund: UUID,
    transfer: UUID,
    sender: UUID,
    receiver: UUID,
    amount: int,
    currency: str,
) -> EntryRequest:
    """Return the entry by which ``receiver`` gives part of a transfer back to its ``sender``."""
    return EntryRequest(
        id=refund,
        kind=REFUND,
        debit=_user(tenant, receiver, currency),
        credit=_user(tenant, sender, currency),
        amount=amount,
        memo={"transfer": str(refund), "refund_of": str(transfer)},
    )


def _user(tenant: int, user: UUID, currency: str) -> AccountRef:
    return AccountRef(AccountKind.USER_AVAILABLE, currency, user, tenant)


def _waiting(tenant: int, currency: str) -> AccountRef:
    return AccountRef(AccountKind.HOUSE_PENDING_TRANSFERS, currency, None, tenant)
