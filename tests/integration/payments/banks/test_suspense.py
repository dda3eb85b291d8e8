"""Money without an owner: officers decide, once, with reasons, and with four eyes where wanted."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from server.kit.auth import Caller
from server.kit.errors import Forbidden, NotFound
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind
from server.payments.banks.desk import OPERATOR, close_break, open_breaks
from server.payments.banks.errors import BankAccountInvalid, DepositDecided, PayerUnknown
from server.payments.banks.models import BankDeedRow, BankDepositRow, BankOrderRow
from server.payments.banks.orders import OrderState, settle_order
from server.payments.banks.suspense import Decision, decide, in_suspense
from tests.integration.payments.banks.partner import (
    PAYER,
    VAULT,
    Partner,
    assert_balanced,
    shown,
)
from tests.integration.payments.people import available, join

BACK = Decision("return", "the payer asks for it")


async def lost(uow: UnitOfWork, partner: Partner, **changes: Any) -> UUID:
    """Let money come in that names nobody; return our id of it."""
    document = partner.deposit("to whom it may concern", **changes)
    assert await partner.tell(document) == ("suspense", False)
    rows = await uow.read(lambda tx: in_suspense(tx, 1))
    return next(row.id for row in rows if row.transaction_id == document["transaction_id"])


async def say(
    uow: UnitOfWork, officer: Caller, deposit: UUID, decision: Decision, *, four: bool = False
) -> BankDepositRow:
    return await uow.run(lambda tx: decide(tx, VAULT, officer, deposit, decision, four_eyes=four))


def to(caller: Caller) -> Decision:
    return Decision("assign", "the bank named them", caller.user_id)


async def deeds(uow: UnitOfWork, deposit: UUID) -> list[str]:
    query = select(BankDeedRow.action).where(BankDeedRow.subject == f"deposit/{deposit}")
    return list(await uow.read(lambda tx: tx.session.scalars(query.order_by(BankDeedRow.id))))


async def return_order(uow: UnitOfWork, deposit: UUID) -> BankOrderRow:
    query = select(BankOrderRow).where(BankOrderRow.subject == deposit)
    rows = list(await uow.read(lambda tx: tx.session.scalars(query)))
    return rows[-1]


async def test_assigned_money_is_the_users_once(uow: UnitOfWork, partner: Partner) -> None:
    ada, officer = await join(uow), await join(uow, "officer")
    deposit = await lost(uow, partner)
    assert (await say(uow, officer, deposit, to(ada))).state == "credited"
    with pytest.raises(DepositDecided):
        await say(uow, officer, deposit, to(ada))
    assert await available(uow, ada) == 2_500
    assert await shown(uow, AccountKind.HOUSE_SUSPENSE) == 0
    assert await deeds(uow, deposit) == ["deposit_assign"]
    assert await uow.read(lambda tx: in_suspense(tx, 1)) == []
    await assert_balanced(uow)


async def test_nobody_gives_money_to_themselves(uow: UnitOfWork, partner: Partner) -> None:
    officer = await join(uow, "officer")
    deposit = await lost(uow, partner)
    with pytest.raises(Forbidden):
        await say(uow, officer, deposit, to(officer))
    assert await available(uow, officer) == 0


async def test_two_officers_at_once_decide_once(uow: UnitOfWork, partner: Partner) -> None:
    ada, bob, officer = [await join(uow, name) for name in ("ada", "bob", "officer")]
    deposit = await lost(uow, partner, payer=PAYER)
    answers = await asyncio.gather(
        say(uow, officer, deposit, to(ada)),
        say(uow, officer, deposit, to(bob)),
        say(uow, officer, deposit, BACK),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, DepositDecided) for answer in answers) == 2
    await assert_balanced(uow)


async def test_four_eyes_need_a_second_officer_who_decides_the_same(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada, bob = await join(uow), await join(uow, "bob")
    first, second = await join(uow, "first"), await join(uow, "second")
    deposit = await lost(uow, partner)
    for officer, decision in ((first, to(ada)), (first, to(ada)), (second, to(bob))):
        row = await say(uow, officer, deposit, decision, four=True)
        assert row.state == "suspense"
    assert await available(uow, ada) == await available(uow, bob) == 0
    assert (await say(uow, first, deposit, to(bob), four=True)).state == "credited"
    assert await available(uow, bob) == 2_500
    assert await deeds(uow, deposit) == ["deposit_proposed", "deposit_proposed", "deposit_assign"]


async def test_returned_money_is_held_until_the_bank_has_paid_it_back(
    uow: UnitOfWork, partner: Partner
) -> None:
    officer = await join(uow, "officer")
    deposit = await lost(uow, partner, payer=PAYER)
    assert (await say(uow, officer, deposit, BACK)).state == "returning"
    assert await partner.holds() == 2_500
    order = await return_order(uow, deposit)
    for _ in range(2):
        await uow.run(
            lambda tx: settle_order(tx, partner.bank, order.id, OrderState.PAID, external_id="OUT1")
        )
    assert await partner.holds() == await shown(uow, AccountKind.HOUSE_SUSPENSE) == 0
    await assert_balanced(uow)


async def test_a_return_that_the_bank_refuses_is_for_officers_again(
    uow: UnitOfWork, partner: Partner
) -> None:
    ada, officer = await join(uow), await join(uow, "officer")
    deposit = await lost(uow, partner, payer=PAYER)
    for number in (1, 2):
        await say(uow, officer, deposit, BACK)
        order = await return_order(uow, deposit)
        state = OrderState.REFUSED if number == 1 else OrderState.RETURNED
        await uow.run(
            lambda tx, state=state, order=order: settle_order(  # type: ignore[misc]
                tx, partner.bank, order.id, state, external_id="BACK1"
            )
        )
        [row] = await uow.read(lambda tx: in_suspense(tx, 1))
        assert row.cause == "return_failed"
    await say(uow, officer, deposit, to(ada))
    assert await available(uow, ada) == await partner.holds() == 2_500
    await assert_balanced(uow)


async def test_what_cannot_be_returned_stays(uow: UnitOfWork, partner: Partner) -> None:
    officer = await join(uow, "officer")
    nobody = await lost(uow, partner)
    with pytest.raises(PayerUnknown):
        await say(uow, officer, nobody, BACK)
    wrong = await lost(uow, partner, payer={"name": "X", "iban": "DE00123"})
    with pytest.raises(BankAccountInvalid):
        await say(uow, officer, wrong, BACK)
    with pytest.raises(NotFound):
        await say(uow, officer, nobody, Decision("assign", "who?", UUID(int=4)))
    assert len(await uow.read(lambda tx: in_suspense(tx, 1))) == 2
    assert await shown(uow, AccountKind.HOUSE_SUSPENSE) == 5_000


async def test_only_what_the_bank_left_is_assigned(uow: UnitOfWork, partner: Partner) -> None:
    ada, officer = await join(uow), await join(uow, "officer")
    document = partner.deposit("nobody")
    await partner.tell(document)
    [row] = await uow.read(lambda tx: in_suspense(tx, 1))
    await partner.tell(partner.reversal(document["transaction_id"], 2_000))
    await say(uow, officer, row.id, to(ada))
    assert await available(uow, ada) == await partner.holds() == 500
    # What is taken back of the rest concerns the user now.
    await partner.tell(partner.reversal(document["transaction_id"], 500))
    assert await available(uow, ada) == 0


async def test_a_reversal_while_the_money_is_on_its_way_back_is_for_officers(
    uow: UnitOfWork, partner: Partner
) -> None:
    officer = await join(uow, "officer")
    document = partner.deposit("nobody", payer=PAYER)
    await partner.tell(document)
    [row] = await uow.read(lambda tx: in_suspense(tx, 1))
    await say(uow, officer, row.id, BACK)
    await partner.tell(partner.reversal(document["transaction_id"]))
    assert await partner.breaks() == ["reversal_while_returning"]
    assert await partner.holds() == 0
    await assert_balanced(uow)


async def test_a_break_is_closed_once_with_a_word_about_it(
    uow: UnitOfWork, partner: Partner
) -> None:
    document = partner.deposit("nobody", currency="USD")
    with pytest.raises(Exception, match="do not hold this currency"):
        await partner.tell(document)
    [row] = await uow.read(lambda tx: open_breaks(tx, 1))
    for note in ("agreed by phone", "something else"):
        closed = await uow.run(
            lambda tx, note=note: close_break(tx, 1, OPERATOR, row.id, note=note)  # type: ignore[misc]
        )
        assert (closed.state, closed.note) == ("closed", "agreed by phone")
    assert await partner.breaks() == []
