"""The payer's side: find the payee of a request by Bluetooth, open a session, take it up again."""

import asyncio
import hashlib
import time
from typing import Final

from client_sdk.ambient import Entropy, system_entropy
from client_sdk.errors import LinkClosed
from client_sdk.transports.base import MESSAGE_BYTES_MAX
from client_sdk.transports.ble.adapters import Central, Connection, NoBluetooth, open_central
from client_sdk.transports.ble.fragments import (
    KEY_BYTES,
    Close,
    Ending,
    MalformedFragment,
    Open,
    OtherVersion,
    Resume,
    Welcome,
    decode,
)
from client_sdk.transports.ble.naming import service_uuid, split_address
from client_sdk.transports.ble.stream import WINDOW_BYTES, Stream, StreamBroken
from client_sdk.transports.ble.wire import ENDINGS, RESUME_SECONDS, RESUMES_MAX, BleWire

CONNECT_SECONDS: Final = 20.0
"""To find the payee, connect and shake hands, all attempts together."""
WELCOME_SECONDS: Final = 5.0

_KEY_LABEL: Final = b"tallystick/1/ble/resume"


def lock_of(key: bytes) -> bytes:
    """The lock that a key opens: the first bytes of a hash, so that only its maker knows the key.

    Each key is the lock of the next one. What is shown on the air is of no use to who hears it.
    """
    return hashlib.sha256(_KEY_LABEL + key).digest()[:KEY_BYTES]


class Caller:
    """The payer in one session; the `Way` of its wire."""

    def __init__(self, central: Central, token: bytes, *, entropy: Entropy) -> None:
        self._central = central
        self._service = service_uuid(token)
        self._keys = [entropy(KEY_BYTES)]
        for _ in range(RESUMES_MAX):
            self._keys.append(lock_of(self._keys[-1]))
        self._opened = False

    async def attach(self, stream: Stream) -> Connection:
        """Open the session, or take it up again; several times if a connection breaks at once."""
        seconds = RESUME_SECONDS if self._opened else CONNECT_SECONDS
        deadline = time.monotonic() + seconds
        failure = LinkClosed("The Bluetooth connection was lost too often.")
        while self._keys and (left := deadline - time.monotonic()) > 0:
            try:
                return await self._begin(stream, seconds=left)
            except (_Refused, NoBluetooth):
                raise
            except LinkClosed as error:
                failure = error
        raise failure

    async def part(self, connection: Connection) -> None:
        await connection.disconnect()

    async def release(self) -> None:
        await self._central.close()

    async def _begin(self, stream: Stream, *, seconds: float) -> Connection:
        connection = await self._central.connect(self._service, seconds=seconds)
        try:
            key = self._keys.pop()
            greeting: Open | Resume = Open(WINDOW_BYTES, key)
            if self._opened:
                greeting = Resume(WINDOW_BYTES, key, stream.incoming.told())
            await connection.send(greeting.encode())
            async with asyncio.timeout(WELCOME_SECONDS):
                welcome = await _welcome(connection)
            stream.attach(window=welcome.window, received=welcome.received)
        except TimeoutError:
            await connection.disconnect()
            raise LinkClosed("The payee's device did not answer.") from None
        except BaseException:
            await connection.disconnect()
            raise
        self._opened = True
        return connection


class _Refused(LinkClosed):
    """The payee has answered, and will answer the same again."""


async def _welcome(connection: Connection) -> Welcome:
    while True:
        try:
            match decode(await connection.receive()):
                case Welcome() as welcome:
                    return welcome
                case Close(reason=reason) if reason in set(Ending):
                    raise _Refused(ENDINGS[Ending(reason)])
                case Close():
                    raise _Refused(ENDINGS[Ending.DONE])
                case _:
                    pass
        except OtherVersion:
            raise _Refused(ENDINGS[Ending.VERSION]) from None
        except MalformedFragment:
            pass


async def dial(
    address: str,
    *,
    request_id: bytes,  # noqa: ARG001 -- the token in the address says whom to look for
    adapter: str | Central | None = None,
    entropy: Entropy = system_entropy,
) -> BleWire:
    """Connect to the payee of a request; see `carriers.Dial`.

    Args:
        address: "ble:" and the payee's token.
        request_id: of the request.
        adapter: as for `open_central`, or an open one, which is closed with the wire.
        entropy: makes the keys by which the session is taken up again.

    Raises:
        InvalidAddress: another form of address.
        MissingExtra: the Python library for Bluetooth is not installed.
        NoBluetooth: there is no Bluetooth here.
        LinkClosed: the payee was not found.
    """
    token = split_address(address)
    central = adapter
    if central is None or isinstance(central, str):
        central = await open_central(central)
    caller, stream = Caller(central, token, entropy=entropy), Stream(bytes_max=MESSAGE_BYTES_MAX)
    try:
        connection = await caller.attach(stream)
    except StreamBroken as error:
        await central.close()
        raise LinkClosed(f"The payee's device makes no sense: {error}.") from None
    except BaseException:
        await central.close()
        raise
    return BleWire(caller, stream, connection)
