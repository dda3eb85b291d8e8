"""A `Run` that remembers nothing: steps are done as they come, sleep is none."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from server.kit.workflows import ONCE, JsonValue, Retry

T = TypeVar("T", bound=JsonValue)


class PlainRun:
    def __init__(self) -> None:
        self.steps: list[str] = []
        self.slept: list[timedelta] = []

    async def step(
        self,
        name: str,
        work: Callable[[], Awaitable[T]],
        *,
        retry: Retry = ONCE,  # noqa: ARG002
        timeout_s: float = 60,  # noqa: ARG002
    ) -> T:
        self.steps.append(name)
        return await work()

    async def sleep(self, pause: timedelta) -> None:
        self.slept.append(pause)
