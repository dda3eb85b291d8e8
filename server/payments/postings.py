"""What each movement of this room posts. Pure."""

from uuid import UUID, uuid5

from server.ledger import AccountKind, AccountRef, EntryRequest

_NAMESPACE = UUID("0b7c9a52-8a0e-5d8e-8f25-3f7f0c5f6b21")


def for_top_up(
    *, tenant: int, top_up: UUID, user: UUID, amount: int, currency: str
) -> EntryRequest:
    """Return the entry of a card payment that succeeded; one top-up has one entry, ever."""
    return EntryRequest(
        id=uuid5(_NAMESPACE, f"top_up/{tenant}/{top_up}"),
        kind="payments.top_up",
        debit=AccountRef(AccountKind.HOUSE_CARD_GATEWAY, currency, None, tenant),
        credit=AccountRef(AccountKind.USER_AVAILABLE, currency, user, tenant),
        amount=amount,
        memo={"top_up": str(top_up)},
    )
