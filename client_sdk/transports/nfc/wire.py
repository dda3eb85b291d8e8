"""A wire over an LLCP connection: the length-prefixed stream of TCP, cut into the link's units."""

import asyncio
import queue
import threading
from typing import Any, Final

import nfc.llcp  # type: ignore[import-untyped]

from client_sdk.errors import LinkClosed
from client_sdk.transports.base import EVIDENCE_BYTES, MESSAGE_BYTES_MAX, SILENCE_SECONDS
from client_sdk.transports.nfc import DevicesApart, tell
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import StreamReader, to_stream

UNREAD_UNITS_MAX: Final = 32
"""Units kept for somebody who does not read; the other side waits when there are more."""
CLOSE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.05

Order = tuple[bytes, "asyncio.Future[Any]"]


class LlcpWire:
    """See `Wire`. Two threads serve it, one for each direction, until it or its link ends."""

    bytes_max = MESSAGE_BYTES_MAX
    evidence_bytes = EVIDENCE_BYTES["nfc"]

    def __init__(self, socket: Any, *, accepted: bool) -> None:
        """Take a socket; make it in the event loop.

        Args:
            socket: connected.
            accepted: by a listener. That side disconnects when both close, and the other one waits
                for it: nfcpy does not get over two disconnections that meet on their way.
        """
        self._socket = socket
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._cutter = StreamReader(bytes_max=MESSAGE_BYTES_MAX)
        self._units: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ready: list[bytes] = []
        self._room = threading.Semaphore(UNREAD_UNITS_MAX)
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._gone: asyncio.Future[Any] = self._loop.create_future()
        for work in (self._send_orders, self._take_units):
            threading.Thread(target=work, name="nfc wire", daemon=True).start()

    async def write(self, message: bytes) -> None:
        if self._ending.is_set() or self._gone.done():
            raise DevicesApart("The devices are no longer together.")
        done: asyncio.Future[Any] = self._loop.create_future()
        self._orders.put((to_stream(message), done))
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await asyncio.wait({done, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.abort()
            raise LinkClosed("The connection ended while sending: too slow.") from None
        if not done.done() or not done.result():
            self.abort()
            raise DevicesApart("The devices were moved apart while sending.")

    async def read(self, *, seconds: float = SILENCE_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                while not self._ready:
                    unit = await self._units.get()
                    if unit is None:
                        self._units.put_nowait(None)  # for whoever reads again
                        raise DevicesApart("The devices were moved apart.")
                    self._room.release()
                    self._ready = self._cutter.feed(unit)
        except (TimeoutError, ProtocolError) as error:
            self.abort()
            raise LinkClosed(f"The connection ended: {str(error) or 'too long silent'}.") from None
        return self._ready.pop(0)

    def abort(self) -> None:
        self._ending.set()
        self._orders.put(None)
        self._units.put_nowait(None)

    async def close(self) -> None:
        if not self._accepted and not self._ending.is_set():
            await asyncio.wait({self._gone}, timeout=CLOSE_SECONDS)
        self.abort()
        await asyncio.wait({self._gone}, timeout=CLOSE_SECONDS)

    def _send_orders(self) -> None:
        while (order := self._orders.get()) is not None:
            stream, done = order
            sent = self._send(stream)
            if not tell(self._loop, _settle, done, sent) or not sent:
                return

    def _send(self, stream: bytes) -> bool:
        try:
            size = self._socket.getsockopt(nfc.llcp.SO_SNDMIU)
            return all(
                self._socket.send(stream[start : start + size])
                for start in range(0, len(stream), size)
            )
        except Exception:  # noqa: BLE001 -- nfcpy has many ways to say that the link is gone
            return False

    def _take_units(self) -> None:
        try:
            while not self._ending.is_set() and self._take_unit():
                pass
            self._socket.close()
        except Exception:  # noqa: BLE001, S110 -- as above
            pass
        finally:
            self._orders.put(None)
            tell(self._loop, self._finish)

    def _take_unit(self) -> bool:
        """Wait a moment for a unit; whether the connection still stands.

        Only this thread waits to receive and closes: nfcpy wakes one waiter for each unit.
        """
        if not self._socket.poll("recv", _POLL_SECONDS):
            return self._socket.poll("send", 0) is not None  # None: the other side has closed
        unit = self._socket.recv()
        if unit is None:
            return False
        while not self._room.acquire(timeout=_POLL_SECONDS):
            if self._ending.is_set():
                return False
        return tell(self._loop, self._units.put_nowait, bytes(unit))

    def _finish(self) -> None:
        self._units.put_nowait(None)
        if not self._gone.done():
            self._gone.set_result(None)


def _settle(done: "asyncio.Future[Any]", sent: bool) -> None:  # noqa: FBT001 -- a callback
    if not done.done():
        done.set_result(sent)
