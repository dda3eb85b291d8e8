"""Money without a known owner: officers give it to a user, or send it back to whoever paid it.

With four eyes, what one officer decides takes effect when a second one decides the same.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.errors import Forbidden
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx
from server.ledger import post_many
from server.payments.banks.deposits import (
    CREDITED,
    RETURNING,
    SUSPENSE,
    count_deposit,
    locked_deposit,
    recover_debt,
)
from server.payments.banks.desk import Officer, officer_of, record_deed
from server.payments.banks.errors import DepositDecided, PayerUnknown
from server.payments.banks.events import DepositReceived
from server.payments.banks.models import BankDepositRow
from server.payments.banks.orders import BankOrder, Purpose, place_order
from server.payments.banks.partners import find_bank
from server.payments.banks.payees import Payee, check_payee, open_payee
from server.payments.banks.postings import Book, entry_id

_PAGE_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Decision:
    """What an officer wants done. ``user`` goes with ``assign`` alone."""

    action: Literal["assign", "return"]
    reason: str
    user: UUID | None = None

    def stored(self) -> dict[str, Any]:
        return {"action": self.action, "user": str(self.user) if self.user else None}


async def in_suspense(tx: Tx, tenant: int, *, limit: int = _PAGE_MAX) -> list[BankDepositRow]:
    """Return what waits for a decision, the oldest first."""
    rows = await tx.session.scalars(
        select(BankDepositRow)
        .where(BankDepositRow.tenant == tenant, BankDepositRow.state == SUSPENSE)
        .order_by(BankDepositRow.received_at, BankDepositRow.id)
        .limit(limit)
    )
    return list(rows)


async def decide(
    tx: Tx, vault: Vault, caller: Caller, deposit_id: UUID, decision: Decision, *, four_eyes: bool
) -> BankDepositRow:
    """Do what an officer decided, or with four eyes remember it until a second one decides it.

    The same officer deciding the same again changes nothing.

    Raises:
        Forbidden: the officer would get the money.
        NotFound: there is no such deposit, or no such user.
        DepositDecided: it is not in suspense any more, or the bank took it all back.
        PayerUnknown: it cannot be returned, since the bank did not say where it came from.
        BankAccountInvalid: what the bank said is no account number.
    """
    if decision.user == caller.user_id:
        raise Forbidden("Nobody gives money to themselves.", fix="Leave it to another officer.")
    row = await locked_deposit(tx, caller.tenant, deposit_id)
    by = await officer_of(tx, caller)
    if row.state != SUSPENSE or row.taken_back == row.amount:
        raise DepositDecided("This money is not in suspense any more.", state=row.state)
    if decision.user is not None:
        await find_user(tx, caller.tenant, decision.user)
    if four_eyes and not _second(row, caller.user_id, decision):
        if row.proposed_by != caller.user_id or row.proposal != decision.stored():
            row.proposal, row.proposed_by = decision.stored(), caller.user_id
            await _record(tx, row, by, "deposit_proposed", decision)
            await tx.session.flush()
        return row
    if decision.user is not None:
        await _assign(tx, row, decision.user)
    else:
        await _return(tx, vault, row)
    row.proposal, row.proposed_by, row.decided_at = None, None, tx.now
    await _record(tx, row, by, f"deposit_{decision.action}", decision)
    await tx.session.flush()
    return row


def payer_of(vault: Vault, row: BankDepositRow) -> Payee | None:
    """Return who paid the money in, as the bank said it."""
    if row.payer_sealed is None:
        return None
    return open_payee(vault, row.payer_sealed, f"deposit/{row.tenant}/{row.id}")


def _second(row: BankDepositRow, officer: UUID, decision: Decision) -> bool:
    return (
        row.proposal == decision.stored()
        and row.proposed_by is not None
        and row.proposed_by != officer
    )


async def _assign(tx: Tx, row: BankDepositRow, user: UUID) -> None:
    amount = row.amount - row.taken_back
    row.over_limit = await count_deposit(tx, row.tenant, user, amount, row.currency)
    book = Book(row.tenant, row.bank, row.currency)
    [outcome] = await post_many(tx, [book.assignment(row.id, amount, user)])
    outcome.raise_for_refusal()
    await recover_debt(tx, book, user, amount, cause=row.id)
    row.state, row.user_id, row.cause = CREDITED, user, None
    event = DepositReceived(
        deposit_id=row.id,
        user_id=user,
        bank_id=row.bank,
        amount=amount,
        currency=row.currency,
        over_limit=row.over_limit,
    )
    await emit(tx, event, tenant=row.tenant)


async def _return(tx: Tx, vault: Vault, row: BankDepositRow) -> None:
    payer = payer_of(vault, row)
    if payer is None:
        raise PayerUnknown(
            "The bank did not say which account the money came from.",
            fix="Ask the bank to take it back; its reversal is booked by itself.",
        )
    checked = check_payee(payer)
    bank = await find_bank(tx, row.tenant, row.bank)
    row.round += 1
    amount = row.amount - row.taken_back
    order = BankOrder(
        tenant=row.tenant,
        id=entry_id("return_order", row.tenant, row.id, row.round),
        bank=bank.id,
        purpose=Purpose.RETURN,
        subject=row.id,
        amount=amount,
        currency=row.currency,
        reference=f"RETURN OF {row.transaction_id}"[:35],
        payee=checked.payee,
    )
    book = Book(row.tenant, row.bank, row.currency)
    [outcome] = await post_many(tx, [book.hold_return(order.id, amount)])
    outcome.raise_for_refusal()
    await place_order(tx, vault, order)
    row.state, row.cause = RETURNING, None


async def _record(
    tx: Tx, row: BankDepositRow, by: Officer, action: str, decision: Decision
) -> None:
    await record_deed(
        tx,
        row.tenant,
        by,
        action,
        subject=f"deposit/{row.id}",
        reason=decision.reason,
        amount=row.amount - row.taken_back,
        currency=row.currency,
        decision=decision.stored(),
    )
