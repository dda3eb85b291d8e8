"""The local network: TCP, encrypted by a Noise NK session that belongs to one request.

The payee listens and puts "lan:host:port" into the signed request; the payer connects. Time limits
only end connections. An empty message says goodbye: all before it has arrived.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Self

from client_sdk.ambient import Entropy
from client_sdk.errors import LinkClosed, WalletError
from offline_protocol.constants import FRAME_BYTES_MAX
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import StreamReader, to_stream
from offline_protocol.handshake import Channel, Initiator, Responder

SCHEME: Final = "lan:"
EPHEMERAL_BYTES: Final = 32
TAG_BYTES: Final = 16
CONNECT_SECONDS: Final = 10.0
SILENCE_SECONDS: Final = 30.0
CHUNK_BYTES: Final = 65_536
GUESTS_MAX: Final = 16
"""Connections at one time; further ones are sent away."""
PORT_MAX: Final = 65_535
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 -- recognised, not bound


class InvalidAddress(WalletError):
    code = "invalid_address"
    fix = "Write host:port, such as 192.0.2.7:4100 or [2001:db8::7]:4100."


def split_address(text: str) -> tuple[str, int]:
    """Host and port of "host:port", with or without "lan:" before it.

    Raises:
        InvalidAddress: another form.
    """
    host, colon, port = text.removeprefix(SCHEME).rpartition(":")
    well_formed = colon and host and port.isascii() and port.isdigit() and int(port) <= PORT_MAX
    if not well_formed:
        raise InvalidAddress(f"{text!r} is no address.")
    return host.removeprefix("[").removesuffix("]"), int(port)


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


class _Stream:
    """Length-prefixed messages over one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._cutter = StreamReader(bytes_max=FRAME_BYTES_MAX + TAG_BYTES)
        self._ready: list[bytes] = []

    async def write(self, message: bytes) -> None:
        try:
            self._writer.write(to_stream(message))
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self.abort()
            raise LinkClosed(f"The connection ended while sending: {error}.") from None

    async def read(self, *, seconds: float = SILENCE_SECONDS) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                while not self._ready:
                    data = await self._reader.read(CHUNK_BYTES)
                    if not data:
                        self.abort()
                        raise LinkClosed("The other side has closed the connection.")
                    self._ready = self._cutter.feed(data)
        except (OSError, TimeoutError, ProtocolError) as error:
            self.abort()
            reason = str(error) or "too long silent"
            raise LinkClosed(f"The connection ended: {reason}.") from None
        return self._ready.pop(0)

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.abort()


class LanLink:
    """An encrypted connection; `code` is the same six digits on both screens."""

    def __init__(self, stream: _Stream, channel: Channel) -> None:
        self._stream = stream
        self._channel = channel

    @property
    def code(self) -> str:
        return self._channel.code

    async def send(self, frame: bytes) -> None:
        await self._stream.write(self._channel.sending.encrypt(frame))

    async def receive(self) -> bytes:
        sealed = await self._stream.read()
        try:
            frame = self._channel.receiving.decrypt(sealed)
        except ProtocolError as error:
            self._stream.abort()
            raise LinkClosed(f"The connection was disturbed: {error.message}.") from None
        if not frame:
            await self._stream.close()
            raise LinkClosed("The other side said goodbye.", clean=True)
        return frame

    def abort(self) -> None:
        """End the connection without a word; harmless when it has ended."""
        self._stream.abort()

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        try:
            await self.send(b"")
        except LinkClosed:
            return
        await self._stream.close()


async def connect(
    address: str, *, request_id: bytes, session_key: bytes, entropy: Entropy
) -> LanLink:
    """Connect to a payee and shake hands for this request.

    Raises:
        InvalidAddress: not "lan:host:port".
        LinkClosed: nobody answers there, or not with the request's session key.
    """
    host, port = split_address(address)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, UnicodeError) as error:  # the last: a host that cannot be named
        raise LinkClosed(f"Nobody answers at {host}:{port}: {str(error) or 'too slow'}.") from None
    stream = _Stream(reader, writer)
    handshake = Initiator(
        prologue=request_id, remote_static=session_key, ephemeral=entropy(EPHEMERAL_BYTES)
    )
    try:
        await stream.write(handshake.write_message())
        handshake.read_message(await stream.read(seconds=CONNECT_SECONDS))
    except ProtocolError as error:
        stream.abort()
        raise LinkClosed(f"The device at {host}:{port} is another one: {error.message}.") from None
    except asyncio.CancelledError:
        stream.abort()
        raise
    return LanLink(stream, handshake.channel)


Attend = Callable[[LanLink], Awaitable[None]]


class LanListener:
    """Waits for payers; make one with `open`, before the request is signed."""

    def __init__(self, host: str, port: int, advertise: str | None) -> None:
        self._bind = (host, port)
        self._advertise = advertise
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()
        self._attended = asyncio.Event()
        self._welcome: Callable[[_Stream], Awaitable[None]] | None = None

    @classmethod
    async def open(cls, host: str, port: int, *, advertise: str | None = None) -> Self:
        """Listen on an address; port 0 takes a free one.

        Args:
            host: address of this device.
            port: TCP port.
            advertise: "host:port" to put into requests instead, when payers reach it elsewhere.

        Raises:
            InvalidAddress: the address cannot be listened on.
        """
        if advertise is not None:
            split_address(advertise)
        listener = cls(host, port, advertise)
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
    def address(self) -> str:
        """What goes into the request, such as "lan:192.0.2.7:4100"."""
        if self._advertise is not None:
            return join_address(*split_address(self._advertise))
        host = local_address() if self._bind[0] in EVERYWHERE else self._bind[0]
        return join_address(host, self.bound[1])

    def attend(self, attend: Attend, *, request_id: bytes, secret: bytes, entropy: Entropy) -> None:
        """From now on shake hands for this request and let `attend` serve each payer.

        Payers are served at the same time, so one whose connection hangs keeps nobody waiting;
        those who do not know the request are sent away.
        """

        async def welcome(stream: _Stream) -> None:
            handshake = Responder(
                prologue=request_id, static=secret, ephemeral=entropy(EPHEMERAL_BYTES)
            )
            handshake.read_message(await stream.read(seconds=CONNECT_SECONDS))
            await stream.write(handshake.write_message())
            await attend(LanLink(stream, handshake.channel))

        self._welcome = welcome
        self._attended.set()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = _Stream(reader, writer)
        guest = asyncio.current_task()
        assert guest is not None, "the server runs this in a task"
        if len(self._guests) >= GUESTS_MAX:
            stream.abort()
            return
        self._guests.add(guest)
        try:
            await self._attended.wait()
            assert self._welcome is not None, "set together with the event"
            await self._welcome(stream)
        except (LinkClosed, ProtocolError, asyncio.CancelledError):
            pass  # not a payer of this request, or the listener closes
        finally:
            self._guests.discard(guest)
            stream.abort()

    async def close(self) -> None:
        assert self._server is not None, "made by `open`"
        self._server.close()
        guests = list(self._guests)
        for guest in guests:
            guest.cancel()
        await asyncio.gather(*guests, return_exceptions=True)
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
