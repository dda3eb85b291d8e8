"""Who has connected to a payee: a stranger at first, then perhaps the payer of the request."""

import asyncio
from contextlib import suppress
from typing import Final

from client_sdk.errors import LinkClosed
from client_sdk.transports.ble.adapters import Connection
from client_sdk.transports.ble.connecting import lock_of
from client_sdk.transports.ble.fragments import (
    Close,
    Ending,
    MalformedFragment,
    Open,
    OtherVersion,
    Resume,
    Welcome,
    decode,
)
from client_sdk.transports.ble.stream import WINDOW_BYTES, Stream
from client_sdk.transports.ble.wire import RESUME_SECONDS, RESUMES_MAX

OPEN_SECONDS: Final = 5.0
"""From the connection to the first fragment of a session."""
PART_SECONDS: Final = 2.0
"""For the payer to disconnect after the end of a session; then the payee does."""


class Guest:
    """A central that has connected, and with luck the payer; the `Way` of its wire."""

    def __init__(self, connection: Connection, sessions: "set[Guest]") -> None:
        """Take a new connection, and the sessions of the listener that it came to."""
        self._connection = connection
        self._sessions = sessions
        self._lock: bytes | None = None
        self._moved = False
        self._resumes = 0
        self._returned: asyncio.Queue[tuple[Connection, Resume]] = asyncio.Queue(1)

    async def attach(self, stream: Stream) -> Connection:
        if self._lock is None:
            await self._open(stream)
            return self._connection
        self._resumes += 1
        if self._resumes > RESUMES_MAX:
            raise LinkClosed("The Bluetooth connection was lost too often.")
        try:
            async with asyncio.timeout(RESUME_SECONDS):
                connection, resume = await self._returned.get()
        except TimeoutError:
            raise LinkClosed("The payer has not come back.") from None
        await _welcome(connection, stream, window=resume.window, received=resume.received)
        return connection

    async def part(self, connection: Connection) -> None:
        await asyncio.sleep(PART_SECONDS)
        await connection.disconnect()

    async def release(self) -> None:
        self._sessions.discard(self)
        if not self._moved:
            await self._connection.disconnect()

    def opens(self, key: bytes) -> bool:
        """Whether a key belongs to this session; some before it may have been lost on the way."""
        for _ in range(RESUMES_MAX):
            key = lock_of(key)
            if key == self._lock:
                return True
        return False

    async def come_back(self, connection: Connection, resume: Resume) -> None:
        """Go on in another connection, also when the end of the last one was not noticed yet."""
        before, self._connection = self._connection, connection
        self._lock = resume.key
        if self._returned.full():
            self._returned.get_nowait()
        self._returned.put_nowait((connection, resume))
        await before.disconnect()

    async def _open(self, stream: Stream) -> None:
        """Wait for the first fragment; when it resumes another session, give it the connection."""
        connection = self._connection
        match await _first_fragment(connection):
            case Open() as first:
                self._lock = first.lock
                self._sessions.add(self)
                await _welcome(connection, stream, window=first.window, received=0)
                return
            case Resume() as resume:
                owner = next((one for one in self._sessions if one.opens(resume.key)), None)
                if owner is None:
                    await _turn_away(connection, Ending.UNKNOWN_SESSION)
                else:
                    self._moved = True
                    await owner.come_back(connection, resume)
            case None:
                await _turn_away(connection, Ending.VERSION)
        raise LinkClosed("No session was opened.")


async def _welcome(connection: Connection, stream: Stream, *, window: int, received: int) -> None:
    stream.attach(window=window, received=received)
    with suppress(LinkClosed):  # it has gone, and may come back
        await connection.send(Welcome(WINDOW_BYTES, stream.incoming.told()).encode())


async def _first_fragment(connection: Connection) -> Open | Resume | None:
    """What a central begins with; anything else is passed over. None if of another version.

    Raises:
        LinkClosed: it has gone, or is too slow.
    """
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            while True:
                value = await connection.receive()
                try:
                    first = decode(value)
                except OtherVersion:
                    return None
                except MalformedFragment:
                    continue
                if isinstance(first, Open | Resume):
                    return first
    except TimeoutError:
        raise LinkClosed("No session was opened.") from None


async def _turn_away(connection: Connection, ending: Ending) -> None:
    """Say why, and give the other side time to hear it and leave."""
    with suppress(LinkClosed, TimeoutError):
        await connection.send(Close(ending).encode())
        async with asyncio.timeout(PART_SECONDS):
            while True:
                await connection.receive()
