"""What limits count of transfers, and transfers that change their currency on the way."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from server.fx import Quote, QuoteRequest, make_quote
from server.fx.errors import QuoteExpired, QuoteMismatch, QuoteTaken, QuoteUnknown
from server.kit.auth import Caller
from server.kit.unit_of_work import Tx
from server.ledger import InsufficientFunds, trial_balance
from server.payments.limits import LimitExceeded
from server.payments.transfers import refunding
from server.payments.transfers.errors import RecipientUnknown
from server.payments.transfers.pending import settle_pending
from server.payments.transfers.schemas import RefundCreate, TransferCreate, TransferView
from tests.factories.rates import load_rates
from tests.fakes.clock import ManualClock
from tests.integration.payments.transfers.conftest import Town

DAY = 5_000_000
"""What the built-in limits let a new user send in a day, in euro cents."""


async def used(town: Town, caller: Caller) -> int:
    async def query(tx: Tx) -> int:
        rows = await tx.connection.execute(
            text("SELECT user_id, day_used FROM limit_used WHERE kind = 'transfer'")
        )
        return sum(
            count
            for user, count in rows
            if (UUID(bytes=user) if isinstance(user, bytes) else UUID(int=user.int))
            == caller.user_id
        )

    return await town.uow.read(query)


async def refund(town: Town, caller: Caller, view: TransferView, amount: int) -> None:
    town.keys += 1
    key = f"refund-{town.keys}"
    await town.uow.run(
        lambda tx: refunding.refund(
            tx, town.transfers.desk, caller, view.id, RefundCreate(amount=amount), key=key
        )
    )


async def test_a_day_has_a_limit_that_races_do_not_pass(town: Town) -> None:
    ada, bob = await town.join("ada", 10 * DAY), await town.join("bob")
    answers = await asyncio.gather(
        *(town.send(ada, "bob", DAY // 8) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, TransferView) for one in answers) == 8
    assert sum(isinstance(one, LimitExceeded) for one in answers) == 12
    assert await town.has(bob) == DAY
    assert await used(town, ada) == DAY


async def test_a_limit_that_was_passed_stays_so_under_its_key(
    town: Town, clock: ManualClock
) -> None:
    ada, _ = await town.join("ada", 10 * DAY), await town.join("bob")
    with pytest.raises(LimitExceeded) as first:
        await town.send(ada, "bob", DAY + 1, key="k")
    clock.advance(timedelta(days=2))
    with pytest.raises(LimitExceeded) as second:
        await town.send(ada, "bob", DAY + 1, key="k")
    assert second.value.problem("c") == first.value.problem("c")


async def test_what_the_ledger_refuses_does_not_count(town: Town) -> None:
    ada, _ = await town.join("ada", 100), await town.join("bob")
    answers = await asyncio.gather(
        *(town.send(ada, "bob", amount) for amount in (60, 60, 40, 1)), return_exceptions=True
    )
    assert [type(one) for one in answers] == [
        TransferView, InsufficientFunds, TransferView, InsufficientFunds,
    ]  # fmt: skip
    assert await used(town, ada) == 100


async def test_money_that_comes_back_counts_no_longer(town: Town, clock: ManualClock) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    waiting = await town.send(ada, "+905559990001", 100)
    await town.transfers.cancel(ada, waiting.id)
    assert await used(town, ada) == 0
    sent = await town.send(ada, "bob", 300)
    await refund(town, bob, sent, 120)
    assert await used(town, ada) == 180
    assert await used(town, bob) == 0
    await town.send(ada, "+905559990001", 100)
    clock.advance(timedelta(days=14))
    assert await settle_pending(town.uow, town.transfers.desk) == 1
    assert await town.has(ada) == 820


async def quote(
    town: Town, caller: Caller, payee: Caller | None, amount: int = 10_000, buy: str = "USD"
) -> Quote:
    wanted = QuoteRequest(
        user_id=caller.user_id,
        sell_currency="EUR",
        buy_currency=buy,
        sell_amount=amount,
        buy_amount=None,
        payee_id=payee.user_id if payee else None,
        payer_country=None,
        payee_country=None,
    )
    return await town.uow.run(lambda tx: make_quote(tx, 1, wanted, age_max_days=3))


async def send_quoted(
    town: Town, caller: Caller, to: str, taken: Quote, amount: int = 10_000
) -> TransferView:
    town.keys += 1
    data = TransferCreate(to=to, amount=amount, currency="EUR", quote_id=taken.id)
    return await town.transfers.send(caller, data, key=f"quoted-{town.keys}")


async def test_a_quote_changes_the_currency_on_the_way(town: Town) -> None:
    await load_rates(town.uow, USD="1.25")
    ada, bob = await town.join("ada", 20_000), await town.join("bob")
    taken = await quote(town, ada, bob)
    view = await send_quoted(town, ada, "bob", taken)
    assert (view.amount, view.currency) == (10_000, "EUR")
    assert (view.received_amount, view.received_currency) == (taken.buy_amount, "USD")
    assert (await town.has(ada), await town.has(bob, "USD")) == (10_000, taken.buy_amount)
    with pytest.raises(QuoteTaken):
        await send_quoted(town, ada, "bob", taken)
    await refund(town, bob, view, taken.buy_amount)
    assert (await town.has(bob, "USD"), await town.has(ada, "USD")) == (0, taken.buy_amount)
    assert await used(town, ada) == 0
    assert (await town.uow.read(lambda tx: trial_balance(tx, 1))).balanced


async def test_a_quote_is_for_one_payee_one_amount_and_a_short_time(
    town: Town, clock: ManualClock
) -> None:
    await load_rates(town.uow, USD="1.25")
    ada, bob = await town.join("ada", 50_000), await town.join("bob")
    eve = await town.join("eve", 50_000)
    mine = await quote(town, ada, bob)
    for caller, to, amount, error in (
        (ada, "eve", 10_000, QuoteMismatch),
        (eve, "bob", 10_000, QuoteUnknown),
        (ada, "bob", 9_999, QuoteMismatch),
    ):
        with pytest.raises(error):
            await send_quoted(town, caller, to, mine, amount)
    with pytest.raises(RecipientUnknown):
        await send_quoted(town, ada, "+905559990001", await quote(town, ada, bob))
    own = await quote(town, ada, None)
    with pytest.raises(QuoteMismatch):
        await send_quoted(town, ada, "bob", own)
    late = await quote(town, ada, bob)
    clock.advance(timedelta(seconds=31))
    with pytest.raises(QuoteExpired):
        await send_quoted(town, ada, "bob", late)
    assert (await town.has(ada), await town.has(bob, "USD")) == (50_000, 0)


async def test_a_quote_pays_once_among_plain_transfers(town: Town) -> None:
    await load_rates(town.uow, USD="1.25")
    ada, bob = await town.join("ada", 50_000), await town.join("bob")
    taken = await quote(town, ada, bob)
    answers = await asyncio.gather(
        *(send_quoted(town, ada, "bob", taken) for _ in range(6)),
        *(town.send(ada, "bob", 1) for _ in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, QuoteTaken) for one in answers) == 5
    assert sum(isinstance(one, TransferView) for one in answers) == 7
    assert await town.has(ada) == 50_000 - 10_000 - 6
    assert await town.has(bob, "USD") == taken.buy_amount


async def test_a_poor_payer_exchanges_nothing(town: Town) -> None:
    await load_rates(town.uow, USD="1.25")
    ada, bob = await town.join("ada", 9_999), await town.join("bob")
    taken = await quote(town, ada, bob)
    with pytest.raises(InsufficientFunds):
        await send_quoted(town, ada, "bob", taken)
    assert (await town.has(ada), await town.has(bob, "USD"), await used(town, ada)) == (9_999, 0, 0)
