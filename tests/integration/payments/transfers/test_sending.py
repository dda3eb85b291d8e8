"""Sending money: once for a key, all or nothing, and every answer its own."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from server.identity import ContactKind
from server.kit.errors import IdempotencyConflict, TallyError
from server.kit.idempotency import IdempotencyRow
from server.kit.money import UnknownCurrency
from server.kit.outbox import OutboxRow
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import (
    AccountClosed,
    AccountKind,
    AccountRef,
    InsufficientFunds,
    close_account,
    verify_ledger,
)
from server.payments.errors import PhoneUnconfirmed
from server.payments.transfers.errors import (
    NoteInvalid,
    PayCodeInvalid,
    RecipientUnknown,
    SelfTransfer,
)
from server.payments.transfers.models import TransferRow
from server.payments.transfers.pay_codes import request_code, user_code
from server.payments.transfers.schemas import TransferView
from server.payments.transfers.views import own_transfer
from tests.integration.payments.transfers.conftest import Town


async def count(uow: UnitOfWork, row: type) -> int:
    async def query(tx: Tx) -> int:
        return await tx.session.scalar(select(func.count()).select_from(row)) or 0

    return await uow.read(query)


@pytest.mark.parametrize(
    ("to", "shown"),
    [
        ("bob", "Bob Example"),
        ("@bob", "Bob Example"),
        ("BOB", "Bob Example"),
        ("+905321230002", "B••• E•••"),
        ("0532 123 00 02", "B••• E•••"),
        ("Bob@Example.com", "B••• E•••"),
    ],
)
async def test_money_goes_to_whoever_is_meant(town: Town, to: str, shown: str) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    view = await town.send(ada, to, 250, note="For lunch")
    assert (view.state, view.direction, view.amount, view.note) == (
        "completed", "sent", 250, "For lunch",
    )  # fmt: skip
    assert view.counterpart.name == shown
    assert (view.counterpart.user_id is None) == ("•" in shown)
    assert (await town.has(ada), await town.has(bob)) == (750, 250)
    seen = await town.uow.read(
        lambda tx: own_transfer(tx, town.transfers.desk, bob.user_id, view.id)
    )
    assert (seen.direction, seen.note, seen.counterpart.username) == (
        "received",
        "For lunch",
        "ada",
    )
    again = await town.uow.read(
        lambda tx: own_transfer(tx, town.transfers.desk, ada.user_id, view.id)
    )
    assert again == view
    assert await count(town.uow, OutboxRow) == 1


async def test_an_id_and_a_code_name_somebody_too(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    await town.send(ada, str(bob.user_id), 100)
    code = user_code(town.desk.vault, bob.user_id)
    await town.send(ada, code, 100)
    await town.send(ada, f" {code.lower()} ", 100)
    assert await town.has(bob) == 300


async def test_nobody_is_paid_by_a_damaged_code_or_one_of_a_request(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    code = user_code(town.desk.vault, bob.user_id)
    for at in range(8, len(code)):
        other = "A" if code[at] != "A" else "B"
        with pytest.raises(PayCodeInvalid):
            await town.send(ada, code[:at] + other + code[at + 1 :], 100)
    for bad in (code[:-1], code + "A", "TALLY:", code.replace(":U:", ":R:"), "tally:u:" + "é" * 36):
        with pytest.raises(PayCodeInvalid):
            await town.send(ada, bad, 100)
    with pytest.raises(PayCodeInvalid, match="request"):
        await town.send(ada, request_code(town.desk.vault, bob.user_id), 100)


@pytest.mark.parametrize("to", ["nobody_here", "x", "+1", "a@", str(UUID(int=7)), "%", "boss"])
async def test_an_unknown_recipient_and_one_who_cannot_be_paid_look_the_same(
    town: Town, to: str
) -> None:
    ada = await town.join("ada", 1_000)
    await town.join("boss", role="support")
    with pytest.raises(RecipientUnknown) as refused:
        await town.send(ada, to, 100)
    assert refused.value.detail == "Nobody of this name can receive money."
    assert await town.has(ada) == 1_000
    assert await count(town.uow, TransferRow) == 0
    assert await count(town.uow, OutboxRow) == 0


async def test_an_account_that_may_yet_be_deleted_as_unconfirmed_gets_no_money(
    town: Town,
) -> None:
    ada, new = await town.join("ada", 1_000), await town.join("new", confirmed=())
    for to in ("new", str(new.user_id), user_code(town.desk.vault, new.user_id)):
        with pytest.raises(RecipientUnknown):
            await town.send(ada, to, 100)
    await town.confirm(new, ContactKind.EMAIL)
    assert (await town.send(ada, "new", 100)).state == "completed"


async def test_what_cannot_be_sent_is_refused_and_moves_nothing(town: Town) -> None:
    ada, _ = await town.join("ada", 1_000), await town.join("bob")
    eve = await town.join("eve", 1_000, confirmed=("email",))
    for to, amount, error in (
        ("ada", 100, SelfTransfer),
        (str(ada.user_id), 100, SelfTransfer),
        ("ada@example.com", 100, SelfTransfer),
        ("bob", 1_001, InsufficientFunds),
    ):
        with pytest.raises(error):
            await town.send(ada, to, amount)
    with pytest.raises(PhoneUnconfirmed):
        await town.send(eve, "bob", 100)
    with pytest.raises(UnknownCurrency):
        await town.send(ada, "bob", 100, currency="XXX")
    assert (await town.has(ada), await town.has(eve)) == (1_000, 1_000)
    await town.check_books()


@pytest.mark.parametrize("note", ["x" * 141, "two\nlines", "\x00", "a\u202eb", "\ud83c", "tab\t"])
async def test_notes_that_cannot_be_read_are_refused(town: Town, note: str) -> None:
    ada, _ = await town.join("ada", 1_000), await town.join("bob")
    with pytest.raises(NoteInvalid):
        await town.send(ada, "bob", 100, note=note)


@pytest.mark.parametrize("note", ["öğle yemeği 🍲", "نان برای خانه‌ات", "दोपहर का खाना", "👩‍🍳"])
async def test_notes_in_any_script_come_back_and_lie_sealed(town: Town, note: str) -> None:
    ada, _ = await town.join("ada", 1_000), await town.join("bob")
    view = await town.send(ada, "bob", 100, note=note)
    assert view.note == note
    row = await town.uow.read(lambda tx: tx.session.get_one(TransferRow, (1, view.id)))
    assert row.note_sealed is not None
    assert note.encode() not in row.note_sealed


async def test_a_key_sends_once_whatever_is_shown_by_then(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    first = await town.send(ada, "bob", 250, key="k", note="n")
    for _ in range(3):
        assert await town.send(ada, "bob", 250, key="k", note="n") == first
    same: dict[str, Any] = {"to": "bob", "amount": 250, "key": "k", "note": "n"}
    for changed in ({"amount": 251}, {"note": "m"}, {"to": "@bob"}):
        with pytest.raises(IdempotencyConflict):
            await town.send(ada, **(same | changed))
    assert (await town.has(ada), await town.has(bob)) == (750, 250)
    assert (await town.send(bob, "ada", 250, key="k")).id != first.id


async def test_a_no_stays_a_no_under_its_key(town: Town) -> None:
    ada, bob = await town.join("ada", 100), await town.join("bob")
    for _ in range(2):
        with pytest.raises(InsufficientFunds) as refused:
            await town.send(ada, "bob", 250, key="k")
        assert refused.value.problem("c")["code"] == "insufficient_funds"
    await town.fund(ada, 1_000)
    with pytest.raises(InsufficientFunds):
        await town.send(ada, "bob", 250, key="k")
    with pytest.raises(IdempotencyConflict):
        await town.send(ada, "bob", 50, key="k")
    assert (await town.send(ada, "bob", 250, key="k2")).state == "completed"
    assert await town.has(bob) == 250


async def test_double_submits_at_the_same_time_send_once(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    same = [town.send(ada, "bob", 100, key="k") for _ in range(30)]
    other = [town.send(ada, "bob", 101, key="k") for _ in range(5)]
    answers = await asyncio.gather(*same, *other, return_exceptions=True)
    views = [answer for answer in answers if isinstance(answer, TransferView)]
    assert len({view.id for view in views}) == 1
    assert {type(one) for one in answers} <= {TransferView, IdempotencyConflict}
    assert len(views) in {5, 30}
    assert await town.has(bob) == views[0].amount
    assert await count(town.uow, TransferRow) == 1


async def test_double_submits_of_a_refusal_all_get_it(town: Town) -> None:
    ada, _ = await town.join("ada", 10), await town.join("bob")
    answers = await asyncio.gather(
        *(town.send(ada, "bob", 100, key="k") for _ in range(10)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {InsufficientFunds}
    assert await count(town.uow, IdempotencyRow) == 1


async def test_neighbours_in_a_batch_do_not_fail_each_other(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    poor = await town.join("poor", 5)
    calls = []
    for at in range(60):
        calls += [
            town.send(ada, "bob", 1, key=f"good-{at}"),
            town.send(poor, "bob", 6, key=f"poor-{at}"),
            town.send(ada, "nobody_here", 1, key=f"unknown-{at}"),
            town.send(ada, "ada", 1, key=f"self-{at}"),
        ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    kinds = [type(answer) for answer in answers]
    assert kinds == [TransferView, InsufficientFunds, RecipientUnknown, SelfTransfer] * 60
    assert (await town.has(ada), await town.has(bob), await town.has(poor)) == (940, 60, 5)


async def test_sixty_four_clients_drain_one_account_to_zero_and_no_further(town: Town) -> None:
    ada = await town.join("ada", 1_000)
    people = [await town.join(f"person_{at}") for at in range(8)]
    calls = [
        town.send(ada, f"person_{client % 8}", 7, key=f"{client}/{turn}")
        for client in range(64)
        for turn in range(5)
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    sent = [answer for answer in answers if isinstance(answer, TransferView)]
    assert len(sent) == 1_000 // 7
    assert {type(answer) for answer in answers} == {TransferView, InsufficientFunds}
    assert await town.has(ada) == 1_000 - 7 * len(sent)
    assert sum([await town.has(one) for one in people]) == 7 * len(sent)
    await town.check_books()
    assert (await town.uow.read(verify_ledger)).sound


async def test_transfers_that_cross_neither_deadlock_nor_lose_a_unit(
    town: Town, uow: UnitOfWork
) -> None:
    """Two services stand for two processes: their batches meet in the database only."""
    ada, bob = await town.join("ada", 5_000), await town.join("bob", 5_000)
    other = Town(uow, type(town.transfers)(
        uow, vault=town.desk.vault, settings=town.desk.settings
    ), town.desk)  # fmt: skip
    chance = random.Random(7)
    calls = []
    for at in range(150):
        service = chance.choice([town, other])
        sender, to = (ada, "bob") if chance.random() < 0.5 else (bob, "ada")
        calls.append(service.send(sender, to, chance.randint(1, 200), key=f"cross-{at}"))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {TransferView, InsufficientFunds}
    assert await town.has(ada) + await town.has(bob) == 10_000
    flow = sum(
        one.amount if one.counterpart.username == "bob" else -one.amount
        for one in answers
        if isinstance(one, TransferView)
    )
    assert await town.has(bob) == 5_000 + flow


async def test_one_key_at_two_processes_sends_once(town: Town, uow: UnitOfWork) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    services = [
        Town(uow, type(town.transfers)(uow, vault=town.desk.vault, settings=town.desk.settings),
             town.desk)
        for _ in range(4)
    ]  # fmt: skip
    for turn in range(5):
        views = await asyncio.gather(
            *(service.send(ada, "bob", 10, key=f"k-{turn}") for service in services)
        )
        assert len({view.id for view in views}) == 1
    assert await town.has(bob) == 50


async def test_a_closed_account_receives_nothing(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob", 1)
    await town.send(bob, "ada", 1)
    ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", bob.user_id)
    await town.uow.run(lambda tx: close_account(tx, ref))
    with pytest.raises(AccountClosed):
        await town.send(ada, "bob", 100)
    assert await town.has(ada) == 1_001


async def test_other_peoples_transfers_are_not_there(town: Town) -> None:
    ada, _ = await town.join("ada", 1_000), await town.join("bob")
    eve = await town.join("eve")
    view = await town.send(ada, "bob", 100)
    with pytest.raises(TallyError) as refused:
        await town.uow.read(lambda tx: own_transfer(tx, town.transfers.desk, eve.user_id, view.id))
    assert refused.value.code == "not_found"
