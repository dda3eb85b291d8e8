"""One NFC device, run by a thread: each touch is a link (LLCP) until the devices part."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, Final, Literal, Self

import nfc  # type: ignore[import-untyped]
import nfc.llcp  # type: ignore[import-untyped]

from client_sdk.errors import LinkClosed
from client_sdk.transports.nfc import SERVICE, NoNfcDevice, tell
from offline_protocol.frames import to_stream

Llc = Any
"""nfcpy's controller of one link."""
Role = Literal["initiator", "target"]

MIU_BYTES: Final = 2_175
"""Largest unit that a link carries; the greatest that LLCP allows. The other side has its own."""
WINDOW_UNITS: Final = 15
"""Units on the way without an acknowledgement; the greatest that LLCP allows."""
LINK_TIMEOUT_MS: Final = 1_000
"""Silence after which a link counts as ended."""
WAITING_TIME: Final = 10
"""Index of the time in which a unit is answered, here 309 ms; the greatest that LLCP allows. A
busy device needs it: nfcpy gives a link up when three such times have passed."""
CLOSE_SECONDS: Final = 5.0
BACKLOG: Final = 4
KNOCK: Final = to_stream(b"")
KNOCKS_MAX: Final = 5
KNOCK_SECONDS: Final = 1.0

logging.getLogger("nfc").addHandler(logging.NullHandler())  # it reports each parting as an error


class Device:
    """Made by `open`; it looks for the other device from `start` to `close`.

    Attributes:
        loop: the event loop it was opened in.
    """

    def __init__(self, path: str, role: Role) -> None:
        self._path = path
        self._role = role
        self.loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self.loop.create_future()
        self._ended: asyncio.Future[None] = self.loop.create_future()
        self._go = threading.Event()
        self._stop = threading.Event()
        self._prepare: Callable[[Llc], None] = lambda _: None
        self._met: Callable[[Llc], None] = lambda _: None
        self._parted: Callable[[], None] = lambda: None

    @classmethod
    async def open(cls, path: str, role: Role) -> Self:
        """Take a device into use.

        Raises:
            NoNfcDevice: there is no such device, or it cannot be used.
        """
        device = cls(path, role)
        threading.Thread(target=device._run, name=f"nfc {path}", daemon=True).start()
        await device._opened
        return device

    def start(
        self,
        *,
        prepare: Callable[[Llc], None],
        met: Callable[[Llc], None],
        parted: Callable[[], None],
    ) -> None:
        """Look for the other device from now on; all three are called in the device's thread.

        Args:
            prepare: binds services before a link is made.
            met: a link is there; must not block.
            parted: it has ended.
        """
        self._prepare, self._met, self._parted = prepare, met, parted
        self._go.set()

    @property
    def ended(self) -> "asyncio.Future[None]":
        """Done when the device is no longer run, with `LinkClosed` if it has failed."""
        return self._ended

    async def close(self) -> None:
        """End the link and give the device back; harmless when that has happened."""
        self._stop.set()
        self._go.set()
        await asyncio.wait({self._ended}, timeout=CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            frontend = nfc.ContactlessFrontend(self._path)
        except Exception as error:  # noqa: BLE001 -- nfcpy names drivers that are not there in many ways
            tell(self.loop, self._open_failed, str(error))
            return
        failure: LinkClosed | None = None
        try:
            tell(self.loop, self._opened.set_result, None)
            self._go.wait()
            while not self._stop.is_set() and failure is None:
                failure = self._look(frontend)
        finally:
            frontend.close()
            tell(self.loop, self._finish, failure)

    def _look(self, frontend: Any) -> LinkClosed | None:
        """One touch, from looking for the other device to parting."""
        options = {
            "role": self._role,
            "miu": MIU_BYTES,
            "lto": LINK_TIMEOUT_MS,
            "rwt": WAITING_TIME,
            "sec": False,  # the session encrypts by itself
            "on-startup": self._started,
            "on-connect": self._connected,
            "on-release": self._released,
        }
        try:
            found = frontend.connect(llcp=options, terminate=self._stop.is_set)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- also what nfcpy raises to end a thread
            return LinkClosed(f"The NFC device failed: {error!r}.")
        if found is False:
            return LinkClosed("The NFC device is no longer there.")
        return None

    def _started(self, llc: Llc) -> Llc:
        self._prepare(llc)
        return llc

    def _connected(self, llc: Llc) -> bool:
        self._met(llc)
        return True

    def _released(self, _: Llc) -> bool:
        self._parted()
        return True

    def _open_failed(self, reason: str) -> None:
        self._ended.set_result(None)
        if not self._opened.done():
            self._opened.set_exception(
                NoNfcDevice(f"The NFC device {self._path} cannot be used: {reason}.")
            )

    def _finish(self, failure: LinkClosed | None) -> None:
        if failure is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)
            self._ended.exception()  # retrieved here; whoever waits gets it again


def connect(llc: Llc) -> Any:
    """Connect to the session's service on the other device. Blocks.

    nfcpy may lose what arrives while it accepts a connection, and send what follows on one before
    the confirmation. So each side shows first, by an empty message, that it hears the other one.

    Raises:
        ConnectRefused: the other device has no such service.
        OSError: the link has ended, or the other device does not answer.
    """
    for _ in range(KNOCKS_MAX):
        socket = _data_link(llc)
        socket.connect(SERVICE)
        socket.send(KNOCK)
        if socket.poll("recv", KNOCK_SECONDS) and socket.recv() == KNOCK:
            return socket
        threading.Thread(target=socket.close, name="nfc close", daemon=True).start()
    raise TimeoutError("nobody answers")


def listen(llc: Llc) -> Any:
    """A socket that waits for connections to the session's service."""
    socket = _data_link(llc)
    socket.bind(SERVICE)
    socket.listen(BACKLOG)
    return socket


def accept(listening: Any) -> Any | None:
    """The next connection, or None if that was none of ours. Blocks.

    Raises:
        OSError: the link has ended.
    """
    socket = listening.accept()
    if socket.recv() == KNOCK and socket.send(KNOCK):
        return socket
    socket.close()
    return None


def _data_link(llc: Llc) -> Any:
    """A socket for a connection, with room for many units."""
    socket = nfc.llcp.Socket(llc, nfc.llcp.DATA_LINK_CONNECTION)
    socket.setsockopt(nfc.llcp.SO_RCVMIU, MIU_BYTES)
    socket.setsockopt(nfc.llcp.SO_RCVBUF, WINDOW_UNITS)
    return socket
