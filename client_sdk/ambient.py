"""What a wallet takes from its surroundings, given so that tests and simulations can set it."""

import secrets
import time
from collections.abc import Callable
from typing import Protocol

Entropy = Callable[[int], bytes]
"""Gives that many unpredictable bytes."""


class Clock(Protocol):
    def now(self) -> int:
        """Unix time in whole seconds."""
        ...


class SystemClock:
    def now(self) -> int:
        return time.time_ns() // 1_000_000_000


def system_entropy(length: int) -> bytes:
    return secrets.token_bytes(length)
