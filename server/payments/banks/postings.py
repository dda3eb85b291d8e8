"""What each movement at a bank posts. Pure.

An entry that mirrors a line of the bank's statement has the bank's own name of it as
``external_id`` in its memo; reconciliation finds it by that.
"""

from typing import Final
from uuid import UUID, uuid5

from server.ledger import AccountKind, AccountRef, EntryRequest, Operation

_NAMESPACE: Final = UUID("5a8c0d7e-3f0a-5b5c-9a61-0b6a8f4e2d90")


def entry_id(what: str, tenant: int, *names: object) -> UUID:
    """Return the id of an entry that follows from what it is for, so that it is posted once."""
    return uuid5(_NAMESPACE, "/".join([what, str(tenant), *map(str, names)]))


class Book:
    """Entries in one currency with one bank's money."""

    def __init__(self, tenant: int, bank: UUID, currency: str) -> None:
        self._tenant, self._bank, self._currency = tenant, bank, currency
        self.money = AccountRef(AccountKind.BANK_MONEY, currency, bank, tenant)
        self.suspense = AccountRef(AccountKind.HOUSE_SUSPENSE, currency, None, tenant)
        self.costs = AccountRef(AccountKind.HOUSE_OUTSIDE_FEES, currency, None, tenant)

    def user(self, user: UUID) -> AccountRef:
        return AccountRef(AccountKind.USER_AVAILABLE, self._currency, user, self._tenant)

    def debt(self, user: UUID) -> AccountRef:
        return AccountRef(AccountKind.USER_DEBT, self._currency, user, self._tenant)

    def deposit(self, transaction: str, amount: int, user: UUID | None) -> EntryRequest:
        """Money that came in: the user's, or nobody's yet."""
        return self._entry(
            "payments.deposit" if user else "payments.deposit_suspended",
            self.id("deposit", transaction),
            self.money,
            self.user(user) if user else self.suspense,
            amount,
            external_id=transaction,
        )

    def assignment(self, deposit: UUID, amount: int, user: UUID) -> EntryRequest:
        """Money in suspense whose owner an officer found."""
        entry = entry_id("assignment", self._tenant, deposit)
        return self._entry("payments.deposit", entry, self.suspense, self.user(user), amount)

    def recovery(self, entry: UUID, user: UUID, amount: int) -> EntryRequest:
        """What a user has pays what the user owes."""
        return self._entry(
            "payments.debt_recovered", entry, self.user(user), self.debt(user), amount
        )

    def reversal(self, transaction: str, amount: int, user: UUID | None) -> EntryRequest:
        """Money that the bank took back: the user owes it, or suspense loses it."""
        return self._entry(
            "payments.deposit_reversed",
            self.id("reversal", transaction),
            self.debt(user) if user else self.suspense,
            self.money,
            amount,
            external_id=transaction,
        )

    def cost(self, order: UUID, amount: int, external_id: str | None) -> EntryRequest:
        """A verification payment, which the house pays."""
        return self._entry(
            "payments.verification",
            entry_id("verification", self._tenant, order),
            self.costs,
            self.money,
            amount,
            external_id=external_id,
        )

    def hold_return(self, order: UUID, amount: int) -> EntryRequest:
        """Money in suspense that is on its way back to whoever paid it in."""
        return EntryRequest(
            id=order,
            kind="payments.return",
            debit=self.suspense,
            credit=self.money,
            amount=amount,
            operation=Operation.HOLD,
        )

    def end_return(self, order: UUID, amount: int, external_id: str | None) -> EntryRequest:
        """The return was paid (an amount), or was refused (zero)."""
        return EntryRequest(
            id=entry_id("return", self._tenant, order),
            kind="payments.return",
            debit=self.suspense,
            credit=self.money,
            amount=amount,
            operation=Operation.CAPTURE if amount else Operation.RELEASE,
            hold=order,
            memo={"external_id": external_id} if external_id else None,
        )

    def came_back(
        self, order: UUID, amount: int, to: AccountRef, external_id: str | None
    ) -> EntryRequest:
        """A payment that had been made came back."""
        return self._entry(
            "payments.payout_returned",
            entry_id("came_back", self._tenant, order),
            self.money,
            to,
            amount,
            external_id=external_id,
        )

    def id(self, what: str, transaction: str) -> UUID:
        """Return the id of the entry of one of the bank's own transactions."""
        return entry_id(what, self._tenant, self._bank, transaction)

    @staticmethod
    def _entry(
        kind: str,
        id_: UUID,
        debit: AccountRef,
        credit: AccountRef,
        amount: int,
        *,
        external_id: str | None = None,
    ) -> EntryRequest:
        memo = {"external_id": external_id} if external_id else None
        return EntryRequest(id=id_, kind=kind, debit=debit, credit=credit, amount=amount, memo=memo)
