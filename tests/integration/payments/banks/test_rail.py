"""Payments out through a bank that is a process of its own: each once, whatever goes wrong."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from server.kit.auth import Caller
from server.ledger import AccountKind
from server.payments.banks import accounts
from server.payments.banks.models import BankAccountRow
from server.payments.banks.orders import OrderState, settle_order
from server.payments.banks.partners import rotate_secret, set_active
from server.payments.banks.payees import Payee
from server.payments.payouts import PayoutAnswer, PayoutOrder, PayoutStatus, RailUnavailable
from tests.integration.payments.banks.conftest import Town
from tests.integration.payments.banks.partner import VAULT, shown
from tests.integration.payments.people import join

ORDER = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


async def account(town: Town, caller: Caller) -> UUID:
    payee = Payee(name="Ada", iban="DE75512108001245126199")
    row = await town.uow.run(lambda tx: accounts.add_account(tx, VAULT, caller, payee, "EUR"))
    return row.id


async def order(town: Town, currency: str = "EUR") -> PayoutOrder:
    ada = await join(town.uow)
    destination = f"{await account(town, ada)}/{town.partner.bank.id}"
    return PayoutOrder(ORDER, 4_200, currency, destination, "Tallystick 8057")


def amounts(town: Town) -> list[int]:
    """Return the orders that the bank knows."""
    return [json.loads(row["body"])["amount"] for row in town.process.control("GET", "payouts")]


async def test_an_order_is_paid_once_however_often_it_is_sent(town: Town) -> None:
    one = await order(town)
    assert await town.rail.find(one) is None
    answers = [await town.rail.send(one) for _ in range(3)]
    assert answers == [PayoutAnswer(PayoutStatus.PAID, "B000000000001")] * 3
    assert await town.rail.find(one) == answers[0]
    assert amounts(town) == [4_200]


async def test_a_refused_order_says_why_and_stays_refused(town: Town) -> None:
    one = await order(town)
    town.process.control("POST", "modes", {"next": ["refused"], "reason": "account_closed"})
    refused = PayoutAnswer(PayoutStatus.REFUSED, None, "account_closed")
    assert [await town.rail.send(one) for _ in range(2)] == [refused, refused]
    assert await town.rail.find(one) == refused


async def test_a_lost_answer_is_found_and_nothing_is_paid_twice(town: Town) -> None:
    one = await order(town)
    town.process.control("POST", "modes", {"next": ["lost_answer"]})
    with pytest.raises(RailUnavailable):
        await town.rail.send(one)
    found = await town.rail.find(one)
    assert found is not None
    assert found.status is PayoutStatus.PAID
    assert (await town.rail.send(one)).status is PayoutStatus.PAID
    assert amounts(town) == [4_200]


async def test_an_order_that_takes_time_is_accepted_first(town: Town) -> None:
    one = await order(town)
    town.process.control("POST", "modes", {"next": ["stuck"]})
    assert (await town.rail.send(one)).status is PayoutStatus.ACCEPTED
    town.process.control("POST", f"payouts/{ORDER}/settle", {"status": "paid"})
    found = await town.rail.find(one)
    assert found is not None
    assert found.status is PayoutStatus.PAID


async def test_a_bank_that_is_killed_remembers_what_it_took(town: Town) -> None:
    one = await order(town)
    town.process.control("POST", "modes", {"next": ["lost_answer"]})
    with pytest.raises(RailUnavailable):
        await town.rail.send(one)
    town.process.kill()
    with pytest.raises(RailUnavailable):
        await town.rail.find(one)
    town.process.start()
    found = await town.rail.find(one)
    assert found is not None
    assert found.status is PayoutStatus.PAID
    assert amounts(town) == [4_200]


async def test_a_bank_that_lost_its_memory_pays_what_it_never_saw(town: Town) -> None:
    one = await order(town)
    town.process.kill()
    with pytest.raises(RailUnavailable):
        await town.rail.send(one)
    town.process.start()
    assert await town.rail.find(one) is None
    assert (await town.rail.send(one)).status is PayoutStatus.PAID


async def test_a_secret_that_changes_keeps_orders_going(town: Town) -> None:
    one = await order(town)
    hour = timedelta(hours=1)
    bank = town.partner.bank.id
    # During the overlap we sign with the old one, which the bank surely has.
    await town.uow.run(lambda tx: rotate_secret(tx, VAULT, 1, bank, overlap=hour))
    assert (await town.rail.send(one)).status is PayoutStatus.PAID
    nothing = timedelta(0)
    new = await town.uow.run(lambda tx: rotate_secret(tx, VAULT, 1, bank, overlap=nothing))
    other = PayoutOrder(UUID(int=7), 1, "EUR", one.destination, "x")
    with pytest.raises(RailUnavailable, match="401"):
        await town.rail.send(other)
    town.process.configure(server="", bank_id=str(bank), secret=new)
    assert (await town.rail.send(other)).status is PayoutStatus.PAID


async def test_nothing_is_sent_to_a_suspended_bank(town: Town) -> None:
    one = await order(town)
    bank = town.partner.bank.id
    await town.uow.run(lambda tx: set_active(tx, 1, bank, active=False))
    assert (await town.rail.send(one)).status is PayoutStatus.ACCEPTED
    assert amounts(town) == []
    await town.uow.run(lambda tx: set_active(tx, 1, bank, active=True))
    assert (await town.rail.send(one)).status is PayoutStatus.PAID


async def test_an_account_takes_its_own_currency_only(town: Town) -> None:
    one = await order(town, currency="TRY")
    assert await town.rail.send(one) == PayoutAnswer(
        PayoutStatus.REFUSED, reason="account_currency"
    )
    assert amounts(town) == []


async def test_verification_payments_carry_the_code_and_cost_the_house_a_unit(
    town: Town,
) -> None:
    ada = await join(town.uow)
    row = await account(town, ada)
    assert await town.carrier.carry_due() == 1
    assert await town.carrier.carry_due() == 0
    [payment] = town.process.control("GET", "payouts")
    code = json.loads(payment["body"])["reference"][-6:]
    done = await town.uow.run(lambda tx: accounts.try_code(tx, VAULT, ada, row, code))
    assert isinstance(done, BankAccountRow)
    assert await shown(town.uow, AccountKind.HOUSE_OUTSIDE_FEES) == 100
    assert await town.partner.holds() == -100


async def test_what_contradicts_a_known_end_changes_nothing_and_is_listed(town: Town) -> None:
    one = await order(town)
    await town.rail.send(one)
    bank = town.partner.bank
    await town.uow.run(lambda tx: settle_order(tx, bank, ORDER, OrderState.REFUSED))
    found = await town.rail.find(one)
    assert found is not None
    assert found.status is PayoutStatus.PAID
    assert "order_contradicted" in await town.partner.breaks()
