"""Requests for money: paid at most once, by whoever was asked."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from server.kit.auth import Caller
from server.kit.errors import IdempotencyConflict, InvalidRequest, NotFound, TooManyRequests
from server.ledger import InsufficientFunds
from server.payments.transfers import paying, request_views
from server.payments.transfers.errors import (
    PayCodeInvalid,
    RecipientUnknown,
    RequestAmount,
    RequestClosed,
    SelfTransfer,
)
from server.payments.transfers.pay_codes import user_code
from server.payments.transfers.schemas import (
    MoneyRequestCreate,
    MoneyRequestPayment,
    MoneyRequestView,
    TransferView,
)
from tests.fakes.clock import ManualClock
from tests.integration.payments.transfers.conftest import Town


async def ask(town: Town, caller: Caller, *, key: str | None = None, **data: Any) -> Any:
    town.keys += 1
    given: dict[str, Any] = {"currency": "EUR", "amount": 250}
    wish = MoneyRequestCreate(**given | data)
    return await town.transfers.ask(caller, wish, key=key or f"ask-{town.keys}")


async def pay(
    town: Town, caller: Caller, request: UUID, *, key: str | None = None, **data: Any
) -> TransferView:
    town.keys += 1
    key = key or f"pay-{town.keys}"
    payment = MoneyRequestPayment(**data)
    return await town.uow.run(
        lambda tx: paying.pay(tx, town.transfers.desk, caller, request, payment, key=key)
    )


async def close(town: Town, caller: Caller, request: UUID, role: Any) -> MoneyRequestView:
    return await town.uow.run(
        lambda tx: paying.close(tx, town.transfers.desk, caller, request, role=role)
    )


async def show(town: Town, caller: Caller, request: UUID) -> MoneyRequestView:
    return await town.uow.read(
        lambda tx: request_views.show(tx, town.transfers.desk, caller.user_id, request)
    )


async def test_a_request_to_somebody_is_paid_by_that_person(town: Town) -> None:
    ada, bob, eve = await town.join("ada"), await town.join("bob", 1_000), await town.join("eve", 9)
    made = await ask(town, ada, to="bob", note="Rent")
    assert (made.state, made.role, made.payer.username) == ("open", "requester", "bob")
    seen = await show(town, bob, made.id)
    assert (seen.role, seen.note, seen.requester.username) == ("payer", "Rent", "ada")
    for act in (show(town, eve, made.id), pay(town, eve, made.id)):
        with pytest.raises(NotFound):
            await act
    paid = await pay(town, bob, made.id, note="Here")
    assert (paid.amount, paid.request_id, paid.note) == (250, made.id, "Here")
    assert (await town.has(ada), await town.has(bob)) == (250, 750)
    after = await show(town, ada, made.id)
    assert (after.state, after.transfer_id) == ("paid", paid.id)
    with pytest.raises(RequestClosed):
        await pay(town, bob, made.id)


async def test_an_open_request_is_found_by_its_code_and_paid_by_anybody_once(town: Town) -> None:
    ada = await town.join("ada")
    people = [await town.join(f"person_{at}", 1_000) for at in range(6)]
    made = await ask(town, ada)
    assert made.payer is None
    found = request_views.scanned(town.transfers.desk, made.pay_code.lower())
    assert found == made.id
    with pytest.raises(PayCodeInvalid, match="person"):
        request_views.scanned(town.transfers.desk, user_code(town.desk.vault, ada.user_id))
    answers = await asyncio.gather(
        *(pay(town, person, found) for person in people for _ in range(3)), return_exceptions=True
    )
    paid = [one for one in answers if isinstance(one, TransferView)]
    assert len(paid) == 1
    assert {type(one) for one in answers} == {TransferView, RequestClosed}
    assert await town.has(ada) == 250
    assert sum([await town.has(person) for person in people]) == 6_000 - 250
    [payer] = [person for person in people if await town.has(person) == 750]
    stranger = next(person for person in people if person is not payer)
    told = await show(town, stranger, made.id)
    assert (told.state, told.payer, told.transfer_id) == ("paid", None, None)
    assert (await show(town, payer, made.id)).transfer_id == paid[0].id


async def test_the_amount_is_the_requests_or_the_payers_choice(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 1_000)
    fixed, free = await ask(town, ada), await ask(town, ada, amount=None)
    for request, amount in ((fixed.id, 251), (free.id, None)):
        with pytest.raises(RequestAmount):
            await pay(town, bob, request, amount=amount)
    assert (await pay(town, bob, fixed.id, amount=250)).amount == 250
    assert (await pay(town, bob, free.id, amount=7)).amount == 7


async def test_a_payment_is_done_once_for_its_key(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 1_000)
    made = await ask(town, ada)
    same = await asyncio.gather(*(pay(town, bob, made.id, key="k") for _ in range(5)))
    assert len({view.id for view in same}) == 1
    with pytest.raises(IdempotencyConflict):
        await pay(town, bob, made.id, key="k", amount=250)
    assert await town.has(bob) == 750
    again = await asyncio.gather(*(ask(town, ada, key="once") for _ in range(5)))
    assert len({view.id for view in again}) == 1


async def test_a_payment_that_fails_leaves_the_request_open(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 100)
    made = await ask(town, ada, to="bob")
    with pytest.raises(InsufficientFunds):
        await pay(town, bob, made.id, key="k")
    assert (await show(town, bob, made.id)).state == "open"
    await town.fund(bob, 1_000)
    await pay(town, bob, made.id, key="k")
    assert await town.has(ada) == 250


async def test_requests_are_declined_and_cancelled_by_the_right_side_only(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 1_000)
    first, second = await ask(town, ada, to="bob"), await ask(town, ada, to="bob")
    for caller, request, role in ((bob, first, "requester"), (ada, second, "payer")):
        with pytest.raises(NotFound):
            await close(town, caller, request.id, role)
    assert (await close(town, bob, first.id, "payer")).state == "declined"
    assert (await close(town, bob, first.id, "payer")).state == "declined"
    assert (await close(town, ada, second.id, "requester")).state == "cancelled"
    with pytest.raises(RequestClosed):
        await close(town, ada, first.id, "requester")
    for request in (first, second):
        with pytest.raises(RequestClosed):
            await pay(town, bob, request.id)
    unnamed = await ask(town, ada)
    with pytest.raises(NotFound):
        await close(town, bob, unnamed.id, "payer")


async def test_pay_decline_and_cancel_at_once_end_in_one_way(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 10_000)
    paid = 0
    for _ in range(6):
        made = await ask(town, ada, to="bob", amount=100)
        answers = await asyncio.gather(
            close(town, ada, made.id, "requester"),
            pay(town, bob, made.id),
            close(town, bob, made.id, "payer"),
            pay(town, bob, made.id),
            return_exceptions=True,
        )
        wrong = [one for one in answers if isinstance(one, BaseException)]
        assert len(wrong) == 3
        assert {type(one) for one in wrong} == {RequestClosed}
        paid += (await show(town, ada, made.id)).state == "paid"
    assert await town.has(ada) == 100 * paid


async def test_a_request_expires_for_everybody_at_its_moment(
    town: Town, clock: ManualClock
) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 1_000)
    made = await ask(town, ada, to="bob", expires_at=clock.now() + timedelta(hours=1))
    clock.advance(timedelta(hours=1))
    with pytest.raises(RequestClosed):
        await pay(town, bob, made.id)
    assert (await show(town, bob, made.id)).state == "expired"
    assert await paying.expire_requests(town.uow, town.transfers.desk) == 1
    assert await paying.expire_requests(town.uow, town.transfers.desk) == 0
    assert (await show(town, bob, made.id)).state == "expired"


async def test_what_makes_no_sense_is_not_asked_for(town: Town, clock: ManualClock) -> None:
    ada = await town.join("ada")
    for to, error in (("nobody_here", RecipientUnknown), ("+905559998877", RecipientUnknown),
                      ("ada", SelfTransfer)):  # fmt: skip
        with pytest.raises(error):
            await ask(town, ada, to=to)
    for wrong in (
        clock.now(),
        clock.now() + timedelta(days=366),
        (clock.now() + timedelta(days=1)).replace(tzinfo=None),
    ):
        with pytest.raises(InvalidRequest):
            await ask(town, ada, expires_at=wrong)
    own = await ask(town, ada)
    with pytest.raises(SelfTransfer):
        await pay(town, ada, own.id)


async def test_asking_does_not_tell_strangers_whose_number_it_is(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob", 1_000)
    made = await ask(town, ada, to="+905321230002")
    assert made.payer.username is None
    assert made.payer.name == "B••• E•••"
    await pay(town, bob, made.id)
    assert (await show(town, ada, made.id)).payer == made.payer


async def test_looking_numbers_up_by_asking_is_counted(town: Town) -> None:
    ada = await town.join("ada")
    seen: list[type[Exception]] = []
    for at in range(70):
        try:
            await ask(town, ada, to=f"+90555777{at:04d}")
        except (RecipientUnknown, TooManyRequests) as refusal:
            seen.append(type(refusal))
    assert seen == [RecipientUnknown] * 60 + [TooManyRequests] * 10


async def test_lists_go_page_by_page_and_show_ones_own_side(town: Town) -> None:
    ada, bob = await town.join("ada"), await town.join("bob")
    made = [await ask(town, ada, to="bob", amount=at + 1) for at in range(5)]
    await ask(town, bob, to="ada")

    async def listed(caller: Caller, role: request_views.Role) -> list[UUID]:
        found: list[UUID] = []
        cursor: str | None = None
        while True:
            page = await town.uow.read(
                lambda tx, at=cursor: request_views.page(  # type: ignore[misc]
                    tx, town.transfers.desk, caller.user_id, role=role, cursor=at, limit=2
                )
            )
            found += [item.id for item in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    newest_first = [view.id for view in reversed(made)]
    assert await listed(bob, "payer") == newest_first
    assert await listed(ada, "requester") == newest_first
    assert len(await listed(ada, "payer")) == 1
