"""Waiting for work of a Bluetooth library, and ending it.

Before Python 3.12 `asyncio.wait_for` can swallow a cancellation that comes at the moment at which
its work is done, and the libraries are full of it. So their work runs in tasks of its own here,
which are waited for with `asyncio.wait` and are cancelled until they end.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

NUDGE_SECONDS: Final = 0.1

T = TypeVar("T")


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended; their results and errors are of no interest."""
    while waiting := {task for task in tasks if not task.done()}:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=NUDGE_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that is not to be cut off in its middle.

    A command to a controller is such work: its answer would meet somebody else's command. A
    cancellation comes through when it is done.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of work that may not take longer.

    Raises:
        TimeoutError: time was up; the work has been ended.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        await stop(task)
    raise TimeoutError
