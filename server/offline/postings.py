"""What each movement of offline money posts. Pure: movements in, entry requests out.

A leg says which two accounts move when its amount rises; when it falls, the same two move back.
`order_entries` sorts a batch so that accounts which may not go below zero are credited before they
are debited, and money is set aside only at the very end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID, uuid5

from server.ledger import AccountKind, AccountRef, EntryRequest, Operation

NOBODY = UUID(int=0)
"""Stands in the account column of legs that belong to the house."""
_NAMESPACE = UUID("6f2c1c3e-55d0-5f0e-9d3c-0a5c7a7d1f10")
_FLOORED = frozenset(
    {
        AccountKind.USER_AVAILABLE,
        AccountKind.USER_COLLATERAL,
        AccountKind.HOUSE_OFFLINE_FLOAT,
    }
)


class Leg(StrEnum):
    """The parts of a settlement of one root.

    The two that were spared are the cost of forks that an overturned dispute took off their signer.
    """

    BACKING = "backing"
    COLLATERAL = "collateral"
    FUND = "fund"
    ISSUER = "issuer"
    SPARED_FUND = "spared_f"
    SPARED_ISSUER = "spared_i"
    CREDIT = "credit"
    DEBT = "debt"


BEARERS: Mapping[str, Leg] = {"fund": Leg.SPARED_FUND, "issuer": Leg.SPARED_ISSUER}
"""Who may bear the cost of an overturned fork, by the name that it has in a settlement."""
SOURCES = frozenset(Leg) - {Leg.CREDIT, Leg.DEBT}
"""What credits are paid from: their sum is that of the credits, for each root."""


class Recovery(StrEnum):
    """Movements between what a user has and what the same user owes."""

    RECOVERED = "recovered"
    SECURED = "secured"
    OVERDRAWN = "overdrawn"
    CUSHIONED = "cushioned"
    WRITTEN_OFF = "written_off"
    WRITTEN_OFF_CREDIT = "written_off_credit"


_PATHS: Mapping[Leg | Recovery, tuple[AccountKind, AccountKind]] = {
    Leg.BACKING: (AccountKind.HOUSE_OFFLINE_FLOAT, AccountKind.HOUSE_OFFLINE_CLEARING),
    Leg.COLLATERAL: (AccountKind.HOUSE_RECOVERY_DUE, AccountKind.HOUSE_OFFLINE_CLEARING),
    Leg.FUND: (AccountKind.HOUSE_GUARANTEE_FUND, AccountKind.HOUSE_OFFLINE_CLEARING),
    Leg.ISSUER: (AccountKind.HOUSE_OFFLINE_LOSS, AccountKind.HOUSE_OFFLINE_CLEARING),
    Leg.SPARED_FUND: (AccountKind.HOUSE_GUARANTEE_FUND, AccountKind.HOUSE_OFFLINE_CLEARING),
    Leg.SPARED_ISSUER: (AccountKind.HOUSE_OFFLINE_LOSS, AccountKind.HOUSE_OFFLINE_CLEARING),
    Leg.CREDIT: (AccountKind.HOUSE_OFFLINE_CLEARING, AccountKind.USER_AVAILABLE),
    Leg.DEBT: (AccountKind.USER_RECEIVABLE, AccountKind.HOUSE_RECOVERY_DUE),
    Recovery.RECOVERED: (AccountKind.USER_AVAILABLE, AccountKind.USER_RECEIVABLE),
    Recovery.SECURED: (AccountKind.USER_COLLATERAL, AccountKind.USER_RECEIVABLE),
    Recovery.OVERDRAWN: (AccountKind.USER_RECEIVABLE, AccountKind.USER_AVAILABLE),
    Recovery.CUSHIONED: (AccountKind.USER_COLLATERAL, AccountKind.USER_AVAILABLE),
    Recovery.WRITTEN_OFF: (AccountKind.HOUSE_WRITTEN_OFF, AccountKind.USER_RECEIVABLE),
    Recovery.WRITTEN_OFF_CREDIT: (AccountKind.HOUSE_OFFLINE_LOSS, AccountKind.USER_RECEIVABLE),
}
_USER_KINDS = frozenset(
    {
        AccountKind.USER_AVAILABLE,
        AccountKind.USER_RECEIVABLE,
        AccountKind.USER_COLLATERAL,
    }
)


@dataclass(frozen=True, slots=True)
class Book:
    """Names accounts and entries of one tenant and currency."""

    tenant: int
    currency: str

    def account(self, kind: AccountKind, user: UUID) -> AccountRef:
        owner = user if kind in _USER_KINDS else None
        return AccountRef(kind, self.currency, owner, self.tenant)

    def entry_id(self, *path: object) -> UUID:
        """Return the id of an entry: the same path is the same entry, posted once."""
        return uuid5(_NAMESPACE, "/".join(map(str, (self.tenant, self.currency, *path))))

    def issue(self, user: UUID, voucher: bytes, value: int) -> EntryRequest:
        """Value leaves the user's available balance for the offline float."""
        return EntryRequest(
            id=self.entry_id("issue", voucher.hex()),
            kind="offline.issue",
            debit=self.account(AccountKind.USER_AVAILABLE, user),
            credit=self.account(AccountKind.HOUSE_OFFLINE_FLOAT, user),
            amount=value,
            memo={"voucher": voucher.hex()},
        )

    def change(
        self, leg: Leg | Recovery, user: UUID, by: int, *, subject: str, revision: int
    ) -> EntryRequest:
        """Post that a leg rose by an amount, or fell when ``by`` is negative."""
        assert by != 0
        debit, credit = _PATHS[leg] if by > 0 else reversed(_PATHS[leg])
        return EntryRequest(
            id=self.entry_id(leg, subject, user, revision),
            kind=f"offline.{leg}" if by > 0 else f"offline.{leg}.back",
            debit=self.account(debit, user),
            credit=self.account(credit, user),
            amount=abs(by),
            memo={"subject": subject, "revision": revision},
        )

    def decided(
        self,
        kind: str,
        debit: AccountKind,
        credit: AccountKind,
        amount: int,
        *,
        entry: UUID,
        user: UUID = NOBODY,
        memo: Mapping[str, object] | None = None,
    ) -> EntryRequest:
        """Move an amount because somebody said so: collateral, or the guarantee fund."""
        return EntryRequest(
            id=entry,
            kind=kind,
            debit=self.account(debit, user),
            credit=self.account(credit, user),
            amount=amount,
            memo=memo,
        )

    def hold(self, user: UUID, amount: int, *, subject: str, revision: int) -> EntryRequest:
        """Set aside the part of a credit that waits for claim-by."""
        return EntryRequest(
            id=self.entry_id("hold", subject, user, revision),
            kind="offline.provisional",
            debit=self.account(AccountKind.USER_AVAILABLE, user),
            credit=self.account(AccountKind.HOUSE_OFFLINE_CLEARING, user),
            amount=amount,
            operation=Operation.HOLD,
            memo={"subject": subject},
        )

    def release(self, user: UUID, hold: UUID) -> EntryRequest:
        """Give a held part back to the available balance."""
        return EntryRequest(
            id=self.entry_id("release", hold),
            kind="offline.provisional.release",
            debit=self.account(AccountKind.USER_AVAILABLE, user),
            credit=self.account(AccountKind.HOUSE_OFFLINE_CLEARING, user),
            operation=Operation.RELEASE,
            hold=hold,
        )


def order_entries(requests: Iterable[EntryRequest]) -> list[EntryRequest]:
    """Return the requests in an order in which no floor stops one that the sum allows."""
    return sorted(requests, key=_phase)


def _phase(request: EntryRequest) -> int:
    if request.operation is Operation.RELEASE:
        return 0
    if request.operation is Operation.HOLD:
        return 6
    gives, receives = request.debit.kind, request.credit.kind
    if gives is AccountKind.USER_COLLATERAL:
        # A cushion fills the available balance that others draw on; what secures a debt may have
        # been a cushion before.
        return 3 if receives is AccountKind.USER_AVAILABLE else 5
    if gives in _FLOORED:
        return 4
    return 1 if receives in _FLOORED else 2
