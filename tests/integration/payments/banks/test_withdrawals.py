"""A withdrawal hears from its bank in whatever way: a notice, a statement, an answer file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from server.kit.auth import Caller
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflows import WorkflowBook, WorkflowPlace
from server.payments.banks import BANK_RAIL, BankApi, BankRail, Carrier, accounts, files
from server.payments.banks import payable_account as payable
from server.payments.banks.camt import parse_statements
from server.payments.banks.desk import OPERATOR
from server.payments.banks.models import BankAccountRow
from server.payments.banks.partners import RailKind
from server.payments.banks.payees import Payee
from server.payments.banks.statements import import_statement
from server.payments.payouts import PayoutDesk, PayoutStatus
from server.payments.payouts.carrying import order_of
from server.payments.payouts.schemas import WithdrawalCreate
from server.payments.payouts.withdrawals import find_withdrawal, request_withdrawal
from sim.bank import statements
from sim.bank.files import render_answer, take_file
from sim.bank.payouts import Payouts
from sim.bank.store import Store, today
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.payments.banks.partner import (
    IBAN,
    VAULT,
    Partner,
    assert_balanced,
    make_partner,
)
from tests.integration.payments.people import available, join

PAYEE = Payee(name="Ada", iban="DE75512108001245126199")


@dataclass
class Case:
    """Ada, who has 100.00 EUR at a bank that takes files, and asked for 25.00 of it."""

    uow: UnitOfWork
    partner: Partner
    ada: Caller
    rail: BankRail
    id: UUID
    fee: int

    async def state(self) -> tuple[str, int, int]:
        """Return the withdrawal's state, what Ada has, and what the bank holds for us."""
        row = await self.uow.read(lambda tx: find_withdrawal(tx, self.ada, self.id))
        return row.state, await available(self.uow, self.ada), await self.partner.holds()

    async def hear(self, number: int, status: str, **facts: Any) -> tuple[str, bool]:
        told = {"type": "payout", "delivery_id": f"n{number}", "payout_id": str(self.id)}
        return await self.partner.tell(told | {"status": status} | facts)

    async def make_file(self) -> bytes:
        bank = self.partner.bank
        [made] = await self.uow.run(lambda tx: files.make_files(tx, VAULT, bank, OPERATOR))
        return await self.uow.read(lambda tx: files.file_content(tx, VAULT, 1, made.id))


@pytest.fixture
async def case(uow: UnitOfWork, clock: ManualClock, database: Database) -> Case:
    partner = await make_partner(uow, clock, rail=RailKind.FILE, accounts={"EUR": IBAN})
    ada = await join(uow)
    await partner.tell(partner.deposit(await partner.reference(ada), 10_000))
    account = await uow.run(lambda tx: accounts.add_account(tx, VAULT, ada, PAYEE, "EUR"))

    async def verify(tx: Tx) -> None:
        row = update(BankAccountRow).where(BankAccountRow.id == account.id)
        await tx.connection.execute(row.values(state=accounts.VERIFIED))

    await uow.run(verify)
    rail = BankRail(Carrier(uow, VAULT, BankApi(clock)))
    book = WorkflowBook(WorkflowPlace.beside(database.url))
    desk = PayoutDesk(uow, book, payable, {BANK_RAIL: rail})
    wish = WithdrawalCreate(amount=2_500, currency="EUR", bank_account=account.id)
    view = await request_withdrawal(desk, ada, wish, key="k")
    await book.close()
    row = await uow.read(lambda tx: find_withdrawal(tx, ada, view.id))
    answer = await rail.send(order_of(row))
    assert answer.status is PayoutStatus.ACCEPTED
    return Case(uow, partner, ada, rail, view.id, row.fee)


async def test_a_notice_that_it_was_paid_moves_the_money_at_once(case: Case) -> None:
    before = await available(case.uow, case.ada)
    assert before == 10_000 - 2_500 - case.fee
    assert await case.hear(1, "paid", transaction_id="OUT1") == ("settled", False)
    assert await case.hear(2, "paid", transaction_id="OUT1") == ("settled", False)
    assert await case.state() == ("paid", before, 7_500)
    await assert_balanced(case.uow)


async def test_a_notice_that_it_was_refused_gives_everything_back(case: Case) -> None:
    assert await case.hear(1, "refused", reason="account_closed") == ("settled", False)
    assert await case.state() == ("refused", 10_000, 10_000)
    # Too late to say otherwise: an officer looks at it.
    await case.hear(2, "paid", transaction_id="OUT1")
    assert await case.state() == ("refused", 10_000, 10_000)
    assert await case.partner.breaks() == ["order_contradicted"]


async def test_what_comes_back_is_credited_once_also_when_nobody_said_paid(case: Case) -> None:
    for number in (1, 2):
        await case.hear(number, "returned", transaction_id="BACK1", reason="ac04")
    assert await case.state() == ("returned", 10_000 - case.fee, 10_000)
    await assert_balanced(case.uow)


async def test_the_statement_says_that_the_file_was_paid(case: Case) -> None:
    store = Store(Path(":memory:"))
    store.do("INSERT INTO account VALUES ('EUR', ?)", IBAN)
    payouts = Payouts(store)
    take_file(payouts, await case.make_file())
    [read] = parse_statements(statements.render(store, "EUR", today()))
    bank = case.partner.bank
    done = await case.uow.run(lambda tx: import_statement(tx, bank, read))
    # The withdrawal, and the payment that verifies the account.
    assert (done.lines, done.settled, done.report.matched) == (2, 2, 2)
    state, _, holds = await case.state()
    assert (state, holds) == ("paid", 10_000 - 2_500 - 100)
    await assert_balanced(case.uow)


async def test_the_answer_file_gives_back_what_the_bank_refused(case: Case) -> None:
    store = Store(Path(":memory:"))
    store.set("mode", "refused")
    message = take_file(Payouts(store), await case.make_file())
    answer, bank = render_answer(store, message), case.partner.bank
    assert await case.uow.run(lambda tx: files.read_response(tx, bank, answer)) == 2
    assert await case.state() == ("refused", 10_000, 10_000)
    await assert_balanced(case.uow)
