"""Users' own bank accounts: checked, sealed, masked, verified by what only their owner can read."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind
from server.payments.banks import accounts, payable_account
from server.payments.banks.errors import (
    BankAccountExists,
    BankAccountInvalid,
    BankAccountUnverified,
    BankUnavailable,
    TooManyBankAccounts,
    VerificationCodeWrong,
    VerificationOver,
)
from server.payments.banks.models import BankAccountRow, BankOrderRow
from server.payments.banks.orders import OrderState, content_of, settle_order
from server.payments.banks.partners import set_active
from server.payments.banks.payees import Payee
from tests.fakes.clock import ManualClock
from tests.integration.payments.banks.partner import VAULT, Partner, assert_balanced, shown
from tests.integration.payments.people import join

ADA = Payee(name="Ada", iban="DE75 5121 0800 1245 1261 99")
OTHERS = (
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "NL91ABNA0417164300",
    "TR330006100519786457841326",
    "ES9121000418450200051332",
)


async def add(
    uow: UnitOfWork, caller: Caller, payee: Payee = ADA, currency: str = "EUR"
) -> BankAccountRow:
    return await uow.run(lambda tx: accounts.add_account(tx, VAULT, caller, payee, currency))


async def order_of(uow: UnitOfWork, account: UUID) -> BankOrderRow:
    """Return the last verification payment of an account."""
    query = select(BankOrderRow).where(BankOrderRow.subject == account)
    rows = await uow.read(lambda tx: tx.session.scalars(query.order_by(BankOrderRow.id)))
    return max(rows, key=lambda row: row.created_at)


async def code_of(uow: UnitOfWork, account: UUID) -> str:
    """Return what the owner of the account reads on its statement."""
    return content_of(VAULT, await order_of(uow, account)).reference[-6:]


async def enter(
    uow: UnitOfWork, caller: Caller, account: UUID, code: str
) -> VerificationCodeWrong | BankAccountRow:
    return await uow.run(lambda tx: accounts.try_code(tx, VAULT, caller, account, code))


async def test_an_account_is_paid_to_only_after_its_code_came_back(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    assert (row.country, row.masked, row.bic) == ("DE", "DE75••••••••••••••6199", "SOGEDEFFXXX")
    with pytest.raises(BankAccountUnverified):
        await uow.read(lambda tx: payable_account(tx, 1, ada.user_id, row.id))
    order = await order_of(uow, row.id)
    assert (order.amount, order.currency, order.bank) == (100, "EUR", partner.bank.id)
    done = await enter(uow, ada, row.id, await code_of(uow, row.id))
    assert isinstance(done, BankAccountRow)
    payable = await uow.read(lambda tx: payable_account(tx, 1, ada.user_id, row.id))
    assert (payable.currency, payable.label) == ("EUR", row.masked)
    assert payable.source.owner == partner.bank.id


@pytest.mark.usefixtures("partner")
async def test_no_number_and_no_code_stands_in_the_database_in_the_clear(uow: UnitOfWork) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    code = await code_of(uow, row.id)
    for table in ("bank_account", "bank_order"):
        found = await uow.read(
            lambda tx, table=table: tx.connection.execute(text(f"SELECT * FROM {table}"))  # type: ignore[misc]
        )
        stored = repr(found.all())
        assert "370400440532013000" not in stored
        assert "1245126199" not in stored
        assert code not in stored


@pytest.mark.usefixtures("partner")
async def test_wrong_codes_are_counted_and_five_of_them_end_it(uow: UnitOfWork) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    code = await code_of(uow, row.id)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for left in (4, 3, 2, 1, 0):
        answer = await enter(uow, ada, row.id, wrong)
        assert isinstance(answer, VerificationCodeWrong)
        assert answer.members["attempts_left"] == left
    with pytest.raises(VerificationOver):
        await enter(uow, ada, row.id, code)


@pytest.mark.usefixtures("partner")
async def test_guessing_at_once_gets_no_more_tries(uow: UnitOfWork) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    code = int(await code_of(uow, row.id))
    answers = await asyncio.gather(
        *(enter(uow, ada, row.id, f"{(code + n) % 10**6:06d}") for n in range(1, 17)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, VerificationCodeWrong) for answer in answers) == 5
    assert sum(isinstance(answer, VerificationOver) for answer in answers) == 11


@pytest.mark.usefixtures("partner")
async def test_a_code_expires_and_a_new_payment_has_a_new_one(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    old = await code_of(uow, row.id)
    clock.advance(accounts.VERIFY_WITHIN)
    with pytest.raises(VerificationOver):
        await enter(uow, ada, row.id, old)
    await uow.run(lambda tx: accounts.verify_anew(tx, VAULT, ada, row.id))
    new = await code_of(uow, row.id)
    if new != old:
        assert isinstance(await enter(uow, ada, row.id, old), VerificationCodeWrong)
    assert isinstance(await enter(uow, ada, row.id, new), BankAccountRow)


async def test_a_payment_that_the_bank_refuses_ends_the_verification(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    code = await code_of(uow, row.id)
    order = await order_of(uow, row.id)
    await uow.run(lambda tx: settle_order(tx, partner.bank, order.id, OrderState.REFUSED))
    [shown_row] = await uow.read(lambda tx: accounts.own_accounts(tx, ada))
    assert shown_row.state == "refused"
    with pytest.raises(VerificationOver):
        await enter(uow, ada, row.id, code)
    assert await shown(uow, AccountKind.HOUSE_OUTSIDE_FEES) == 0


async def test_a_payment_that_comes_back_gives_the_house_its_unit_back(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    row = await add(uow, ada)
    order = await order_of(uow, row.id)
    steps = (
        (OrderState.PAID, "P1", 100),
        (OrderState.PAID, "P1", 100),
        (OrderState.RETURNED, "R1", 0),
        (OrderState.RETURNED, "R1", 0),
    )
    for state, external, cost in steps:
        await uow.run(
            lambda tx, state=state, external=external: settle_order(  # type: ignore[misc]
                tx, partner.bank, order.id, state, external_id=external
            )
        )
        assert await shown(uow, AccountKind.HOUSE_OUTSIDE_FEES) == cost
        assert await partner.holds() == -cost
    [kept] = await uow.read(lambda tx: accounts.own_accounts(tx, ada))
    assert kept.state == "refused"
    await assert_balanced(uow)


@pytest.mark.parametrize(
    "payee",
    [
        Payee(name="A", iban="DE89370400440532013001"),
        Payee(name="A", iban="DE8937040044053201300"),
        Payee(name="A", iban="ZZ89370400440532013000"),
        Payee(name="A", iban="D\N{CYRILLIC CAPITAL LETTER IE}89370400440532013000"),
        Payee(name="A", iban=""),
        Payee(name="A", iban="DE89370400440532013000", bic="ABCDEFG1"),
        Payee(name="A", iban="DE89370400440532013000", country="DE"),
        Payee(name="A", country="KE", routing="0100"),
        Payee(name="A"),
    ],
)
@pytest.mark.usefixtures("partner")
async def test_what_is_no_account_is_refused(uow: UnitOfWork, payee: Payee) -> None:
    ada = await join(uow)
    with pytest.raises(BankAccountInvalid):
        await add(uow, ada, payee)


@pytest.mark.usefixtures("partner")
async def test_an_account_without_an_iban_has_country_routing_and_number(uow: UnitOfWork) -> None:
    ada = await join(uow)
    payee = Payee(name="Ada", country="KE", routing="01-100", account_number="1234567890")
    row = await add(uow, ada, payee)
    assert (row.country, row.masked) == ("KE", "••••••7890")


@pytest.mark.usefixtures("partner")
async def test_the_same_account_twice_is_refused_however_it_is_spelt(uow: UnitOfWork) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    await add(uow, ada)
    with pytest.raises(BankAccountExists):
        await add(uow, ada, Payee(name="Other", iban="de75512108001245126199"))
    await add(uow, bob)


@pytest.mark.usefixtures("partner")
async def test_adding_at_once_keeps_to_the_limits(uow: UnitOfWork) -> None:
    ada = await join(uow)
    payees = [Payee(name="Ada", iban=iban) for iban in OTHERS]
    answers = await asyncio.gather(
        *(add(uow, ada, payee) for payee in [*payees, ADA] * 2), return_exceptions=True
    )
    refused = (BankAccountExists, TooManyBankAccounts)
    made = [answer for answer in answers if not isinstance(answer, refused)]
    assert all(isinstance(answer, BankAccountRow) for answer in made), answers
    live = await uow.read(lambda tx: accounts.own_accounts(tx, ada))
    assert len(made) == len(live) <= accounts.ACCOUNTS_MAX
    assert len({row.number_index for row in live}) == len(live)


@pytest.mark.usefixtures("partner")
async def test_adding_and_removing_orders_only_so_many_payments_a_day(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    ada = await join(uow)
    for _ in range(accounts.VERIFICATIONS_A_DAY):
        row = await add(uow, ada)
        await uow.run(lambda tx, row=row: accounts.remove_account(tx, ada, row.id))  # type: ignore[misc]
    with pytest.raises(TooManyBankAccounts):
        await add(uow, ada)
    clock.advance(timedelta(days=1, seconds=1))
    await add(uow, ada)


@pytest.mark.usefixtures("partner")
async def test_another_persons_account_is_not_found(uow: UnitOfWork) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    row = await add(uow, ada)
    code = await code_of(uow, row.id)
    with pytest.raises(NotFound):
        await enter(uow, bob, row.id, code)
    with pytest.raises(NotFound):
        await uow.run(lambda tx: accounts.remove_account(tx, bob, row.id))
    await enter(uow, ada, row.id, code)
    with pytest.raises(NotFound):
        await uow.read(lambda tx: payable_account(tx, 1, bob.user_id, row.id))
    await uow.run(lambda tx: accounts.remove_account(tx, ada, row.id))
    with pytest.raises(NotFound):
        await uow.read(lambda tx: payable_account(tx, 1, ada.user_id, row.id))
    assert await uow.read(lambda tx: accounts.own_accounts(tx, ada)) == []


async def test_without_an_active_bank_nothing_is_added_and_nothing_payable(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada = await join(uow)
    with pytest.raises(BankUnavailable):
        await add(uow, ada, currency="USD")
    row = await add(uow, ada)
    await enter(uow, ada, row.id, await code_of(uow, row.id))
    await uow.run(lambda tx: set_active(tx, 1, partner.bank.id, active=False))
    with pytest.raises(BankUnavailable):
        await uow.read(lambda tx: payable_account(tx, 1, ada.user_id, row.id))
