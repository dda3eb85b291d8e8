"""The local network: TCP, encrypted by a session that belongs to one request.

The payee listens and puts "lan:host:port" into the signed request; the payer connects. Instead of
host and port the address may be the name of an announced service (see `discovery`). Time limits
only end connections.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

from client_sdk.errors import LinkClosed
from client_sdk.transports import discovery
from client_sdk.transports.base import (
    EVIDENCE_BYTES,
    MESSAGE_BYTES_MAX,
    SILENCE_SECONDS,
    InvalidAddress,
)
from client_sdk.transports.reception import Reception
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import StreamReader, to_stream

SCHEME: Final = "lan:"
CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 5.0
CHUNK_BYTES: Final = 65_536
PORT_MAX: Final = 65_535
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 -- recognised, not bound
_FORM: Final = "Write host:port, such as 192.0.2.7:4100 or [2001:db8::7]:4100."


def split_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port", with or without "lan:" before it.

    Raises:
        InvalidAddress: another form.
    """
    host, colon, port = text.removeprefix(SCHEME).rpartition(":")
    digits = port.isascii() and port.isdigit() and len(port) <= len(str(PORT_MAX))
    well_formed = colon and host and digits and int(port) <= PORT_MAX
    if not well_formed:
        raise InvalidAddress(f"{text!r} is no address.", fix=_FORM)
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_service(address: str) -> bool:
    """Whether an address names an announced service, "lan:" and 16 digits, and no host."""
    return discovery.is_name(address.removeprefix(SCHEME))


def join_address(host: str, port: int) -> str:
    return f"{SCHEME}[{host}]:{port}" if ":" in host else f"{SCHEME}{host}:{port}"


def local_address() -> str:
    """The address by which this device is reached on its network; the loopback if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # For UDP this only picks a route: nothing is sent (192.0.2.1 is for documentation).
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


class TcpWire:
    """Length-prefixed messages over one TCP connection; see `Wire`."""

    bytes_max = MESSAGE_BYTES_MAX
    evidence_bytes = EVIDENCE_BYTES["lan"]

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._cutter = StreamReader(bytes_max=MESSAGE_BYTES_MAX)
        self._ready: deque[bytes] = deque()

    async def write(self, message: bytes) -> None:
        try:
            self._writer.write(to_stream(message))
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self.abort()
            reason = str(error) or "the other side does not read"
            raise LinkClosed(f"The connection ended while sending: {reason}.") from None

    async def read(self, *, seconds: float = SILENCE_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                while not self._ready:
                    data = await self._reader.read(CHUNK_BYTES)
                    if not data:
                        self.abort()
                        raise LinkClosed("The other side has closed the connection.")
                    self._ready.extend(self._cutter.feed(data))
        except (OSError, TimeoutError, ProtocolError) as error:
            self.abort()
            reason = str(error) or "too long silent"
            raise LinkClosed(f"The connection ended: {reason}.") from None
        return self._ready.popleft()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()


async def dial(
    address: str, *, request_id: bytes, interfaces: Sequence[str] | None = None
) -> TcpWire:
    """Connect to a payee; see `carriers.Dial`.

    Args:
        address: with host and port, or with the name of an announced service.
        request_id: of the request.
        interfaces: addresses of this device on which services are looked for; None means all.
    """
    if not is_service(address):
        return await open_wire(*split_address(address))
    found = await discovery.find(address.removeprefix(SCHEME), request_id, interfaces=interfaces)
    return await open_first(found.places)


async def open_first(places: Iterable[tuple[str, int]]) -> TcpWire:
    """Connect to the first of some hosts and ports that answers.

    Raises:
        LinkClosed: none does.
    """
    failure = LinkClosed("The payee names no address.")
    for host, port in places:
        try:
            return await open_wire(host, port)
        except LinkClosed as error:
            failure = error
    raise failure


async def open_wire(host: str, port: int) -> TcpWire:
    """Connect to a host.

    Raises:
        LinkClosed: nobody answers there.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, UnicodeError) as error:  # the last: a host that cannot be named
        raise LinkClosed(f"Nobody answers at {host}:{port}: {str(error) or 'too slow'}.") from None
    return TcpWire(reader, writer)


class LanListener(Reception):
    """Waits for payers; make one with `open`, before the request is signed."""

    def __init__(self, host: str, port: int, advertise: str | None, *, offers: bool) -> None:
        super().__init__()
        self.offers = offers
        self._bind = (host, port)
        self._advertise = advertise
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(
        cls, host: str, port: int, *, advertise: str | None = None, offers: bool = True
    ) -> Self:
        """Listen on an address; port 0 takes a free one.

        Args:
            host: address of this device.
            port: TCP port.
            advertise: "host:port" to put into requests instead, when payers reach it elsewhere.
            offers: whether a request that is offered is given out over the network too.

        Raises:
            InvalidAddress: the address cannot be listened on.
        """
        if advertise is not None:
            split_address(advertise)
        listener = cls(host, port, advertise, offers=offers)
        try:
            listener._server = await asyncio.start_server(listener._met, host, port)
        except (OSError, UnicodeError) as error:
            raise InvalidAddress(f"Cannot listen on {host}:{port}: {error}.") from None
        return listener

    @property
    def bound(self) -> tuple[str, int]:
        """Host and port that are listened on."""
        assert self._server is not None, "made by `open`"
        name = self._server.sockets[0].getsockname()
        return str(name[0]), int(name[1])

    @property
    def place(self) -> tuple[str, int]:
        """Host and port by which it is reached on this network."""
        host, port = self.bound
        return (local_address(), port) if self._bind[0] in EVERYWHERE else (host, port)

    @property
    def address(self) -> str:
        """What goes into the request, such as "lan:192.0.2.7:4100"."""
        if self._advertise is not None:
            return join_address(*split_address(self._advertise))
        return join_address(*self.place)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        self.meet(TcpWire(reader, writer), str(name[0]) if name else "")

    async def close(self) -> None:
        assert self._server is not None, "made by `open`"
        self._server.close()
        await super().close()
        await self._server.wait_closed()


@asynccontextmanager
async def listening(
    host: str, port: int, *, advertise: str | None = None
) -> AsyncIterator[LanListener]:
    """A listener that is closed at the end of the block."""
    listener = await LanListener.open(host, port, advertise=advertise)
    try:
        yield listener
    finally:
        await listener.close()
