"""Numbers of events: who reads on misses nothing, in whatever order transactions commit."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit import event_log
from server.kit.event_log import (
    Told,
    events_after,
    last_seq,
    number_events,
    remove_old_events,
    seq_before,
)
from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.fakes.clock import ManualClock
from tests.integration.kit.test_outbox import TENANT, Moved


@asynccontextmanager
async def _open(uow: UnitOfWork) -> AsyncIterator[Tx]:
    """A transaction that commits when the block ends, whatever others do meanwhile."""
    async with uow._begin(read_only=False) as tx:
        yield tx


async def _read(uow: UnitOfWork, after: int = 0, limit: int = 10_000) -> list[Told]:
    return await uow.read(lambda tx: events_after(tx, TENANT, after, limit=limit))


async def _tell(uow: UnitOfWork, *numbers: int, thing: str = "a") -> None:
    await uow.run(lambda tx: emit(tx, *(Moved(thing=thing, number=n) for n in numbers), tenant=1))


async def test_an_event_that_commits_late_is_not_missed(
    uow: UnitOfWork, engine: AsyncEngine
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer: nothing commits late")
    async with _open(uow) as slow:
        await emit(slow, Moved(thing="slow"), tenant=TENANT)
        await _tell(uow, 1, thing="fast")
        await number_events(uow, TENANT)
        before = await _read(uow)
    await number_events(uow, TENANT)

    assert [(told.seq, told.key) for told in before] == [(1, "fast")]
    assert [(told.seq, told.key) for told in await _read(uow, before[-1].seq)] == [(2, "slow")]


async def test_racing_writers_numberers_and_a_reader(
    uow: UnitOfWork, engine: AsyncEngine, clock: ManualClock
) -> None:
    """The reader only ever asks for what is after its last number, and gets all, in order."""
    await uow.run(_make_keys)
    writers, per_writer, total = 8, 25, 8 * 25
    seen: list[Told] = []
    written = asyncio.Event()

    async def write(writer: int) -> None:
        rng = random.Random(writer)
        own = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
        for _ in range(per_writer):
            key = rng.randrange(3)

            async def command(tx: Tx, key: int = key) -> None:
                # As an account's row does, it excludes others until the commit; the number is what
                # the order of the commits gave.
                number = await tx.session.scalar(
                    text("UPDATE counted SET n = n + 1 WHERE key = :key RETURNING n"), {"key": key}
                )
                await emit(tx, Moved(thing=str(key), number=number or 0), tenant=TENANT)
                await asyncio.sleep(rng.random() * 0.003)

            await own.run(command)

    async def number() -> None:
        while not written.is_set():
            await number_events(uow, TENANT, limit=rng_limit.randrange(1, 9))
            await asyncio.sleep(0)

    async def read() -> None:
        while len(seen) < total:
            seen.extend(await _read(uow, seen[-1].seq if seen else 0, limit=7))
            if written.is_set():
                await number_events(uow, TENANT)
            await asyncio.sleep(0)

    rng_limit = random.Random(1)
    others = [asyncio.create_task(number()) for _ in range(2)] + [asyncio.create_task(read())]
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    written.set()
    await asyncio.gather(*others)

    assert [told.seq for told in seen] == list(range(1, total + 1))
    assert len({told.id for told in seen}) == total
    for key in "012":
        numbers = [told.data()["number"] for told in seen if told.key == key]
        assert numbers == list(range(1, len(numbers) + 1))


async def _make_keys(tx: Tx) -> None:
    await tx.connection.execute(text("CREATE TABLE counted (key INTEGER PRIMARY KEY, n INTEGER)"))
    await tx.connection.execute(text("INSERT INTO counted VALUES (0, 0), (1, 0), (2, 0)"))


async def test_one_numbers_at_a_time_and_nobody_waits(uow: UnitOfWork, engine: AsyncEngine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    await _tell(uow, 1)
    await number_events(uow, TENANT)
    await _tell(uow, 2)
    async with _open(uow) as tx:
        await tx.connection.execute(text("SELECT * FROM event_stream FOR UPDATE"))
        assert await number_events(uow, TENANT) == 0
    assert await number_events(uow, TENANT) == 1


async def test_a_crash_while_numbering_loses_and_doubles_nothing(
    uow: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _tell(uow, *range(1, 30))
    name = f"_move_on_{'sqlite' if uow.dialect == 'sqlite' else 'postgres'}"
    move = getattr(event_log, name)

    async def crash(*args: object) -> int:
        await move(*args)
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(event_log, name, crash)
        with pytest.raises(ConnectionResetError):
            await number_events(uow, TENANT)
    assert await _read(uow) == []
    while await number_events(uow, TENANT, limit=7):
        pass
    assert [told.data()["number"] for told in await _read(uow)] == list(range(1, 30))


async def test_tenants_have_numbers_of_their_own(uow: UnitOfWork) -> None:
    async def both(tx: Tx) -> None:
        await emit(tx, Moved(thing="a"), Moved(thing="b"), tenant=1)
        await emit(tx, Moved(thing="c"), tenant=2)

    await uow.run(both)
    assert [await number_events(uow, tenant) for tenant in (1, 2)] == [2, 1]
    assert [await uow.read(lambda tx, t=tenant: last_seq(tx, t)) for tenant in (1, 2)] == [2, 1]  # type: ignore[misc]


async def test_a_message_is_read_back_as_it_was(uow: UnitOfWork) -> None:
    await _tell(uow, 1, thing="Ğ/√ \u2028 'x'")
    await number_events(uow, TENANT)
    [told] = await _read(uow)
    assert Told.from_json(told.as_json()) == told


async def test_reading_from_a_moment_begins_where_nothing_of_it_is_missed(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    for n in range(1, 5):
        await _tell(uow, n)
        clock.advance(timedelta(minutes=1))
    await number_events(uow, TENANT)
    moment = clock.now() - timedelta(minutes=2)

    start = await uow.read(lambda tx: seq_before(tx, TENANT, moment))
    assert start == 2
    assert await uow.read(lambda tx: seq_before(tx, TENANT, clock.now())) == 4
    told = await uow.read(
        lambda tx: events_after(tx, TENANT, 0, since=moment, topics=["tests"], until=3)
    )
    assert [event.seq for event in told] == [3]
    assert await uow.read(lambda tx: events_after(tx, TENANT, 0, topics=["others"])) == []


async def test_old_events_go_when_everybody_has_read_them(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    for n in range(1, 7):
        await _tell(uow, n)
        clock.advance(timedelta(days=1))
    await number_events(uow, TENANT)

    async def remove(keep_days: int, read: int) -> int:
        return await uow.run(
            lambda tx: remove_old_events(
                tx, TENANT, keep=timedelta(days=keep_days), read_by_all=read
            )
        )

    assert await remove(2, 3) == 3
    assert [told.seq for told in await _read(uow)] == [4, 5, 6]
    assert await remove(3, 6) == 0
    assert await remove(2, 6) == 1
    await _tell(uow, 7)
    await number_events(uow, TENANT)
    assert [told.seq for told in await _read(uow)] == [5, 6, 7]
