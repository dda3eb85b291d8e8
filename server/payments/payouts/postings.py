"""What a withdrawal posts. Pure; every id follows from the withdrawal, so nothing is posted twice.

The amount and the fee are two holds in one chain: both are set aside or neither is, both are taken
or both given back. What comes back later is an entry of its own; the fee stays, since the bank was
asked and paid.
"""

from dataclasses import dataclass
from uuid import UUID, uuid5

from server.ledger import AccountKind, AccountRef, EntryRequest, Operation

_NAMESPACE = UUID("3f6a1f5e-2c43-5f0b-9a7e-6a1f3b0d9c52")


@dataclass(frozen=True, slots=True)
class Movement:
    """A withdrawal as the ledger sees it. ``source`` mirrors the money that the rail pays from."""

    tenant: int
    withdrawal: UUID
    user: UUID
    source: AccountRef
    amount: int
    fee: int

    @property
    def _user(self) -> AccountRef:
        return AccountRef(
            AccountKind.USER_AVAILABLE, self.source.asset, self.user, self.source.tenant
        )

    def hold(self) -> list[EntryRequest]:
        """Set amount and fee aside."""
        return self._chain(Operation.HOLD, "hold")

    def capture(self, external_id: str | None) -> list[EntryRequest]:
        """Take both for good: the rail paid."""
        return self._chain(Operation.CAPTURE, "capture", external_id)

    def release(self) -> list[EntryRequest]:
        """Give both back: nothing was paid and nothing will be."""
        return self._chain(Operation.RELEASE, "release")

    def come_back(self, external_id: str | None) -> list[EntryRequest]:
        """Credit the amount again that had been paid."""
        return [
            EntryRequest(
                id=self._id("return"),
                kind="payouts.return",
                debit=self.source,
                credit=self._user,
                amount=self.amount,
                memo=self._memo(external_id),
            )
        ]

    def _chain(
        self, operation: Operation, word: str, external_id: str | None = None
    ) -> list[EntryRequest]:
        fees = AccountRef(AccountKind.HOUSE_FEES, self.source.asset, None, self.source.tenant)
        legs = [("amount", self.source, self.amount, external_id)]
        if self.fee:
            legs.append(("fee", fees, self.fee, None))
        return [
            EntryRequest(
                id=self._id(f"{word}/{part}"),
                kind=f"payouts.{part}_{word}",
                debit=self._user,
                credit=account,
                amount=0 if operation is Operation.RELEASE else amount,
                operation=operation,
                hold=None if operation is Operation.HOLD else self._id(f"hold/{part}"),
                chain=self._id(word) if len(legs) > 1 else None,
                memo=self._memo(outside),
            )
            for part, account, amount, outside in legs
        ]

    def _id(self, what: str) -> UUID:
        return uuid5(_NAMESPACE, f"{self.tenant}/{self.withdrawal}/{what}")

    def _memo(self, external_id: str | None) -> dict[str, object]:
        memo: dict[str, object] = {"withdrawal": str(self.withdrawal)}
        return memo if external_id is None else memo | {"external_id": external_id}
