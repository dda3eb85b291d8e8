"""Identifiers: time-ordered, from entropy that is given."""

import os
import threading
from typing import Protocol, runtime_checkable
from uuid import UUID

from server.kit.clock import Clock

_RANDOM_BITS = 62
_COUNTER_BITS = 12


@runtime_checkable
class Ids(Protocol):
    def uuid(self) -> UUID:
        """Return a fresh UUID, version 7, later than every one before it."""
        ...

    def token(self, size: int) -> bytes:
        """Return ``size`` unpredictable bytes."""
        ...


class SystemIds:
    """UUID version 7 (RFC 9562 section 5.7, method 1: a counter within the millisecond)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def uuid(self) -> UUID:
        with self._lock:
            now_ms = int(self._clock.now().timestamp() * 1000)
            if now_ms > self._last_ms:
                self._last_ms, self._counter = now_ms, 0
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._last_ms, self._counter = self._last_ms + 1, 0
            stamp_ms, counter = self._last_ms, self._counter
        random = int.from_bytes(os.urandom(8), "big") >> (64 - _RANDOM_BITS)
        return UUID(int=(stamp_ms << 80) | (0x7 << 76) | (counter << 64) | (0b10 << 62) | random)

    def token(self, size: int) -> bytes:
        return os.urandom(size)
