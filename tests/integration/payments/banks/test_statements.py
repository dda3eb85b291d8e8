"""Statements settle what we ordered and show what does not agree; files go to the bank and back."""

from datetime import date
from pathlib import Path
from uuid import UUID

import pytest

from server.kit.unit_of_work import UnitOfWork
from server.ledger import StatementChanged
from server.payments.banks import files
from server.payments.banks.camt import parse_statements
from server.payments.banks.desk import OPERATOR
from server.payments.banks.errors import BankSuspended, StatementInvalid
from server.payments.banks.models import BankOrderRow
from server.payments.banks.orders import BankOrder, OrderState, Purpose, place_order
from server.payments.banks.partners import RailKind, set_active
from server.payments.banks.payees import Payee
from server.payments.banks.statements import ImportedStatement, import_statement
from sim.bank import statements
from sim.bank.files import render_answer, take_file
from sim.bank.payouts import Payouts
from sim.bank.store import Store, today
from tests.fakes.clock import ManualClock
from tests.integration.payments.banks.partner import (
    IBAN,
    VAULT,
    Partner,
    assert_balanced,
    make_partner,
)
from tests.integration.payments.people import join

PAYEE = Payee(name="Ada & <Söhne>", iban="DE75512108001245126199", bic="SOGEDEFFXXX")
LOCAL = Payee(name="Ben", country="KE", routing="01-100", account_number="1234567890")
DAY = date(2026, 3, 2)


@pytest.fixture
def bank_store(tmp_path: Path) -> Store:
    """The bank's own books, in this process."""
    store = Store(tmp_path / "bank.sqlite")
    store.do("INSERT INTO account VALUES ('EUR', ?)", IBAN)
    return store


async def bring(
    uow: UnitOfWork, partner: Partner, store: Store, *, day: date = DAY, version: str = "08"
) -> ImportedStatement:
    """Import the bank's statement of a day."""
    [read] = parse_statements(statements.render(store, "EUR", day, version))
    return await uow.run(lambda tx: import_statement(tx, partner.bank, read))


async def place(
    uow: UnitOfWork,
    partner: Partner,
    number: int,
    payee: Payee = PAYEE,
    purpose: Purpose = Purpose.VERIFICATION,
) -> UUID:
    order = BankOrder(
        tenant=1,
        id=UUID(int=number),
        bank=partner.bank.id,
        purpose=purpose,
        subject=UUID(int=number),
        amount=100 * number,
        currency="EUR",
        reference=f"CODE {number:06d}",
        payee=payee,
    )
    return (await uow.run(lambda tx: place_order(tx, VAULT, order))).id


async def state_of(uow: UnitOfWork, order: UUID) -> tuple[str, str | None]:
    row = await uow.read(lambda tx: tx.session.get_one(BankOrderRow, (1, order)))
    return row.state, row.external_id


@pytest.mark.parametrize("version", statements.VERSIONS)
async def test_deposits_that_were_announced_match_and_others_are_breaks(
    uow: UnitOfWork, partner: Partner, bank_store: Store, version: str
) -> None:
    ada = await join(uow)
    reference = await partner.reference(ada)
    for number, told in ((1, True), (2, False), (3, True)):
        bank_store.book("EUR", 1_000 * number, transaction_id=f"T{number}", day=DAY)
        if told:
            # The third was announced with another amount than the bank booked.
            amount = 1_000 if number == 1 else 2_999
            await partner.tell(partner.deposit(reference, amount, transaction_id=f"T{number}"))
    bank_store.book("EUR", 7, transaction_id="T9", booked=False, day=DAY)
    done = await bring(uow, partner, bank_store, version=version)
    assert (done.lines, done.pending, done.report.matched) == (3, 1, 1)
    found = {(each.external_id, str(each.kind)) for each in done.report.breaks}
    assert found == {("T2", "missing_here"), ("T3", "different_amount")}
    again = await bring(uow, partner, bank_store, version=version)
    assert again.report.repeated
    assert len(again.report.breaks) == 2
    await assert_balanced(uow)


async def test_a_deposit_that_is_announced_late_closes_its_break(
    uow: UnitOfWork, partner: Partner, bank_store: Store
) -> None:
    ada = await join(uow)
    bank_store.book("EUR", 500, transaction_id="T1", day=DAY)
    done = await bring(uow, partner, bank_store)
    assert [str(each.kind) for each in done.report.breaks] == ["missing_here"]
    document = partner.deposit(await partner.reference(ada), 500, transaction_id="T1")
    await partner.tell(document)
    bank_store.book("EUR", 5, transaction_id="T2", day=date(2026, 3, 3))
    await partner.tell(partner.deposit("nobody", 5, transaction_id="T2"))
    later = await bring(uow, partner, bank_store, day=date(2026, 3, 3))
    assert later.report.breaks == ()
    assert later.report.closing_balance == await partner.holds() == 505


async def test_a_statement_that_changed_or_is_not_ours_is_refused(
    uow: UnitOfWork, clock: ManualClock, partner: Partner, bank_store: Store
) -> None:
    bank_store.book("EUR", 500, transaction_id="T1", day=DAY)
    await bring(uow, partner, bank_store)
    bank_store.book("EUR", 1, transaction_id="T2", day=DAY)
    with pytest.raises(StatementChanged):
        await bring(uow, partner, bank_store)
    other = await make_partner(uow, clock, "Other", accounts={"EUR": "FR1420041010050500013M02606"})
    with pytest.raises(StatementInvalid, match="not ours"):
        await bring(uow, other, bank_store)


async def test_the_statement_settles_what_a_file_ordered(
    uow: UnitOfWork, clock: ManualClock, bank_store: Store
) -> None:
    partner = await make_partner(uow, clock, rail=RailKind.FILE, accounts={"EUR": IBAN})
    orders = [await place(uow, partner, n, LOCAL if n == 2 else PAYEE) for n in (1, 2, 3)]
    [made] = await uow.run(lambda tx: files.make_files(tx, VAULT, partner.bank, OPERATOR))
    assert (made.orders, made.amount.amount, made.handed_over) == (3, 600, False)
    assert await uow.run(lambda tx: files.make_files(tx, VAULT, partner.bank, OPERATOR)) == []
    content = await uow.read(lambda tx: files.file_content(tx, VAULT, 1, made.id))
    assert b"Ada &amp; &lt;S\xc3\xb6hne&gt;" in content
    done = await uow.run(lambda tx: files.mark_handed_over(tx, 1, made.id, OPERATOR))
    assert done.handed_over

    payouts = Payouts(bank_store)
    bank_store.set("modes", '["immediate", "refused", "stuck"]')
    for _ in range(2):
        assert take_file(payouts, content) == made.id.hex
    answer = render_answer(bank_store, made.id.hex)
    refused = await uow.run(lambda tx: files.read_response(tx, partner.bank, answer))
    assert refused == 1
    result = await bring(uow, partner, bank_store, day=today())
    assert result.settled == 1
    states = [await state_of(uow, order) for order in orders]
    assert [state for state, _ in states] == ["paid", "refused", "sent"]
    assert result.report.matched == 1
    assert await partner.holds() == -100

    payouts.settle(str(orders[2]), "paid", None)
    payouts.send_back(str(orders[0]), "ac04")
    [read] = parse_statements(statements.render(bank_store, "EUR", today()))
    renamed = type(read)(**{**{f: getattr(read, f) for f in read.__slots__}, "id": "LATER"})
    final = await uow.run(lambda tx: import_statement(tx, partner.bank, renamed))
    assert final.settled == 2
    assert [(await state_of(uow, order))[0] for order in orders] == ["returned", "refused", "paid"]
    assert await partner.holds() == -300
    await assert_balanced(uow)


async def test_a_line_that_names_an_order_with_another_amount_settles_nothing(
    uow: UnitOfWork, partner: Partner, bank_store: Store
) -> None:
    order = await place(uow, partner, 5)
    bank_store.book("EUR", -499, end_to_end=order.hex, day=DAY)
    bank_store.book("EUR", 500, end_to_end=order.hex, day=DAY)
    done = await bring(uow, partner, bank_store)
    assert done.settled == 0
    assert (await state_of(uow, order))[0] == OrderState.NEW
    assert await partner.breaks() == ["order_does_not_fit", "order_does_not_fit"]


async def test_another_banks_statement_settles_none_of_our_orders_here(
    uow: UnitOfWork, clock: ManualClock, partner: Partner, bank_store: Store
) -> None:
    other = await make_partner(uow, clock, "Other")
    order = await place(uow, other, 5)
    bank_store.book("EUR", -500, end_to_end=order.hex, day=DAY)
    assert (await bring(uow, partner, bank_store)).settled == 0
    assert (await state_of(uow, order))[0] == OrderState.NEW


async def test_a_suspended_bank_gets_no_file(uow: UnitOfWork, clock: ManualClock) -> None:
    partner = await make_partner(uow, clock, rail=RailKind.FILE)
    await place(uow, partner, 1)
    suspended = await uow.run(lambda tx: set_active(tx, 1, partner.bank.id, active=False))
    with pytest.raises(BankSuspended):
        await uow.run(lambda tx: files.make_files(tx, VAULT, suspended, OPERATOR))


async def test_an_answer_about_somebody_elses_orders_changes_nothing(
    uow: UnitOfWork, clock: ManualClock, partner: Partner
) -> None:
    other = await make_partner(uow, clock, "Other")
    order = await place(uow, other, 1)
    answer = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
        "<OrgnlPmtInfAndSts><TxInfAndSts>"
        f"<OrgnlEndToEndId>{order.hex}</OrgnlEndToEndId><TxSts>RJCT</TxSts>"
        "</TxInfAndSts></OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>"
    ).encode()
    with pytest.raises(StatementInvalid):
        await uow.run(lambda tx: files.read_response(tx, partner.bank, answer))
    assert (await state_of(uow, order))[0] == OrderState.NEW
