"""What each movement of card money posts. Pure: facts in, entry requests out.

Every line of the gateway's statement has one entry on the gateway's account, named by the line
(``external_id``); its fee has another (``…/fee``). Where the gateway keeps our money in another
currency than the payment's, what moved is exchanged through the position account (``…/converted``),
so each currency sums to zero by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

from server.ledger import AccountKind, AccountRef, EntryRequest, Operation, OutsideLine
from server.payments.gateway import GatewayMovement, MovementKind

_NAMESPACE = UUID("0b7c9a52-8a0e-5d8e-8f25-3f7f0c5f6b21")
_GATEWAY = AccountKind.HOUSE_CARD_GATEWAY
_HOUSE_LINES = {
    # Money on its way between our own bank and the gateway; the bank's statement is the other half.
    "payout": AccountKind.HOUSE_SUSPENSE,
    "payout_failure": AccountKind.HOUSE_SUSPENSE,
    "payout_cancel": AccountKind.HOUSE_SUSPENSE,
    "topup": AccountKind.HOUSE_SUSPENSE,
    "topup_reversal": AccountKind.HOUSE_SUSPENSE,
    "stripe_fee": AccountKind.HOUSE_OUTSIDE_FEES,
    "tax_fee": AccountKind.HOUSE_OUTSIDE_FEES,
    "network_cost": AccountKind.HOUSE_OUTSIDE_FEES,
}
"""What the house alone is concerned with, by the type of the line."""


@dataclass(frozen=True, slots=True)
class CardBook:
    """Names accounts and entries of one user's card money in one tenant and currency."""

    tenant: int
    user: UUID
    currency: str

    def account(self, kind: AccountKind, currency: str | None = None) -> AccountRef:
        owner = self.user if kind.startswith("user_") else None
        return AccountRef(kind, currency or self.currency, owner, self.tenant)

    @property
    def available(self) -> AccountRef:
        return self.account(AccountKind.USER_AVAILABLE)

    def entry_id(self, *path: object) -> UUID:
        """Return the id of an entry: the same path is the same entry, posted once."""
        first, *rest = path
        return uuid5(_NAMESPACE, "/".join(map(str, (first, self.tenant, *rest))))

    def top_up(self, top_up: UUID, amount: int, external_id: str) -> EntryRequest:
        """A card payment succeeded; one top-up has one entry, ever."""
        return EntryRequest(
            id=self.entry_id("top_up", top_up),
            kind="payments.top_up",
            debit=self.account(_GATEWAY),
            credit=self.available,
            amount=amount,
            memo={"top_up": str(top_up), "external_id": external_id},
        )

    def refund_hold(self, refund: UUID, amount: int) -> EntryRequest:
        """Money is set aside before the gateway is asked to give it back."""
        return self._refund("payments.refund.hold", refund, Operation.HOLD, amount)

    def refund_capture(self, refund: UUID, amount: int, external_id: str) -> EntryRequest:
        """The gateway gave it back to the card."""
        return self._refund(
            "payments.refund", refund, Operation.CAPTURE, amount, external_id=external_id
        )

    def refund_release(self, refund: UUID) -> EntryRequest:
        """The gateway never gave it back."""
        return self._refund("payments.refund.release", refund, Operation.RELEASE, 0)

    def refund_returned(self, refund: UUID, amount: int, external_id: str) -> EntryRequest:
        """It was given back, and the card's bank sent it to us again."""
        return EntryRequest(
            id=self.entry_id("refund_returned", refund),
            kind="payments.refund.returned",
            debit=self.account(_GATEWAY),
            credit=self.available,
            amount=amount,
            memo={"refund": str(refund), "external_id": f"{external_id}/returned"},
        )

    def foreign_refund(self, refund: UUID, amount: int, external_id: str) -> EntryRequest:
        """Somebody refunded at the gateway by hand: the user owes it, and is asked at once."""
        return EntryRequest(
            id=self.entry_id("foreign_refund", refund),
            kind="payments.refund.foreign",
            debit=self.account(AccountKind.USER_CARD_DEBT),
            credit=self.account(_GATEWAY),
            amount=amount,
            memo={"refund": str(refund), "external_id": external_id},
        )

    def dispute_hold(self, entry: UUID, dispute: str, amount: int) -> EntryRequest:
        """Set aside what the user has, until a dispute is decided."""
        return self._dispute(entry, "payments.dispute.hold", dispute, Operation.HOLD, amount)

    def dispute_release(self, hold: UUID, dispute: str) -> EntryRequest:
        entry = self.entry_id("dispute_release", hold)
        return self._dispute(
            entry, "payments.dispute.release", dispute, Operation.RELEASE, 0, hold=hold
        )

    def dispute_capture(self, hold: UUID, dispute: str, amount: int) -> EntryRequest:
        """A dispute is lost: what was set aside pays for it."""
        entry = self.entry_id("dispute_capture", hold)
        return self._dispute(
            entry, "payments.dispute.lost", dispute, Operation.CAPTURE, amount, hold=hold
        )

    def dispute_debt(self, dispute: str, amount: int) -> EntryRequest:
        """A dispute is lost: what was not set aside the user owes."""
        return EntryRequest(
            id=self.entry_id("dispute_debt", dispute),
            kind="payments.dispute.debt",
            debit=self.account(AccountKind.USER_CARD_DEBT),
            credit=self.account(AccountKind.HOUSE_DISPUTED),
            amount=amount,
            memo={"dispute": dispute},
        )

    def dispute_regained(self, dispute: str, amount: int) -> EntryRequest:
        """A dispute that was lost is won after all: the user gets all of it back."""
        return EntryRequest(
            id=self.entry_id("dispute_regained", dispute),
            kind="payments.dispute.won",
            debit=self.account(AccountKind.HOUSE_DISPUTED),
            credit=self.available,
            amount=amount,
            memo={"dispute": dispute},
        )

    def collect(self, entry: UUID, amount: int) -> EntryRequest:
        """Take from a debtor who has money."""
        return EntryRequest(
            id=entry,
            kind="payments.card_debt.collected",
            debit=self.available,
            credit=self.account(AccountKind.USER_CARD_DEBT),
            amount=amount,
        )

    def write_off(self, entry: UUID, amount: int, memo: dict[str, object]) -> EntryRequest:
        """Somebody decided that a debt will not be paid: it is our loss."""
        return EntryRequest(
            id=entry,
            kind="payments.card_debt.written_off",
            debit=self.account(AccountKind.HOUSE_CARD_LOSS),
            credit=self.account(AccountKind.USER_CARD_DEBT),
            amount=amount,
            memo=memo,
        )

    def movement(self, line: GatewayMovement) -> Iterator[EntryRequest]:
        """What a line of the statement posts beyond what the user's own entries say."""
        if line.kind is MovementKind.DISPUTE and line.presented:
            kind = "taken" if line.presented < 0 else "given_back"
            yield self._signed(
                f"payments.dispute.{kind}",
                line.external_id,
                AccountKind.HOUSE_DISPUTED,
                self.currency,
                line.presented,
            )
        if line.currency != self.currency:
            converted = f"{line.external_id}/converted"
            for currency, amount in (
                (self.currency, -line.presented),
                (line.currency, line.amount),
            ):
                if amount:
                    yield self._signed(
                        "payments.card_conversion",
                        converted,
                        AccountKind.HOUSE_FX_POSITION,
                        currency,
                        amount,
                    )
        if line.fee:
            yield self._signed(
                "payments.card_fee",
                f"{line.external_id}/fee",
                AccountKind.HOUSE_OUTSIDE_FEES,
                line.currency,
                -line.fee,
            )

    def _signed(
        self, kind: str, external_id: str, other: AccountKind, currency: str, amount: int
    ) -> EntryRequest:
        """Move an amount from another house account to the gateway's, or back when below zero."""
        gateway, against = self.account(_GATEWAY, currency), self.account(other, currency)
        debit, credit = (gateway, against) if amount > 0 else (against, gateway)
        return EntryRequest(
            id=self.entry_id("line", external_id, currency),
            kind=kind,
            debit=debit,
            credit=credit,
            amount=abs(amount),
            memo={"external_id": external_id},
        )

    def _refund(
        self,
        kind: str,
        refund: UUID,
        operation: Operation,
        amount: int,
        *,
        external_id: str | None = None,
    ) -> EntryRequest:
        hold = self.entry_id("refund_hold", refund)
        memo: dict[str, object] = {"refund": str(refund)}
        return EntryRequest(
            id=hold
            if operation is Operation.HOLD
            else self.entry_id(f"refund_{operation}", refund),
            kind=kind,
            debit=self.available,
            credit=self.account(_GATEWAY),
            amount=amount,
            operation=operation,
            hold=None if operation is Operation.HOLD else hold,
            memo=memo | ({"external_id": external_id} if external_id else {}),
        )

    def _dispute(
        self,
        entry: UUID,
        kind: str,
        dispute: str,
        operation: Operation,
        amount: int,
        *,
        hold: UUID | None = None,
    ) -> EntryRequest:
        return EntryRequest(
            id=entry,
            kind=kind,
            debit=self.available,
            credit=self.account(AccountKind.HOUSE_DISPUTED),
            amount=amount,
            operation=operation,
            hold=hold,
            memo={"dispute": dispute},
        )


def for_house_line(tenant: int, line: OutsideLine) -> EntryRequest | None:
    """Return what a line of the statement posts that no payment of a user stands behind."""
    kind = line.text.removesuffix(" fee")
    other = _HOUSE_LINES.get(kind)
    if other is None or line.amount == 0:
        return None
    if kind != line.text:
        other = AccountKind.HOUSE_OUTSIDE_FEES
    gateway = AccountRef(_GATEWAY, line.currency, None, tenant)
    against = AccountRef(other, line.currency, None, tenant)
    debit, credit = (gateway, against) if line.amount > 0 else (against, gateway)
    return EntryRequest(
        id=uuid5(_NAMESPACE, f"house_line/{tenant}/{line.currency}/{line.external_id}"),
        kind=f"payments.card_statement.{kind}"[:64],
        debit=debit,
        credit=credit,
        amount=abs(line.amount),
        memo={"external_id": line.external_id},
    )
