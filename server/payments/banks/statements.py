"""Statements of banks: they settle payments that we ordered and are compared with our books.

Importing the same file again changes nothing. What does not fit becomes a break of the ledger's
reconciliation; no line of a statement credits a user by itself.
"""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from server.kit.unit_of_work import Tx
from server.ledger import (
    AccountKind,
    AccountRef,
    OutsideLine,
    ReconciliationReport,
    reconcile,
)
from server.payments.banks.camt import Line, Statement
from server.payments.banks.desk import list_break
from server.payments.banks.errors import StatementInvalid
from server.payments.banks.models import BankOrderRow
from server.payments.banks.orders import OrderState, settle_order
from server.payments.banks.partners import Bank

_ORDER_ID: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ImportedStatement:
    """What came of one statement of a file."""

    id: str
    currency: str
    lines: int
    pending: int
    settled: int
    """Payments of ours that this statement said were made or came back."""
    report: ReconciliationReport


async def import_statement(tx: Tx, bank: Bank, statement: Statement) -> ImportedStatement:
    """Settle orders by a statement, and compare it with our account at the bank.

    Raises:
        StatementInvalid: it is for an account or a currency that is not ours there.
        StatementChanged: a statement with this id was imported before, with other lines.
    """
    _check_account(bank, statement)
    booked = [line for line in statement.lines if line.booked and line.amount]
    settled = sum([await _settle(tx, bank, line) for line in booked])
    if statement.first_day is None or statement.last_day is None:
        raise StatementInvalid(f"Statement {statement.id} says no day.")
    mirror = AccountRef(AccountKind.BANK_MONEY, statement.currency, bank.id, bank.tenant)
    report = await reconcile(
        tx,
        mirror,
        statement.id,
        [
            OutsideLine(line.external_id, line.amount, line.currency, line.booked_on, line.text)
            for line in booked
        ],
        closing_balance=statement.closing,
        period=(statement.first_day, statement.last_day),
    )
    return ImportedStatement(
        id=statement.id,
        currency=statement.currency,
        lines=len(booked),
        pending=sum(not line.booked for line in statement.lines),
        settled=settled,
        report=report,
    )


def _check_account(bank: Bank, statement: Statement) -> None:
    own = bank.accounts.get(statement.currency)
    if own is None or own.replace(" ", "") != statement.account.replace(" ", ""):
        raise StatementInvalid(
            f"Statement {statement.id} is for an account that is not ours at {bank.name}.",
            fix="Name the bank that it comes from.",
        )


async def _settle(tx: Tx, bank: Bank, line: Line) -> bool:
    """Settle the order that a line names; return whether it did."""
    row = await _order(tx, bank, line)
    if row is None:
        return False
    came_back = line.amount > 0 and line.is_return
    if (
        abs(line.amount) != row.amount
        or line.currency != row.currency
        or (line.amount > 0 and not came_back)
    ):
        await list_break(
            tx,
            bank.tenant,
            bank.id,
            "order_does_not_fit",
            subject=str(row.id),
            ordered=[row.amount, row.currency],
            told=[line.amount, line.currency],
        )
        return False
    state = OrderState.RETURNED if came_back else OrderState.PAID
    if row.state == state:
        return False
    await settle_order(
        tx,
        bank,
        row.id,
        state,
        external_id=line.external_id,
        reason="returned" if came_back else None,
    )
    return True


async def _order(tx: Tx, bank: Bank, line: Line) -> BankOrderRow | None:
    named = (line.end_to_end_id or "").lower()
    if not _ORDER_ID.fullmatch(named):
        return None
    row = await tx.session.get(BankOrderRow, (bank.tenant, UUID(named)))
    return row if row is not None and row.bank == bank.id else None
