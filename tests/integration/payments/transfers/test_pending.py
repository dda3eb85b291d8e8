"""Money for people who are not registered: claimed, cancelled or returned, once."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from sqlalchemy import select

from server.identity import ContactKind
from server.kit.errors import NotFound
from server.kit.messaging import Message, deliver_messages
from server.kit.outbox import OutboxRow
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, close_account, post_many
from server.payments.transfers.domain import PENDING_MAX
from server.payments.transfers.errors import TooManyPending, TransferDecided
from server.payments.transfers.models import PendingTransferRow, TransferRow
from server.payments.transfers.pending import settle_pending
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages
from tests.integration.payments.transfers.conftest import Town

NEW = "+905559990001"


async def settle(town: Town) -> int:
    return await settle_pending(town.uow, town.transfers.desk)


async def row_of(town: Town, identifier: object) -> TransferRow:
    return await town.uow.read(lambda tx: tx.session.get_one(TransferRow, (1, identifier)))


async def told(uow: UnitOfWork) -> list[str]:
    async def query(tx: Tx) -> list[str]:
        rows = await tx.session.scalars(select(OutboxRow.type).order_by(OutboxRow.place))
        return list(rows)

    return await uow.read(query)


async def sent(town: Town, messages: KeptMessages) -> list[Message]:
    while await deliver_messages(town.uow, messages, town.desk.vault):
        pass
    return messages.sent


async def test_money_to_an_unknown_number_waits_and_its_owner_is_told(
    town: Town, messages: KeptMessages
) -> None:
    ada = await town.join("ada", 1_000)
    view = await town.send(ada, "0555 999 00 01", 250, note="Welcome")
    assert (view.state, view.settled_at, view.counterpart.address) == ("pending", None, "+90•••01")
    assert view.counterpart.name is None
    assert (await town.has(ada), await town.waiting()) == (750, 250)
    (message,) = await sent(town, messages)
    assert (message.channel, message.to) == ("sms", NEW)
    assert "@ada sent you 2.50 EUR" in message.text
    assert "Welcome" not in message.text
    assert await told(town.uow) == ["transfer.pending"]


async def test_an_unknown_number_is_written_to_once_a_day(
    town: Town, messages: KeptMessages, clock: ManualClock
) -> None:
    ada, eve = await town.join("ada", 1_000), await town.join("eve", 1_000)
    for sender in (ada, ada, eve):
        await town.send(sender, NEW, 1)
    assert len(await sent(town, messages)) == 1
    clock.advance(timedelta(days=1, seconds=1))
    await town.send(eve, NEW, 1)
    assert len(await sent(town, messages)) == 2


async def test_one_sender_has_only_so_many_strangers_written_to(
    town: Town, messages: KeptMessages
) -> None:
    ada = await town.join("ada", 1_000)
    for at in range(25):
        view = await town.send(ada, f"+90555777{at:04d}", 1)
        await town.transfers.cancel(ada, view.id)
    assert len(await sent(town, messages)) == 20


@pytest.mark.parametrize("kind", [ContactKind.PHONE, ContactKind.EMAIL])
async def test_whoever_confirms_the_address_gets_the_money(town: Town, kind: ContactKind) -> None:
    ada = await town.join("ada", 1_000)
    to = NEW if kind is ContactKind.PHONE else "BOB@example.com"
    views = [await town.send(ada, to, 100), await town.send(ada, to, 50)]
    bob = await town.join("bob", phone=NEW, confirmed=())
    assert await settle(town) == 0
    assert await town.has(bob) == 0
    await town.confirm(bob, kind)
    assert await settle(town) == 2
    assert await settle(town) == 0
    assert (await town.has(bob), await town.waiting()) == (150, 0)
    row = await row_of(town, views[0].id)
    assert (row.state, row.receiver_id) == ("completed", bob.user_id)
    assert await told(town.uow) == ["transfer.pending"] * 2 + ["transfer.claimed"] * 2
    await town.check_books()


async def test_somebody_who_merely_claims_the_number_gets_nothing(town: Town) -> None:
    ada = await town.join("ada", 1_000)
    await town.send(ada, NEW, 100)
    eve = await town.join("eve", phone=NEW, confirmed=("email",))
    await town.confirm(eve, ContactKind.EMAIL)
    assert await settle(town) == 0
    assert await town.has(eve) == 0


async def test_a_confirmation_that_nobody_told_is_found_anyway(
    town: Town, clock: ManualClock
) -> None:
    """As when the transfer was sent in the very moment in which its recipient confirmed."""
    ada = await town.join("ada", 1_000)
    await town.send(ada, NEW, 100)
    bob = await town.join("bob", phone=NEW)
    assert await settle(town) == 0
    clock.advance(timedelta(seconds=6))
    assert await settle(town) == 1
    assert await town.has(bob) == 100


async def test_looks_become_rare_and_never_come_after_the_expiry(
    town: Town, clock: ManualClock
) -> None:
    ada = await town.join("ada", 1_000)
    await town.send(ada, NEW, 100)
    looks = 0
    for _ in range(14 * 24):
        await settle(town)
        clock.advance(timedelta(hours=1))
        rows = await town.uow.read(_pending)
        looks = max([looks, *(row.checks for row in rows)])
        assert all(row.check_at <= row.expires_at for row in rows)
    assert 10 < looks < 40
    await settle(town)
    assert await town.has(ada) == 1_000


async def _pending(tx: Tx) -> list[PendingTransferRow]:
    return list(await tx.session.scalars(select(PendingTransferRow)))


async def test_what_nobody_claims_comes_back_after_its_time(town: Town, clock: ManualClock) -> None:
    ada = await town.join("ada", 1_000)
    view = await town.send(ada, NEW, 100)
    clock.advance(timedelta(days=14) - timedelta(seconds=1))
    assert await settle(town) == 0
    clock.advance(timedelta(seconds=1))
    assert await settle(town) == 1
    assert (await town.has(ada), await town.waiting()) == (1_000, 0)
    assert (await row_of(town, view.id)).state == "returned"
    assert (await told(town.uow))[-1] == "transfer.returned"
    bob = await town.join("bob", phone=NEW, confirmed=())
    await town.confirm(bob)
    await settle(town)
    assert await town.has(bob) == 0


async def test_a_sender_takes_waiting_money_back_and_nobody_else_does(town: Town) -> None:
    ada, eve = await town.join("ada", 1_000), await town.join("eve")
    view = await town.send(ada, NEW, 100)
    with pytest.raises(NotFound):
        await town.transfers.cancel(eve, view.id)
    after = await town.transfers.cancel(ada, view.id)
    assert (after.state, await town.has(ada), await town.waiting()) == ("cancelled", 1_000, 0)
    assert await town.transfers.cancel(ada, view.id) == after
    assert await town.has(ada) == 1_000
    done = await town.send(ada, "eve", 100)
    with pytest.raises(TransferDecided):
        await town.transfers.cancel(ada, done.id)
    assert await town.has(eve) == 100
    await town.check_books()


@pytest.mark.parametrize("rivals", ["claim cancel", "expiry cancel", "claim expiry cancel"])
async def test_of_claim_cancel_and_expiry_exactly_one_happens(
    town: Town, clock: ManualClock, rivals: str
) -> None:
    ada = await town.join("ada", 10_000)
    decided: dict[str, int] = {}
    for turn in range(6):
        number = f"+90555888{turn:04d}"
        view = await town.send(ada, number, 100)
        bob = await town.join(f"bob_{turn}", phone=number, confirmed=())
        if "expiry" in rivals:
            clock.advance(timedelta(days=14))
        acts: list[Coroutine[Any, Any, object]] = [settle(town), settle(town)]
        if "claim" in rivals:
            acts.append(town.confirm(bob))
        acts += [town.transfers.cancel(ada, view.id) for _ in range(2)]
        acts += [settle(town)]
        answers = await asyncio.gather(*acts, return_exceptions=True)
        wrong = [one for one in answers if isinstance(one, BaseException)]
        assert {type(one) for one in wrong} <= {TransferDecided}
        await settle(town)
        row = await row_of(town, view.id)
        decided[row.state] = decided.get(row.state, 0) + 1
        assert await town.has(bob) == (100 if row.state == "completed" else 0)
    assert await town.waiting() == 0
    assert await town.has(ada) == 10_000 - 100 * decided.get("completed", 0)
    assert "pending" not in decided
    await town.check_books()


async def test_several_workers_claim_once(town: Town) -> None:
    ada = await town.join("ada", 10_000)
    for at in range(20):
        await town.send(ada, NEW, 100 + at)
    bob = await town.join("bob", phone=NEW, confirmed=())
    await town.confirm(bob)
    assert sum(await asyncio.gather(*(settle(town) for _ in range(4)))) == 20
    assert (await town.has(bob), await town.waiting()) == (sum(range(100, 120)), 0)


async def test_only_so_many_may_wait_at_a_time(town: Town) -> None:
    ada = await town.join("ada", 10_000)
    calls = [town.send(ada, f"+90555777{at:04d}", 1) for at in range(PENDING_MAX + 5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in answers if isinstance(one, TooManyPending)]
    assert len(refused) == 5
    assert await town.waiting() == PENDING_MAX


async def test_a_sender_who_confirms_the_number_gets_the_money_back(town: Town) -> None:
    ada = await town.join("ada", 1_000)
    view = await town.send(ada, "ada.other@example.com", 100)
    second = await town.join("ada.other", confirmed=("phone",))
    await town.confirm(second, ContactKind.EMAIL)
    await settle(town)
    assert await town.has(second) == 100
    assert (await row_of(town, view.id)).state == "completed"


async def test_money_that_cannot_be_claimed_goes_back_in_the_end(
    town: Town, clock: ManualClock
) -> None:
    ada = await town.join("ada", 1_000)
    bob = await town.join("bob", 1, phone=NEW, confirmed=())
    view = await town.send(ada, NEW, 100)
    await _empty_and_close(town, bob.user_id)
    await town.confirm(bob)
    assert await settle(town) == 0
    assert await town.waiting() == 100
    clock.advance(timedelta(days=14))
    assert await settle(town) == 1
    assert (await row_of(town, view.id)).state == "returned"
    assert await town.has(ada) == 1_000


async def _empty_and_close(town: Town, user_id: UUID) -> None:
    ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", user_id)
    house = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR", None)

    async def command(tx: Tx) -> None:
        entry = EntryRequest(
            id=uuid5(user_id, "empty"), kind="test.empty", debit=ref, credit=house, amount=1
        )
        await post_many(tx, [entry])
        await close_account(tx, ref)

    await town.uow.run(command)


async def test_staff_cannot_claim(town: Town, clock: ManualClock) -> None:
    ada = await town.join("ada", 1_000)
    await town.send(ada, NEW, 100)
    await town.join("boss", phone=NEW, role="support")
    clock.advance(timedelta(days=1))
    assert await settle(town) == 0
    clock.advance(timedelta(days=13))
    assert await settle(town) == 1
    assert await town.has(ada) == 1_000
