"""Two links joined in one process, for tests, simulations and examples."""

import asyncio
from typing import Final

from client_sdk.errors import LinkClosed

QUEUE_FRAMES_MAX: Final = 64


class MemoryLink:
    """One end of a pair made by `linked_pair`."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._other: MemoryLink | None = None

    def _join(self, other: "MemoryLink") -> None:
        self._other = other

    async def send(self, frame: bytes) -> None:
        if self._other is None:
            raise LinkClosed("The connection has ended.")
        await self._other._incoming.put(frame)  # noqa: SLF001 -- the other end is of this class

    async def receive(self) -> bytes:
        frame = await self._incoming.get()
        if frame is None:
            self._other = None
            raise LinkClosed("The other side has closed the connection.", clean=True)
        return frame

    async def close(self) -> None:
        if self._other is not None:
            other, self._other = self._other, None
            await other._incoming.put(None)  # noqa: SLF001 -- as above


def linked_pair() -> tuple[MemoryLink, MemoryLink]:
    """Two ends: what one sends, the other receives."""
    one, two = MemoryLink(), MemoryLink()
    one._join(two)  # noqa: SLF001 -- the pair is made here only
    two._join(one)  # noqa: SLF001 -- as above
    return one, two
