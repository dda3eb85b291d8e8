"""Deposits: money that a bank says has come in, booked once for each of its transactions.

A deposit is never refused for a limit or for want of an owner, since the money is there: it counts
against the limits and is marked when it goes beyond, and without an owner it goes to suspense.
"""

import hashlib
from datetime import date
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import select, update

from server.kit.crypto import Vault
from server.kit.errors import NotFound
from server.kit.outbox import Event, emit
from server.kit.unit_of_work import Tx
from server.ledger import balance, post_many
from server.payments.banks.claims import claim
from server.payments.banks.desk import list_break
from server.payments.banks.events import DepositReceived, DepositSuspended
from server.payments.banks.models import BankDepositRow, BankReferenceRow
from server.payments.banks.partners import Bank
from server.payments.banks.payees import Payee, seal_payee
from server.payments.banks.postings import Book, entry_id
from server.payments.banks.references import find_references
from server.payments.limits import LimitKind, LimitUse, count_uses, use_limits

CREDITED: Final = "credited"
SUSPENSE: Final = "suspense"
RETURNING: Final = "returning"
RETURNED: Final = "returned"


class DepositFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a bank says of money that came in."""

    transaction_id: str
    amount: int
    currency: str
    booked_on: date
    reference: str
    payer: Payee | None = None

    def digest(self) -> bytes:
        """Return what must not change when the bank tells of the transaction again."""
        told = [self.amount, self.currency, self.reference]
        return hashlib.sha256(msgspec.json.encode(told)).digest()


async def book_deposit(tx: Tx, vault: Vault, bank: Bank, facts: DepositFacts) -> str:
    """Book money that came in; return ``credited``, ``suspense``, ``duplicate`` or ``conflict``.

    A conflict is the same transaction with other facts: nothing is booked, officers are told. So is
    a currency that the bank does not hold for us: ``currency_not_agreed``.
    """
    if facts.currency not in bank.accounts:
        await list_break(
            tx,
            bank.tenant,
            bank.id,
            "currency_not_agreed",
            subject=facts.transaction_id,
            amount=facts.amount,
            currency=facts.currency,
        )
        return "currency_not_agreed"
    user, cause = await _owner(tx, bank, facts)
    deposit = entry_id("deposit_id", bank.tenant, bank.id, facts.transaction_id)
    values = {
        "tenant": bank.tenant,
        "bank": bank.id,
        "transaction_id": facts.transaction_id,
        "id": deposit,
        "amount": facts.amount,
        "currency": facts.currency,
        "booked_on": facts.booked_on,
        "reference": facts.reference,
        "payer_sealed": seal_payee(tx, vault, facts.payer, f"deposit/{bank.tenant}/{deposit}"),
        "digest": facts.digest(),
        "state": CREDITED if user else SUSPENSE,
        "cause": cause,
        "over_limit": False,
        "user_id": user,
        "taken_back": 0,
        "round": 0,
        "proposal": None,
        "proposed_by": None,
        "received_at": tx.now,
        "decided_at": None,
    }
    if not await claim(tx, BankDepositRow, values):
        return await _known(tx, bank, facts)
    over_limit = user is not None and await count_deposit(
        tx, bank.tenant, user, facts.amount, facts.currency
    )
    if over_limit:
        await tx.connection.execute(
            update(BankDepositRow)
            .where(BankDepositRow.tenant == bank.tenant, BankDepositRow.id == deposit)
            .values(over_limit=True)
        )
    book = Book(bank.tenant, bank.id, facts.currency)
    [outcome] = await post_many(tx, [book.deposit(facts.transaction_id, facts.amount, user)])
    outcome.raise_for_refusal()
    if user is None:
        event: Event = DepositSuspended(
            deposit_id=deposit,
            bank_id=bank.id,
            amount=facts.amount,
            currency=facts.currency,
            cause=cause or "",
        )
    else:
        await recover_debt(tx, book, user, facts.amount, cause=deposit)
        event = DepositReceived(
            deposit_id=deposit,
            user_id=user,
            bank_id=bank.id,
            amount=facts.amount,
            currency=facts.currency,
            over_limit=over_limit,
        )
    await emit(tx, event, tenant=bank.tenant)
    return CREDITED if user else SUSPENSE


async def locked_deposit(tx: Tx, tenant: int, deposit: UUID) -> BankDepositRow:
    """Return a deposit by our id, locked.

    Raises:
        NotFound: there is none.
    """
    row = await tx.session.scalar(
        select(BankDepositRow)
        .where(BankDepositRow.tenant == tenant, BankDepositRow.id == deposit)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        raise NotFound("There is no such deposit.")
    return row


async def deposits_of(tx: Tx, tenant: int, user: UUID, *, limit: int = 100) -> list[BankDepositRow]:
    """Return a user's deposits, the newest first."""
    rows = await tx.session.scalars(
        select(BankDepositRow)
        .where(BankDepositRow.tenant == tenant, BankDepositRow.user_id == user)
        .order_by(BankDepositRow.received_at.desc(), BankDepositRow.id.desc())
        .limit(limit)
    )
    return list(rows)


async def recover_debt(tx: Tx, book: Book, user: UUID, amount: int, *, cause: UUID) -> int:
    """Let money that a user just got pay what the user owes; return how much it paid.

    The caller has credited the amount, and so holds the lock of the user's account.
    """
    owed = -(await balance(tx, book.debt(user))).posted
    paid = min(owed, amount)
    if paid <= 0:
        return 0
    [outcome] = await post_many(tx, [book.recovery(entry_id("recovery", 0, cause), user, paid)])
    return paid if outcome.applied else 0


async def count_deposit(tx: Tx, tenant: int, user: UUID, amount: int, currency: str) -> bool:
    """Count money that came in against the user's limits; return whether it goes beyond them."""
    use = LimitUse(user, LimitKind.DEPOSIT, currency, amount)
    [exceeded] = await use_limits(tx, tenant, [use])
    if exceeded is not None:
        await count_uses(tx, tenant, [use])
    return exceeded is not None


async def _known(tx: Tx, bank: Bank, facts: DepositFacts) -> str:
    row = await tx.session.get_one(BankDepositRow, (bank.tenant, bank.id, facts.transaction_id))
    if row.digest == facts.digest():
        return "duplicate"
    await list_break(
        tx,
        bank.tenant,
        bank.id,
        "transaction_conflict",
        subject=facts.transaction_id,
        booked=[row.amount, row.currency],
        told=[facts.amount, facts.currency],
        same_reference=row.reference == facts.reference,
    )
    return "conflict"


async def _owner(tx: Tx, bank: Bank, facts: DepositFacts) -> tuple[UUID | None, str | None]:
    """Return whose money it is, or why nobody can tell."""
    named = find_references(facts.reference)
    if not named:
        return None, "no_reference"
    rows = list(
        await tx.session.scalars(
            select(BankReferenceRow).where(
                BankReferenceRow.tenant == bank.tenant, BankReferenceRow.reference.in_(named)
            )
        )
    )
    if len({row.user_id for row in rows}) > 1:
        return None, "several_references"
    if not rows:
        return None, "unknown_reference"
    if not any(row.bank == bank.id and row.currency == facts.currency for row in rows):
        return None, "reference_of_another_account"
    return rows[0].user_id, None
