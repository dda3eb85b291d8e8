"""Two links, or two wires, joined in one process, for tests, simulations and examples."""

import asyncio
from typing import Final, Self

from client_sdk.errors import LinkClosed
from client_sdk.transports.base import EVIDENCE_BYTES, MESSAGE_BYTES_MAX, SILENCE_SECONDS

QUEUE_FRAMES_MAX: Final = 64


class MemoryLink:
    """One end of a pair made by `linked_pair`."""

    evidence_bytes = EVIDENCE_BYTES["memory"]

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._other: Self | None = None

    def join(self, other: Self) -> None:
        """Make `other` the end to which this one sends."""
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


class MemoryWire:
    """One end of a pair made by `wire_pair`; see `Wire`."""

    bytes_max = MESSAGE_BYTES_MAX
    evidence_bytes = EVIDENCE_BYTES["memory"]

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._other: Self | None = None

    def join(self, other: Self) -> None:
        """Make `other` the end to which this one writes."""
        self._other = other

    async def write(self, message: bytes) -> None:
        if self._other is None:
            raise LinkClosed("The connection has ended.")
        self._other._incoming.put_nowait(message)  # noqa: SLF001 -- the other end is of this class

    async def read(self, *, seconds: float = SILENCE_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                message = await self._incoming.get()
        except TimeoutError:
            self.abort()
            raise LinkClosed("The connection ended: too long silent.") from None
        if message is None:
            self.abort()
            raise LinkClosed("The other side has closed the connection.")
        return message

    def abort(self) -> None:
        other, self._other = self._other, None
        if other is not None:
            other._incoming.put_nowait(None)  # noqa: SLF001 -- as above
            self._incoming.put_nowait(None)

    async def close(self) -> None:
        self.abort()


def linked_pair() -> tuple[MemoryLink, MemoryLink]:
    """Two ends: what one sends, the other receives."""
    one, two = MemoryLink(), MemoryLink()
    one.join(two)
    two.join(one)
    return one, two


def wire_pair() -> tuple[MemoryWire, MemoryWire]:
    """Two ends: what is written to one, is read from the other."""
    one, two = MemoryWire(), MemoryWire()
    one.join(two)
    two.join(one)
    return one, two
