"""Payments that a bank is to make for us: written first, settled once, taken back if they return.

An order is ``new`` until a bank has it, then ``sent``, and in the end ``paid`` or ``refused``; a
paid one may come back later (``returned``). What a state means for money follows from its purpose:
verifications and returns are posted here, a withdrawal by its own slice in the same transaction.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from server.kit.crypto import Vault
from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx
from server.ledger import post_many
from server.payments.banks.claims import claim
from server.payments.banks.deposits import RETURNED, SUSPENSE, locked_deposit
from server.payments.banks.desk import list_break
from server.payments.banks.models import BankAccountRow, BankOrderRow
from server.payments.banks.partners import Bank
from server.payments.banks.payees import Payee
from server.payments.banks.postings import Book, entry_id
from server.payments.payouts import PayoutAnswer, PayoutStatus, apply_answer, book_return

_FIRST_DELAY: Final = timedelta(seconds=10)
_DELAY_MAX: Final = timedelta(hours=1)
REASON_MAX: Final = 64


class Purpose(StrEnum):
    PAYOUT = "payout"
    VERIFICATION = "verification"
    RETURN = "return"


class OrderState(StrEnum):
    NEW = "new"
    SENT = "sent"
    PAID = "paid"
    REFUSED = "refused"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class BankOrder:
    """An order as a rail needs it. ``reference`` has at most 35 ASCII characters."""

    tenant: int
    id: UUID
    bank: UUID
    purpose: Purpose
    subject: UUID
    amount: int
    currency: str
    reference: str
    payee: Payee
    user_id: UUID | None = None


class OrderContent(msgspec.Struct, frozen=True, kw_only=True):
    """What of an order is sealed: the account, and the text, which may hold a code."""

    payee: Payee
    reference: str


def verification_id(tenant: int, account: UUID, number: int) -> UUID:
    """Return the id of the order that verifies a bank account for the n-th time."""
    return entry_id("verification_order", tenant, account, number)


async def place_order(tx: Tx, vault: Vault, order: BankOrder) -> BankOrderRow:
    """Store an order unless it is there; return the row, locked.

    Raises:
        AssertionError: the id is another order's.
    """
    content = msgspec.json.encode(OrderContent(payee=order.payee, reference=order.reference))
    sealed = vault.seal(content, _context(order.tenant, order.id), nonce=tx.ids.token(24))
    await claim(
        tx,
        BankOrderRow,
        {
            "tenant": order.tenant,
            "id": order.id,
            "bank": order.bank,
            "purpose": order.purpose.value,
            "subject": order.subject,
            "user_id": order.user_id,
            "amount": order.amount,
            "currency": order.currency,
            "content_sealed": sealed,
            "state": OrderState.NEW.value,
            "external_id": None,
            "reason": None,
            "file": None,
            "attempts": 0,
            "retry_at": tx.now,
            "created_at": tx.now,
            "settled_at": None,
        },
    )
    row = await locked_order(tx, order.tenant, order.id)
    assert (row.amount, row.currency, row.subject) == (order.amount, order.currency, order.subject)
    return row


async def locked_order(tx: Tx, tenant: int, order_id: UUID) -> BankOrderRow:
    """Return an order, locked.

    Raises:
        NotFound: we never placed it.
    """
    row = await tx.session.get(
        BankOrderRow, (tenant, order_id), with_for_update=True, populate_existing=True
    )
    if row is None:
        raise NotFound("There is no such payment order.")
    return row


def content_of(vault: Vault, row: BankOrderRow) -> OrderContent:
    """Return whom an order pays, and the text that they see."""
    data = vault.open(row.content_sealed, _context(row.tenant, row.id))
    return msgspec.json.decode(data, type=OrderContent)


async def note_sent(tx: Tx, tenant: int, order_id: UUID) -> BankOrderRow:
    """Say that an order has been, or may have been, given to the bank; come back to it later."""
    row = await locked_order(tx, tenant, order_id)
    if row.state in {OrderState.NEW, OrderState.SENT}:
        row.state = OrderState.SENT
        row.retry_at = tx.now + min(_DELAY_MAX, _FIRST_DELAY * 2 ** min(row.attempts, 16))
        row.attempts += 1
        await tx.session.flush()
    return row


async def settle_order(
    tx: Tx,
    bank: Bank,
    order_id: UUID,
    state: OrderState,
    *,
    external_id: str | None = None,
    reason: str | None = None,
) -> BankOrderRow:
    """Write down that an order was paid, refused or came back, and post what follows from it.

    The same again changes nothing. What contradicts the state that is known (refused after paid)
    changes nothing either; officers are told.

    Raises:
        NotFound: we never placed it, or with another bank.
    """
    row = await locked_order(tx, bank.tenant, order_id)
    if row.bank != bank.id:
        raise NotFound("There is no such payment order.")
    before = OrderState(row.state)
    if before is state or (before is OrderState.RETURNED and state is OrderState.PAID):
        return row
    if before is OrderState.REFUSED or (
        before in {OrderState.PAID, OrderState.RETURNED} and state is OrderState.REFUSED
    ):
        await list_break(
            tx,
            bank.tenant,
            bank.id,
            "order_contradicted",
            subject=str(order_id),
            known=before.value,
            told=state.value,
        )
        return row
    settling = _Settling(tx, bank, row)
    if before in {OrderState.NEW, OrderState.SENT}:
        row.settled_at = tx.now
        if state is OrderState.REFUSED:
            row.reason = reason and reason[:REASON_MAX]
            await settling.refused()
        else:
            if state is OrderState.PAID:
                row.external_id = external_id
            await settling.paid()
    if state is OrderState.RETURNED:
        row.reason = reason and reason[:REASON_MAX]
        await settling.returned(external_id)
    row.state = state
    await tx.session.flush()
    return row


class _Settling:
    """What an order's end means, by its purpose."""

    def __init__(self, tx: Tx, bank: Bank, row: BankOrderRow) -> None:
        self._tx, self._bank, self._row = tx, bank, row
        self._book = Book(bank.tenant, bank.id, row.currency)

    async def paid(self) -> None:
        row = self._row
        if row.purpose == Purpose.VERIFICATION:
            cost = self._book.cost(row.id, row.amount, row.external_id)
            [outcome] = await post_many(self._tx, [cost])
            outcome.raise_for_refusal()
        elif row.purpose == Purpose.RETURN:
            end = self._book.end_return(row.id, row.amount, row.external_id)
            [outcome] = await post_many(self._tx, [end])
            outcome.raise_for_refusal()
            await self._deposit(RETURNED)
        else:
            await self._tell(PayoutAnswer(PayoutStatus.PAID, row.external_id))

    async def refused(self) -> None:
        row = self._row
        if row.purpose == Purpose.VERIFICATION:
            await self._verification_failed()
        elif row.purpose == Purpose.RETURN:
            [outcome] = await post_many(self._tx, [self._book.end_return(row.id, 0, None)])
            outcome.raise_for_refusal()
            await self._deposit(SUSPENSE)
        else:
            await self._tell(PayoutAnswer(PayoutStatus.REFUSED, reason=row.reason))

    async def returned(self, external_id: str | None) -> None:
        row = self._row
        if row.purpose == Purpose.PAYOUT:
            try:
                await book_return(
                    self._tx, row.tenant, row.id, external_id=external_id, reason=row.reason
                )
            except NotFound:
                await self._ownerless()
            return
        to = self._book.costs if row.purpose == Purpose.VERIFICATION else self._book.suspense
        entry = self._book.came_back(row.id, row.amount, to, external_id)
        [outcome] = await post_many(self._tx, [entry])
        outcome.raise_for_refusal()
        if row.purpose == Purpose.VERIFICATION:
            await self._verification_failed()
        else:
            await self._deposit(SUSPENSE)

    async def _tell(self, answer: PayoutAnswer) -> None:
        """Let the withdrawal know at once, in the same transaction."""
        try:
            await apply_answer(self._tx, self._row.tenant, self._row.id, answer)
        except NotFound:
            await self._ownerless()

    async def _ownerless(self) -> None:
        row = self._row
        await list_break(
            self._tx, row.tenant, row.bank, "payout_without_withdrawal", subject=str(row.id)
        )

    async def _verification_failed(self) -> None:
        row = self._row
        account = await self._tx.session.get(BankAccountRow, (row.tenant, row.subject))
        if (
            account is not None
            and account.state in {"unverified", "verified"}
            and row.id == verification_id(account.tenant, account.id, account.round)
        ):
            account.state, account.code_sealed = "refused", None

    async def _deposit(self, state: str) -> None:
        deposit = await locked_deposit(self._tx, self._row.tenant, self._row.subject)
        deposit.state = state
        if state == SUSPENSE:
            deposit.cause, deposit.decided_at = "return_failed", None


def _context(tenant: int, order_id: UUID) -> str:
    return f"bank-order/{tenant}/{order_id}"
