"""Schedules: every occurrence is decided once, whoever runs them and whatever breaks."""

import asyncio
import os
import signal
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from server.kit.auth import Caller
from server.kit.errors import IdempotencyConflict, NotFound
from server.kit.messaging import deliver_messages
from server.kit.outbox import OutboxRow
from server.kit.unit_of_work import Tx
from server.payments.transfers import scheduling
from server.payments.transfers.errors import ScheduleClosed, ScheduleInvalid, SelfTransfer
from server.payments.transfers.models import TransferRow
from server.payments.transfers.running import run_schedules
from server.payments.transfers.schemas import ScheduleCreate, ScheduleRunView, ScheduleView
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages
from tests.integration.payments.transfers.conftest import Town

ROOT = Path(__file__).parents[4]


async def plan(town: Town, caller: Caller, *, key: str | None = None, **data: Any) -> ScheduleView:
    town.keys += 1
    wish: dict[str, Any] = {"to": "bob", "amount": 100, "currency": "EUR", "every": "day",
            "starts_on": date(2026, 3, 3)}  # fmt: skip
    return await town.transfers.schedule(
        caller, ScheduleCreate(**wish | data), key=key or f"plan-{town.keys}"
    )


async def run(town: Town) -> int:
    return await run_schedules(town.uow, town.transfers.desk)


async def change(town: Town, caller: Caller, schedule: UUID, what: Any) -> ScheduleView:
    return await town.uow.run(
        lambda tx: scheduling.change(tx, town.transfers.desk, caller, schedule, what)
    )


async def show(town: Town, caller: Caller, schedule: UUID) -> ScheduleView:
    return await town.uow.read(
        lambda tx: scheduling.show(tx, town.transfers.desk, caller.user_id, schedule)
    )


async def runs(town: Town, caller: Caller, schedule: UUID) -> list[ScheduleRunView]:
    return await town.uow.read(
        lambda tx: scheduling.runs(tx, town.transfers.desk, caller.user_id, schedule, before=None)
    )


async def events(town: Town) -> list[str]:
    async def query(tx: Tx) -> list[str]:
        rows = await tx.session.scalars(
            select(OutboxRow.type)
            .where(OutboxRow.type.like("schedule.%"))
            .order_by(OutboxRow.place)
        )
        return list(rows)

    return await town.uow.read(query)


async def test_it_pays_when_due_and_not_before(town: Town, clock: ManualClock) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    made = await plan(town, ada, note="Pocket money", ends_on=date(2026, 3, 5))
    assert (made.state, str(made.next_at)) == ("active", "2026-03-03 09:00:00+00:00")
    clock.advance(timedelta(hours=24) - timedelta(microseconds=1))
    assert await run(town) == 0
    for paid in (1, 2, 3):
        clock.advance(timedelta(microseconds=1) if paid == 1 else timedelta(days=1))
        assert await run(town) == 1
        assert await run(town) == 0
        assert await town.has(bob) == 100 * paid
    after = await show(town, ada, made.id)
    assert (after.state, after.next_at) == ("ended", None)
    told = await runs(town, ada, made.id)
    assert [(each.occurrence, each.result) for each in told] == [
        (2, "paid"), (1, "paid"), (0, "paid"),
    ]  # fmt: skip
    row = await town.uow.read(lambda tx: tx.session.get_one(TransferRow, (1, told[0].transfer_id)))
    assert row.schedule_id == made.id
    assert await events(town) == ["schedule.paid"] * 3 + ["schedule.ended"]
    clock.advance(timedelta(days=30))
    assert await run(town) == 0


async def test_several_workers_pay_once(town: Town, clock: ManualClock) -> None:
    ada, bob = await town.join("ada", 100_000), await town.join("bob")
    for _ in range(10):
        await plan(town, ada, every="once")
    clock.advance(timedelta(days=1))
    looked = await asyncio.gather(*(run(town) for _ in range(5)))
    assert sum(looked) == 10
    assert await town.has(bob) == 1_000


async def test_without_money_it_tries_again_then_skips_and_says_so(
    town: Town, clock: ManualClock, messages: KeptMessages
) -> None:
    ada, bob = await town.join("ada", 50), await town.join("bob")
    made = await plan(town, ada, every="month")
    clock.advance(timedelta(days=1))
    for hours in (1, 4, 12):
        assert await run(town) == 1
        assert await run(town) == 0
        clock.advance(timedelta(hours=hours))
    assert (await show(town, ada, made.id)).failed_tries == 3
    assert await run(town) == 1
    (told,) = await runs(town, ada, made.id)
    assert (told.result, told.tries, told.reason) == ("skipped", 4, "insufficient_funds")
    while await deliver_messages(town.uow, messages, town.desk.vault):
        pass
    (message,) = messages.sent
    assert message.to == "ada@example.com"
    assert "1.00 EUR" in message.text
    after = await show(town, ada, made.id)
    assert (after.state, str(after.next_at), after.failed_tries) == (
        "active", "2026-04-03 09:00:00+00:00", 0,
    )  # fmt: skip
    assert await town.has(bob) == 0
    assert await events(town) == ["schedule.skipped"]


async def test_money_that_comes_in_between_is_enough(town: Town, clock: ManualClock) -> None:
    ada, bob = await town.join("ada", 50), await town.join("bob")
    made = await plan(town, ada, every="once")
    clock.advance(timedelta(days=1))
    await run(town)
    await town.fund(ada, 50)
    assert await run(town) == 0
    clock.advance(timedelta(hours=1))
    await run(town)
    assert await town.has(bob) == 100
    (told,) = await runs(town, ada, made.id)
    assert (told.result, told.tries) == ("paid", 2)


async def test_what_is_found_a_day_late_is_missed_and_the_rest_goes_on(
    town: Town, clock: ManualClock
) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    made = await plan(town, ada)
    clock.advance(timedelta(days=4, hours=6))
    while await run(town):
        pass
    told = [each.result for each in await runs(town, ada, made.id)]
    assert told == ["paid", "missed", "missed", "missed"]
    assert await town.has(bob) == 100
    assert str((await show(town, ada, made.id)).next_at) == "2026-03-07 09:00:00+00:00"


async def test_a_pause_leaves_out_what_falls_into_it(town: Town, clock: ManualClock) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    made = await plan(town, ada)
    assert (await change(town, ada, made.id, "pause")).state == "paused"
    clock.advance(timedelta(days=10))
    assert await run(town) == 0
    resumed = await change(town, ada, made.id, "resume")
    assert (resumed.state, str(resumed.next_at)) == ("active", "2026-03-13 09:00:00+00:00")
    assert await change(town, ada, made.id, "resume") == resumed
    assert await run(town) == 0
    clock.advance(timedelta(days=1))
    await run(town)
    assert await town.has(bob) == 100
    assert [each.occurrence for each in await runs(town, ada, made.id)] == [10]


async def test_an_ended_schedule_stays_ended(town: Town, clock: ManualClock) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    made = await plan(town, ada)
    once = await plan(town, ada, every="once")
    await change(town, ada, once.id, "pause")
    assert (await change(town, ada, made.id, "end")).state == "ended"
    for what in ("resume", "pause"):
        with pytest.raises(ScheduleClosed):
            await change(town, ada, made.id, what)
    clock.advance(timedelta(days=2))
    assert (await change(town, ada, once.id, "resume")).state == "ended"
    assert await run(town) == 0
    assert await town.has(bob) == 0


async def test_other_peoples_schedules_are_not_there(town: Town) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    made = await plan(town, ada)
    for act in (
        show(town, bob, made.id),
        runs(town, bob, made.id),
        change(town, bob, made.id, "end"),
        show(town, ada, UUID(int=1)),
    ):
        with pytest.raises(NotFound):
            await act
    assert (await show(town, ada, made.id)).state == "active"


async def test_a_key_plans_once_and_nonsense_is_refused(town: Town) -> None:
    ada, _ = await town.join("ada", 1_000), await town.join("bob")
    views = await asyncio.gather(*(plan(town, ada, key="k") for _ in range(5)))
    assert len({view.id for view in views}) == 1
    with pytest.raises(IdempotencyConflict):
        await plan(town, ada, key="k", amount=101)
    with pytest.raises(SelfTransfer):
        await plan(town, ada, to="ada")
    with pytest.raises(ScheduleInvalid):
        await plan(town, ada, starts_on=date(2026, 3, 1))


@pytest.mark.parametrize("dies_at", ["_finish", "commit"])
async def test_a_worker_that_is_killed_in_between_pays_nothing_and_the_next_one_once(
    town: Town, database: Database, clock: ManualClock, dies_at: str
) -> None:
    ada, bob = await town.join("ada", 1_000), await town.join("bob")
    made = await plan(town, ada, every="once")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"{__name__.rpartition('.')[0]}.dying_worker",
        database.url, dies_at, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert await process.wait() == -signal.SIGKILL
    assert await town.has(bob) == 0
    clock.advance(timedelta(days=1))
    assert await run(town) == 1
    assert await town.has(bob) == 100
    (told,) = await runs(town, ada, made.id)
    assert told.result == "paid"

    async def sent(tx: Tx) -> int:
        return await tx.session.scalar(select(func.count()).select_from(TransferRow)) or 0

    assert await town.uow.read(sent) == 1
