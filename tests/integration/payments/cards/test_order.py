"""Events in any order, repeated, each followed or not by work: the books end the same."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from server.kit.outbox import OutboxRow
from server.kit.unit_of_work import Tx
from server.payments.cards import settle_facts
from server.payments.gateway import (
    DisputeStatus,
    GatewayDispute,
    GatewayMovement,
    GatewayPayment,
    GatewayRefund,
    MovementKind,
    PaymentFacts,
    PaymentStatus,
    RefundStatus,
)
from tests.integration.payments.cards.books import DEBT, DISPUTED, FEES, GATEWAY, Town, fee
from tests.integration.payments.people import join


async def _live(town: Town) -> None:
    """A life with everything in it, at the company; of it we hear later."""
    await town.top_up(20_000, card="pm_card_pendingRefund")
    one = town.intent()["latest_charge"]
    town.company.control("dispute", charge=one, amount=9_000)
    town.company.post("/v1/refunds", charge=one, amount="1000")
    await town.top_up(10_000, card="pm_card_createDispute")
    await town.top_up(5_000, card="pm_card_createDispute")
    await town.top_up(3_000, card="pm_card_visa")
    by_hand = town.company.post("/v1/refunds", charge=town.intent()["latest_charge"], amount="3000")
    town.company.control("refund", refund=by_hand.json()["id"], status="failed")
    await town.spend(25_000)
    town.company.control("dispute_result", dispute=town.dispute(0)["id"], result="won")
    town.company.control("dispute_result", dispute=town.dispute(1)["id"], result="lost")


async def test_a_real_life_told_in_any_order_ends_in_the_same_books(town: Town) -> None:
    await _live(town)
    events = town.events()
    assert len({event["type"] for event in events}) > 8
    chance = random.Random("order")
    told = [*events, *chance.choices(events, k=len(events))]
    chance.shuffle(told)
    for event in told:
        await town.hear(event)
        if chance.random() < 0.3:
            await town.work()
    await town.work()
    first = await town.books()
    assert first[GATEWAY] == town.at_company()
    assert first[DISPUTED] == 9_000
    told_others = await town.uow.read(_told)
    assert {"dispute.lost", "dispute.won", "refund.failed", "top_up.succeeded"} <= set(told_others)
    intents = town.company.get("/v1/payment_intents", limit="100")["data"]
    for _ in range(2):
        for intent in intents:
            facts = await town.gateway.payment_facts(intent["id"])
            assert facts is not None
            await _settle(town, facts)
        assert await town.books() == first
        assert await town.uow.read(_told) == told_others, "nothing is told twice"


async def _told(tx: Tx) -> list[str]:
    return sorted(await tx.session.scalars(select(OutboxRow.type)))


def _histories(turn: int) -> list[list[PaymentFacts]]:
    """Three payments of one user, each as it looks at one moment after another."""

    def moments(number: int, steps: Sequence[dict[str, Any]]) -> list[PaymentFacts]:
        charge = f"ch_{turn}_{number}"
        paid = GatewayPayment(f"pi_{turn}_{number}", PaymentStatus.SUCCEEDED, charge=charge)
        line = GatewayMovement(charge, MovementKind.CHARGE, 10_000, 10_000, "EUR", fee(10_000))
        facts = [PaymentFacts(paid, None, 10_000, "EUR", movements=[line])]
        for step in steps:
            last = facts[-1]
            lines = [*last.movements, *step.pop("lines", [])]
            facts.append(replace(last, movements=lines, **step))
        return facts

    def dispute(number: int, status: DisputeStatus, amount: int = 10_000) -> list[GatewayDispute]:
        return [GatewayDispute(f"dp_{turn}_{number}", amount, status, "fraudulent")]

    def taken(number: int, amount: int = -10_000) -> list[GatewayMovement]:
        name = f"txn_{turn}_{number}_{'back' if amount > 0 else 'gone'}"
        cost = 1_500 if amount < 0 else 0
        return [GatewayMovement(name, MovementKind.DISPUTE, amount, amount, "EUR", cost)]

    lost = moments(
        1,
        [
            {"disputes": dispute(1, DisputeStatus.INQUIRY)},
            {"disputes": dispute(1, DisputeStatus.OPEN), "lines": taken(1)},
            {"disputes": dispute(1, DisputeStatus.LOST)},
        ],
    )
    won = moments(
        2,
        [
            {"disputes": dispute(2, DisputeStatus.OPEN), "lines": taken(2)},
            {"disputes": dispute(2, DisputeStatus.LOST)},
            {"disputes": dispute(2, DisputeStatus.WON), "lines": taken(2, 10_000)},
        ],
    )

    def by_hand(status: RefundStatus) -> list[GatewayRefund]:
        return [GatewayRefund(f"re_{turn}", 4_000, status)]

    gone = GatewayMovement(f"re_{turn}", MovementKind.REFUND, -4_000, -4_000, "EUR", 0)
    back = GatewayMovement(
        f"re_{turn}/returned", MovementKind.REFUND_RETURNED, 4_000, 4_000, "EUR", 0
    )
    refunded = moments(
        3,
        [
            {"refunds": by_hand(RefundStatus.PENDING), "lines": [gone]},
            {"refunds": by_hand(RefundStatus.SUCCEEDED)},
            {"refunds": by_hand(RefundStatus.FAILED), "lines": [back]},
            {"disputes": dispute(3, DisputeStatus.OPEN, 6_000), "lines": taken(3, -6_000)},
        ],
    )
    return [lost, won, refunded]


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_what_was_read_at_any_moment_may_arrive_in_any_order(
    town: Town, data: st.DataObject
) -> None:
    """The end is that of the newest facts alone, however much of the money was spent before."""
    town.made += 1
    town.ada = await join(town.uow, f"ada{town.made}")
    before = await town.books()
    keys = [str((await town.top_up(10_000, card=None)).id) for _ in range(3)]
    histories = [
        [replace(facts, key=key) for facts in history]
        for history, key in zip(_histories(town.made), keys, strict=True)
    ]
    for first, *_ in histories:
        await _settle(town, first)
    spent = data.draw(st.integers(14_001, 29_999) | st.integers(0, 30_000), "spent")
    if spent:
        await town.spend(spent, number=town.made)
    every = [facts for history in histories for facts in history]
    told = data.draw(st.permutations(every), "order")
    told += data.draw(st.lists(st.sampled_from(every), max_size=5), "again")
    for facts in told:
        await _settle(town, facts)

    # 100.00 of 300.00 are lost for good, and 60.00 contested.
    net = 30_000 - spent - 10_000
    held = min(6_000, max(net, 0))
    after = await town.books()
    assert await town.available() == max(net, 0) - held
    assert after.get(DEBT, 0) - before.get(DEBT, 0) == max(-net, 0)
    assert after[DISPUTED] - before.get(DISPUTED, 0) == 6_000
    fees = 3 * fee(10_000) + 3 * 1_500
    assert after[GATEWAY] - before.get(GATEWAY, 0) == 30_000 - 10_000 - 6_000 - fees
    assert after[FEES] - before.get(FEES, 0) == fees


async def _settle(town: Town, facts: PaymentFacts) -> None:
    await town.uow.run(lambda tx: settle_facts(tx, 1, facts))


async def test_facts_told_by_several_at_once_are_booked_once(town: Town) -> None:
    await _live(town)
    await town.hear(*town.events())
    await asyncio.gather(*(town.work() for _ in range(4)))
    await town.work()
    assert (await town.books())[GATEWAY] == town.at_company()
