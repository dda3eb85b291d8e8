"""A session over Bluetooth LE: whole messages, over one connection or, when it breaks, several.

A broken connection is taken up again without anybody above noticing: the payer looks for the payee
once more, shows the key of the session, and both go on from what the other has. How often and how
long is bounded; after that the session ends, which says nothing about money.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from client_sdk.errors import LinkClosed
from client_sdk.transports.base import EVIDENCE_BYTES, MESSAGE_BYTES_MAX, SILENCE_SECONDS
from client_sdk.transports.ble.adapters import Connection
from client_sdk.transports.ble.fragments import Close, Ending, MalformedFragment, decode
from client_sdk.transports.ble.patience import stop
from client_sdk.transports.ble.stream import Stream, StreamBroken

RESUMES_MAX: Final = 8
"""Connections after the first in one session."""
RESUME_SECONDS: Final = 20.0
"""From the end of a connection to the next one of the session."""
RETRY_SECONDS: Final = 4.0
"""Without any acknowledgement for so long what is outstanding is sent again."""
RETRIES_MAX: Final = 3
"""After so many in a row the connection is given up."""
CLOSE_SECONDS: Final = 10.0
"""For the last bytes to be acknowledged."""
LEAVE_SECONDS: Final = 1.0
"""To tell the other side that the session was given up."""

ENDINGS: Final = {
    Ending.DONE: "The other side has closed the connection.",
    Ending.UNKNOWN_SESSION: "The other side does not know this connection any more.",
    Ending.FULL: "The payee's device is busy with other payers.",
    Ending.VERSION: "The other side speaks another version over Bluetooth.",
    Ending.BROKEN: "The other side did not understand what arrived.",
}


class Way(Protocol):
    """What differs between payer and payee: how a session gets its connections."""

    async def attach(self, stream: Stream) -> Connection:
        """The session's next connection, with the other side attached to the stream.

        Raises:
            LinkClosed: there is none in time.
            StreamBroken: what the other side says about the session cannot be.
        """
        ...

    async def part(self, connection: Connection) -> None:
        """End a connection whose session is over on this side."""
        ...

    async def release(self) -> None:
        """The session has ended: give back what only it used."""
        ...


class _SessionOver(Exception):
    """The other side has ended the session."""


class BleWire:
    """A session as a `Wire`."""

    def __init__(self, way: Way, stream: Stream, connection: Connection | None = None) -> None:
        """Start with a connection that is attached to the stream, or get the first one too."""
        self._way = way
        self._stream = stream
        self._connection = connection
        self._changed = asyncio.Event()
        self._closing = False
        self._end: LinkClosed | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def bytes_max(self) -> int:
        return MESSAGE_BYTES_MAX

    @property
    def evidence_bytes(self) -> int:
        return EVIDENCE_BYTES["ble"]

    async def write(self, message: bytes) -> None:
        if len(message) > self.bytes_max:
            raise LinkClosed(f"A message of {len(message)} bytes is too long for Bluetooth.")
        self._check_open()
        outgoing = self._stream.outgoing
        try:
            outgoing.put(message)
            self._pulse()
            while outgoing.unsent:
                reached = outgoing.acknowledged
                async with asyncio.timeout(SILENCE_SECONDS):
                    while outgoing.unsent and outgoing.acknowledged == reached:
                        await self._change()
        except (StreamBroken, TimeoutError) as error:
            self.abort()
            reason = str(error) or "the other side takes nothing more"
            raise LinkClosed(f"The connection ended while sending: {reason}.") from None

    async def read(self, *, seconds: float = SILENCE_SECONDS) -> bytes:
        messages = self._stream.incoming.messages
        try:
            async with asyncio.timeout(seconds):
                while not messages:
                    await self._change()
        except TimeoutError:
            self.abort()
            raise LinkClosed("The connection ended: too long silent.") from None
        self._pulse()
        return messages.popleft()

    def abort(self) -> None:
        if self._end is None:
            self._end = LinkClosed("The connection has ended.")
            # Not at once: a task that has not begun would not clean up either.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    async def close(self) -> None:
        self._closing = True
        self._pulse()
        await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        self.abort()
        await asyncio.wait({self._task})

    def when_ended(self, tell: "Callable[[BleWire], object]") -> None:
        """Call this when nothing of the session is left."""
        self._task.add_done_callback(lambda _: tell(self))

    def _check_open(self) -> None:
        if self._end is not None:
            raise LinkClosed(self._end.detail)

    async def _change(self) -> None:
        """Wait until something has changed.

        Raises:
            LinkClosed: nothing will change any more.
        """
        self._check_open()
        await self._changed.wait()

    def _pulse(self) -> None:
        """Wake all who wait for something to change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _run(self) -> None:
        try:
            while True:
                if self._connection is None:
                    self._connection = await self._way.attach(self._stream)
                await self._converse(self._connection)
                self._connection = None
                if self._closing:
                    raise LinkClosed("The connection has ended.")  # noqa: TRY301 -- one way out
        except LinkClosed as end:
            self._end = end
        except _SessionOver as end:
            self._end = LinkClosed(str(end))
        except StreamBroken as error:
            self._end = LinkClosed(f"The connection was disturbed: {error}.")
            await self._leave(Ending.BROKEN)
        except asyncio.CancelledError:
            await self._leave(Ending.DONE)
            raise
        finally:
            self._pulse()
            try:
                if self._connection is not None:
                    await self._connection.disconnect()
            finally:
                await self._way.release()

    async def _leave(self, ending: Ending) -> None:
        """Tell the other side not to wait for this session any more, if it still hears."""
        if self._connection is not None:
            with suppress(LinkClosed, TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await self._connection.send(Close(ending).encode())

    async def _converse(self, connection: Connection) -> None:
        """Send and receive until the connection ends."""
        sending = asyncio.create_task(self._send_all(connection))
        try:
            while True:
                self._take(await connection.receive())
                self._pulse()
        except LinkClosed:
            return
        finally:
            await stop(sending)

    def _take(self, value: bytes) -> None:
        try:
            fragment = decode(value)
        except MalformedFragment:
            return
        if isinstance(fragment, Close):
            known = fragment.reason in set(Ending)
            raise _SessionOver(ENDINGS[Ending(fragment.reason) if known else Ending.DONE])
        self._stream.take(fragment)

    async def _send_all(self, connection: Connection) -> None:
        outgoing, tries = self._stream.outgoing, 0
        with suppress(LinkClosed):
            while True:
                changed, reached = self._changed, outgoing.acknowledged
                if value := self._stream.next_fragment(connection.value_bytes):
                    await connection.send(value)
                    self._pulse()
                    continue
                if self._closing and not outgoing.outstanding and not outgoing.unsent:
                    await connection.send(Close(Ending.DONE).encode())
                    await self._way.part(connection)
                    return
                try:
                    async with asyncio.timeout(RETRY_SECONDS if outgoing.outstanding else None):
                        await changed.wait()
                except TimeoutError:
                    tries += 1
                    outgoing.rewind()
                tries = tries if outgoing.acknowledged == reached else 0
                if tries > RETRIES_MAX:
                    await connection.disconnect()
                    return
