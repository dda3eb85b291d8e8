"""Shown values: how old they may be, who loads them, and that they never depend on a cache."""

import asyncio
from datetime import timedelta

import pytest

from server.kit.cache import BALANCE_TTL, MemoryCache, RedisCache
from tests.fakes.clock import ManualClock


class _Source:
    def __init__(self) -> None:
        self.value = 1
        self.loads = 0
        self.gate: asyncio.Event | None = None

    async def load(self) -> dict[str, int]:
        self.loads += 1
        value = self.value
        if self.gate is not None:
            await self.gate.wait()
        return {"EUR": value}


async def test_a_value_is_loaded_again_when_it_is_too_old(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock), _Source()
    started = clock.now()
    first = await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])
    source.value = 2
    clock.advance(BALANCE_TTL - timedelta(microseconds=1))
    assert await cache.cached("a", BALANCE_TTL, source.load, dict[str, int]) == first
    assert first.as_of == started
    clock.advance(timedelta(microseconds=1))

    second = await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])

    assert (second.value, second.as_of) == ({"EUR": 2}, started + BALANCE_TTL)
    assert source.loads == 2


async def test_a_clock_that_went_back_makes_nothing_live_longer(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock), _Source()
    await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])
    clock.advance(timedelta(seconds=-3600))
    await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])
    assert source.loads == 2


async def test_of_many_at_once_one_loads(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock), _Source()
    source.gate = asyncio.Event()
    readers = [
        asyncio.create_task(cache.cached("a", BALANCE_TTL, source.load, dict[str, int]))
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    source.gate.set()
    assert {shown.value["EUR"] for shown in await asyncio.gather(*readers)} == {1}
    assert source.loads == 1


async def test_readers_share_no_object(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock), _Source()
    first = await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])
    first.value["EUR"] = 10**9
    second = await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])
    assert second.value == {"EUR": 1}


async def test_a_failure_reaches_everybody_and_is_not_kept(clock: ManualClock) -> None:
    cache, source, gate = MemoryCache(clock), _Source(), asyncio.Event()

    async def fail() -> dict[str, int]:
        await gate.wait()
        raise LookupError("no")

    readers = [
        asyncio.create_task(cache.cached("a", BALANCE_TTL, fail, dict[str, int])) for _ in range(3)
    ]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError] * 3
    assert (await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])).value == {"EUR": 1}


async def test_a_reader_that_gives_up_takes_no_other_with_it(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock), _Source()
    source.gate = asyncio.Event()
    readers = [
        asyncio.create_task(cache.cached("a", BALANCE_TTL, source.load, dict[str, int]))
        for _ in range(3)
    ]
    await asyncio.sleep(0)
    readers[0].cancel()
    readers[2].cancel()
    await asyncio.wait([readers[0], readers[2]])
    source.gate.set()
    assert (await readers[1]).value == {"EUR": 1}
    assert readers[0].cancelled()
    assert source.loads == 2


async def test_what_was_forgotten_while_it_was_loaded_is_not_kept(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock), _Source()
    source.gate = asyncio.Event()
    reader = asyncio.create_task(cache.cached("a", BALANCE_TTL, source.load, dict[str, int]))
    await asyncio.sleep(0)
    source.value = 2
    await cache.forget("a")
    source.gate.set()
    assert (await reader).value == {"EUR": 1}
    assert (await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])).value == {"EUR": 2}


async def test_the_longest_unused_values_go_first(clock: ManualClock) -> None:
    cache, source = MemoryCache(clock, entries_max=2), _Source()
    for key in ("a", "b", "a", "c", "a"):
        await cache.cached(key, BALANCE_TTL, source.load, dict[str, int])
    assert source.loads == 3
    await cache.cached("b", BALANCE_TTL, source.load, dict[str, int])
    assert source.loads == 4


async def test_without_redis_the_value_is_loaded(clock: ManualClock) -> None:
    pytest.importorskip("redis")
    cache, source = RedisCache(clock, "redis://127.0.0.1:1"), _Source()
    for _ in range(2):
        shown = await cache.cached("a", BALANCE_TTL, source.load, dict[str, int])
        assert shown.value == {"EUR": 1}
    await cache.forget("a")
    await cache.close()
    assert source.loads == 2
