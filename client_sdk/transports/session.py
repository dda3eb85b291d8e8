"""The encrypted session of a payer and a payee over any wire: Noise NK, bound to one request.

The payee speaks first and commits itself to the key that it will use in the handshake; only then
the payer shows its own. So nobody between two devices can search for keys that give both of them
the same six digits, and comparing the digits shows that the two are joined to one another.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from client_sdk.ambient import Entropy
from client_sdk.errors import LinkClosed
from client_sdk.transports.base import SILENCE_SECONDS, TAG_BYTES, Wire
from offline_protocol.errors import HandshakeFailed, ProtocolError
from offline_protocol.handshake import Channel, Initiator, Responder, session_public_key

HANDSHAKE_SECONDS: Final = 10.0
"""From the first byte to the open channel, or to the end of the connection."""
ANSWER_SECONDS: Final = SILENCE_SECONDS
"""How long the payer waits for the payee's machine."""
PATIENCE_SECONDS: Final = 180.0
"""How long the payee waits for the payer, who may be comparing digits."""

_VERSION: Final = b"\x01"
_ASK: Final = b"\x02"
_KEY_BYTES: Final = 32
_COMMITMENT_LABEL: Final = b"tallystick/1/ephemeral"


class WrongPeer(LinkClosed):
    """Who answered is not the device that signed the request, or bytes were changed on the way."""

    code = "wrong_peer"
    fix = "Take the request from the payee's screen again, and try again."


class SecureLink:
    """An encrypted connection of two devices; `code` is the same six digits on both screens."""

    def __init__(self, wire: Wire, channel: Channel, *, seconds: float) -> None:
        """Take an open channel and how long to wait for each frame."""
        self._wire = wire
        self._channel = channel
        self._seconds = seconds
        self._ended = False

    @property
    def code(self) -> str:
        return self._channel.code

    @property
    def evidence_bytes(self) -> int:
        """See `Wire`."""
        return self._wire.evidence_bytes

    async def send(self, frame: bytes) -> None:
        """Hand one frame over; see `Link.send`."""
        if len(frame) + TAG_BYTES > self._wire.bytes_max:
            raise LinkClosed(f"A frame of {len(frame)} bytes is too long for this connection.")
        await self._wire.write(self._channel.sending.encrypt(frame))

    async def receive(self) -> bytes:
        """The next frame; see `Link.receive`. After a failure there is no next one."""
        if self._ended:
            raise LinkClosed("The connection has ended.")
        try:
            frame = self._opened(await self._wire.read(seconds=self._seconds))
        except LinkClosed:
            self._ended = True
            raise
        if not frame:
            self._ended = True
            await self._wire.close()
            raise LinkClosed("The other side said goodbye.", clean=True)
        return frame

    def _opened(self, sealed: bytes) -> bytes:
        try:
            return self._channel.receiving.decrypt(sealed)
        except ProtocolError as error:
            self._wire.abort()
            raise WrongPeer(f"The connection was disturbed: {error.message}.") from None

    def abort(self) -> None:
        """End the connection without a word; harmless when it has ended."""
        self._wire.abort()

    async def close(self) -> None:
        """Say goodbye and end the connection."""
        try:
            await self.send(b"")
        except LinkClosed:
            return
        await self._wire.close()


Attend = Callable[[SecureLink], Awaitable[None]]
"""Serves one payer until the link ends."""


class Listener(Protocol):
    """Waits for payers; made before the request is signed, for its address goes into it."""

    @property
    def address(self) -> str:
        """What goes into the request, such as "lan:192.0.2.7:4100"."""
        ...

    def attend(
        self,
        attend: Attend,
        *,
        request_id: bytes,
        secret: bytes,
        entropy: Entropy,
        offered: bytes | None = None,
    ) -> None:
        """From now on shake hands for this request and let `attend` serve each payer.

        Args:
            attend: serves one payer; several run at the same time.
            request_id: of the request that is shown.
            secret: private key behind the request's session key.
            entropy: source of all randomness.
            offered: the request as a frame, given to anybody who asks for it over this carrier;
                None gives it to nobody.
        """
        ...

    async def close(self) -> None:
        """End all connections and listen no more; harmless when that has happened."""
        ...


async def call(
    wire: Wire, *, request_id: bytes, session_key: bytes, entropy: Entropy
) -> SecureLink:
    """Shake hands as the payer of a request.

    Raises:
        WrongPeer: the other side is not the payee of this request.
        LinkClosed: the wire has ended, or too slow.
    """
    with aborting(wire):
        greeting = await read_greeting(wire)
    return await shake(
        wire, greeting, request_id=request_id, session_key=session_key, entropy=entropy
    )


@contextmanager
def aborting(wire: Wire) -> Iterator[None]:
    """End the wire when the block fails or is cancelled."""
    try:
        yield
    except BaseException:
        wire.abort()
        raise


async def read_greeting(wire: Wire) -> bytes:
    """The payee's first message: what it commits itself to.

    Raises:
        LinkClosed: something else came, or nothing.
    """
    greeting = await wire.read(seconds=HANDSHAKE_SECONDS)
    if len(greeting) != len(_VERSION) + _KEY_BYTES or not greeting.startswith(_VERSION):
        raise LinkClosed("The device that answered speaks another version.")
    return greeting


async def ask_request(wire: Wire) -> bytes:
    """After the greeting: the request that the payee offers, as a frame.

    The frame has not been checked, and nothing yet says whose it is: the payer looks at the
    certified name in it and compares the digits.

    Raises:
        LinkClosed: the payee offers none here.
    """
    await wire.write(_ASK)
    return await wire.read(seconds=HANDSHAKE_SECONDS)


async def shake(
    wire: Wire, greeting: bytes, *, request_id: bytes, session_key: bytes, entropy: Entropy
) -> SecureLink:
    """The payer's handshake after the greeting; see `call`."""
    handshake = Initiator(
        prologue=request_id, remote_static=session_key, ephemeral=entropy(_KEY_BYTES)
    )
    with aborting(wire):
        try:
            await wire.write(handshake.write_message())
            reply = await wire.read(seconds=HANDSHAKE_SECONDS)
            _need_empty(handshake.read_message(reply))
        except ProtocolError as error:
            raise WrongPeer(f"Another device answered: {error.message}.") from None
        if _commitment(reply[:_KEY_BYTES]) != greeting:
            raise WrongPeer("Another device answered: not with the key that it had promised.")
    return SecureLink(wire, handshake.channel, seconds=ANSWER_SECONDS)


def _need_empty(payload: bytes) -> None:
    if payload:
        raise HandshakeFailed("a handshake message carries more than the handshake")


async def answer(
    wire: Wire,
    *,
    request_id: bytes,
    secret: bytes,
    entropy: Entropy,
    offered: bytes | None = None,
) -> SecureLink:
    """Shake hands as the payee of a request; arguments as in `Listener.attend`.

    Raises:
        WrongPeer: the other side does not know the request.
        LinkClosed: the wire has ended, or the whole took longer than `HANDSHAKE_SECONDS`.
    """
    ephemeral = entropy(_KEY_BYTES)
    handshake = Responder(prologue=request_id, static=secret, ephemeral=ephemeral)
    with aborting(wire):
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await wire.write(_commitment(session_public_key(ephemeral)))
                message = await wire.read(seconds=HANDSHAKE_SECONDS)
                if message == _ASK and offered is not None:
                    await wire.write(offered)
                    message = await wire.read(seconds=HANDSHAKE_SECONDS)
                _need_empty(handshake.read_message(message))
                await wire.write(handshake.write_message())
        except ProtocolError as error:
            raise WrongPeer(f"A stranger to this request: {error.message}.") from None
        except TimeoutError:
            raise LinkClosed("The other side was too slow.") from None
    return SecureLink(wire, handshake.channel, seconds=PATIENCE_SECONDS)


def _commitment(public_key: bytes) -> bytes:
    return _VERSION + hashlib.sha256(_COMMITMENT_LABEL + public_key).digest()
