"""Refunds: by the receiver, in pieces, never more than came."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from server.kit.auth import Caller
from server.kit.errors import IdempotencyConflict, NotFound
from server.ledger import InsufficientFunds
from server.payments.transfers import refunding
from server.payments.transfers.errors import RefundRefused
from server.payments.transfers.schemas import RefundCreate, TransferView
from server.payments.transfers.views import own_transfer
from tests.integration.payments.transfers.conftest import Town


async def refund(
    town: Town, caller: Caller, transfer: UUID, amount: int, *, key: str | None = None, **data: Any
) -> TransferView:
    town.keys += 1
    wish, key = RefundCreate(amount=amount, **data), key or f"refund-{town.keys}"
    return await town.uow.run(
        lambda tx: refunding.refund(tx, town.transfers.desk, caller, transfer, wish, key=key)
    )


async def left(town: Town, caller: Caller, transfer: UUID) -> int:
    view = await town.uow.read(
        lambda tx: own_transfer(tx, town.transfers.desk, caller.user_id, transfer)
    )
    return view.received_amount - view.refunded


async def test_the_receiver_gives_back_in_pieces_and_no_more_than_came(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob", 1_000)
    sent = await town.send(ada, "bob", 300)
    first = await refund(town, bob, sent.id, 100, note="Sorry")
    assert (first.direction, first.amount, first.refund_of, first.note) == (
        "sent", 100, sent.id, "Sorry",
    )  # fmt: skip
    await refund(town, bob, sent.id, 150)
    with pytest.raises(RefundRefused) as refused:
        await refund(town, bob, sent.id, 51)
    assert refused.value.members["left"] == 50
    await refund(town, bob, sent.id, 50)
    assert await left(town, ada, sent.id) == 0
    assert (await town.has(ada), await town.has(bob)) == (1_000, 1_000)
    with pytest.raises(RefundRefused):
        await refund(town, bob, sent.id, 1)
    await town.check_books()


async def test_nobody_but_the_receiver_refunds(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob", 1_000)
    eve = await town.join("eve", 1_000)
    sent = await town.send(ada, "bob", 300)
    waiting = await town.send(ada, "+905559990001", 300)
    for caller, transfer in ((ada, sent.id), (eve, sent.id), (bob, waiting.id), (eve, waiting.id)):
        with pytest.raises(NotFound):
            await refund(town, caller, transfer, 1)
    with pytest.raises(NotFound):
        await refund(town, bob, UUID(int=1), 1)


async def test_a_refund_is_not_refunded(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    sent = await town.send(ada, "bob", 300)
    back = await refund(town, bob, sent.id, 300)
    with pytest.raises(RefundRefused):
        await refund(town, ada, back.id, 1)


async def test_money_that_was_spent_cannot_be_refunded_and_nothing_is_noted(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    sent = await town.send(ada, "bob", 300)
    await town.send(bob, "ada", 250)
    with pytest.raises(InsufficientFunds):
        await refund(town, bob, sent.id, 51, key="k")
    assert await left(town, bob, sent.id) == 300
    await town.fund(bob, 1)
    await refund(town, bob, sent.id, 51, key="k")
    assert await left(town, bob, sent.id) == 249


async def test_a_key_refunds_once(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob", 1_000)
    sent = await town.send(ada, "bob", 300)
    views = await asyncio.gather(*(refund(town, bob, sent.id, 100, key="k") for _ in range(6)))
    assert len({view.id for view in views}) == 1
    with pytest.raises(IdempotencyConflict):
        await refund(town, bob, sent.id, 101, key="k")
    assert await town.has(ada) == 800


async def test_racing_refunds_never_give_back_more_than_came(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob", 10_000)
    sent = await town.send(ada, "bob", 300)
    answers = await asyncio.gather(
        *(refund(town, bob, sent.id, 70) for _ in range(12)), return_exceptions=True
    )
    done = [one for one in answers if isinstance(one, TransferView)]
    assert len(done) == 4
    assert {type(one) for one in answers} == {TransferView, RefundRefused}
    assert await town.has(ada) == 700 + 280
    assert await left(town, ada, sent.id) == 20
