"""What is shown may be a little old, and says how old. Nothing that decides about money looks here.

A cached value lives in this process or, with `RedisCache`, in Redis for all processes. It is kept
as JSON, so that no two readers ever share an object. When Redis does not answer, the value is
loaded; showing something never depends on a cache.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from server.kit.clock import Clock
from server.kit.telemetry import get_logger

T = TypeVar("T")
BALANCE_TTL: Final = timedelta(seconds=5)
"""How old a balance may be that is shown."""
ENTRIES_MAX: Final = 10_000
_REDIS_TIMEOUT_S = 0.25
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shown(Generic[T]):
    """A value, and the moment at which it was true."""

    value: T
    as_of: datetime


class _Kept(msgspec.Struct, frozen=True):
    value: msgspec.Raw
    as_of: datetime


@runtime_checkable
class Cache(Protocol):
    async def cached(
        self, key: str, ttl: timedelta, load: Callable[[], Awaitable[T]], kind: type[T]
    ) -> Shown[T]:
        """Return the value under a key, loading it where there is none or it is older than ttl.

        ``kind`` is what `msgspec` reads the value as. Of callers that come at once for the same key
        one loads, the others wait for it. What `load` raises is raised to all of them.
        """
        ...

    async def forget(self, key: str) -> None:
        """Drop a value, so that its next reader loads it."""
        ...


class MemoryCache:
    """Values of this process; the least recently used ones go first."""

    def __init__(self, clock: Clock, *, entries_max: int = ENTRIES_MAX) -> None:
        self._clock = clock
        self._entries_max = entries_max
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._loading: dict[str, asyncio.Future[bytes]] = {}

    async def cached(
        self, key: str, ttl: timedelta, load: Callable[[], Awaitable[T]], kind: type[T]
    ) -> Shown[T]:
        if (kept := await self._get(key)) is not None:
            shown = _read(kept, kind)
            if timedelta(0) <= self._clock.now() - shown.as_of < ttl:
                return shown
        while (under_way := self._loading.get(key)) is not None:
            await asyncio.wait([under_way])
            # Whoever loads may have been cancelled; then somebody else has to.
            if not under_way.cancelled():
                return _read(under_way.result(), kind)
        mine: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._loading[key] = mine
        try:
            # The time before loading: the value is at least as new as it says.
            as_of = self._clock.now()
            kept = _write(await load(), as_of)
            mine.set_result(kept)
            if self._loading.get(key) is mine:
                await self._put(key, kept, ttl)
        except Exception as error:
            if not mine.done():
                mine.set_exception(error)
                mine.exception()
            raise
        finally:
            mine.cancel()
            if self._loading.get(key) is mine:
                del self._loading[key]
        return _read(kept, kind)

    async def forget(self, key: str) -> None:
        self._loading.pop(key, None)
        await self._drop(key)

    async def close(self) -> None:
        """Drop everything."""
        self._kept.clear()

    async def _get(self, key: str) -> bytes | None:
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    async def _put(self, key: str, kept: bytes, _ttl: timedelta) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > self._entries_max:
            self._kept.popitem(last=False)

    async def _drop(self, key: str) -> None:
        self._kept.pop(key, None)


class RedisCache(MemoryCache):
    """Values that all processes share."""

    def __init__(self, clock: Clock, url: str) -> None:
        """Connect at the first use.

        Raises:
            ModuleNotFoundError: the extra ``redis`` is not installed.
        """
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra

        super().__init__(clock)
        self._redis: Any = Redis.from_url(
            url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
        )

    async def _get(self, key: str) -> bytes | None:
        try:
            kept: bytes | None = await self._redis.get(_name(key))
        except Exception as error:  # noqa: BLE001 - whatever it is, the value is loaded
            _log.warning("cache_down", error=type(error).__name__)
            return None
        return kept

    async def _put(self, key: str, kept: bytes, ttl: timedelta) -> None:
        try:
            await self._redis.set(_name(key), kept, px=max(1, ttl // timedelta(milliseconds=1)))
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("cache_down", error=type(error).__name__)

    async def _drop(self, key: str) -> None:
        try:
            await self._redis.delete(_name(key))
        except Exception as error:  # noqa: BLE001 - it expires by itself
            _log.warning("cache_down", error=type(error).__name__)

    async def close(self) -> None:
        await self._redis.aclose()


def _name(key: str) -> str:
    return f"tallystick:cache:{key}"


def _write(value: object, as_of: datetime) -> bytes:
    return msgspec.json.encode(_Kept(msgspec.Raw(msgspec.json.encode(value)), as_of))


def _read(kept: bytes, kind: type[T]) -> Shown[T]:
    both = msgspec.json.decode(kept, type=_Kept)
    return Shown(msgspec.json.decode(both.value, type=kind), both.as_of)
