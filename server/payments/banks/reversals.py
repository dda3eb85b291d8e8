"""Money that a bank takes back: a user's balance never goes below zero, the rest is a debt.

Whole or in parts, each of the bank's own transactions once. The debt takes the full amount first,
so that the bank's line has one entry, and what the user still has pays it back at once.
"""

from uuid import UUID

import msgspec
from sqlalchemy import update

from server.kit.outbox import emit
from server.kit.unit_of_work import Tx
from server.ledger import balance, post_many
from server.payments.banks.claims import claim
from server.payments.banks.deposits import CREDITED, SUSPENSE
from server.payments.banks.desk import list_break
from server.payments.banks.events import DepositReversed
from server.payments.banks.models import BankDepositRow, BankReversalRow
from server.payments.banks.partners import Bank
from server.payments.banks.postings import Book, entry_id

UNKNOWN = "unknown"
"""Nothing is booked for now; the same notice may come right later."""
_TRIES = 2
"""The first may meet a payment of the user; it takes the lock, so that the second meets none."""


class ReversalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank says of money that it took back."""

    transaction_id: str
    original_transaction_id: str
    amount: int
    currency: str
    reason: str


async def book_reversal(tx: Tx, bank: Bank, facts: ReversalFacts) -> str:
    """Book money that was taken back; return the outcome.

    ``reversed``, or ``duplicate``, ``conflict``, ``unknown``.

    A conflict (another amount than before, more than there was, another currency) is not booked;
    officers are told. Nor is a reversal of a deposit that nobody announced yet.
    """
    deposit = await tx.session.get(
        BankDepositRow,
        (bank.tenant, bank.id, facts.original_transaction_id),
        with_for_update=True,
    )
    if deposit is None:
        return UNKNOWN
    known = await tx.session.get(BankReversalRow, (bank.tenant, bank.id, facts.transaction_id))
    if known is not None:
        if (known.original, known.amount, known.currency) == (
            facts.original_transaction_id,
            facts.amount,
            facts.currency,
        ):
            return "duplicate"
        await _strange(tx, bank, "transaction_conflict", facts)
        return "conflict"
    left = deposit.amount - deposit.taken_back
    if facts.currency != deposit.currency or facts.amount > left:
        await _strange(tx, bank, "reversal_does_not_fit", facts, left=left)
        return "conflict"
    return await _book(tx, bank, facts, deposit)


async def _book(tx: Tx, bank: Bank, facts: ReversalFacts, deposit: BankDepositRow) -> str:
    user = deposit.user_id if deposit.state == CREDITED else None
    if user is None and deposit.state != SUSPENSE:
        # On its way back to the payer, and the bank took it as well: somebody has to talk to it.
        await _strange(tx, bank, "reversal_while_returning", facts)
    book = Book(bank.tenant, bank.id, facts.currency)
    [outcome] = await post_many(tx, [book.reversal(facts.transaction_id, facts.amount, user)])
    outcome.raise_for_refusal()
    recovered = 0
    if user is not None:
        recovered = await _recover(tx, book, facts, user)
        event = DepositReversed(
            deposit_id=deposit.id,
            user_id=user,
            bank_id=bank.id,
            amount=facts.amount,
            currency=facts.currency,
            owed=facts.amount - recovered,
        )
        await emit(tx, event, tenant=bank.tenant)
    await claim(
        tx,
        BankReversalRow,
        {
            "tenant": bank.tenant,
            "bank": bank.id,
            "transaction_id": facts.transaction_id,
            "original": facts.original_transaction_id,
            "amount": facts.amount,
            "currency": facts.currency,
            "recovered": recovered,
            "at": tx.now,
        },
    )
    await tx.connection.execute(
        update(BankDepositRow)
        .where(BankDepositRow.tenant == bank.tenant, BankDepositRow.id == deposit.id)
        .values(taken_back=deposit.taken_back + facts.amount)
    )
    return "reversed"


async def _recover(tx: Tx, book: Book, facts: ReversalFacts, user: UUID) -> int:
    for number in range(_TRIES):
        paid = min(facts.amount, (await balance(tx, book.user(user))).available)
        if paid <= 0:
            return 0
        id_ = entry_id("recovery", number, book.id("reversal", facts.transaction_id))
        [outcome] = await post_many(tx, [book.recovery(id_, user, paid)])
        if outcome.applied:
            return paid
    raise AssertionError("under the lock of the account its balance does not change")


async def _strange(tx: Tx, bank: Bank, kind: str, facts: ReversalFacts, **detail: object) -> None:
    await list_break(
        tx,
        bank.tenant,
        bank.id,
        kind,
        subject=facts.transaction_id,
        original=facts.original_transaction_id,
        amount=facts.amount,
        currency=facts.currency,
        **detail,
    )
