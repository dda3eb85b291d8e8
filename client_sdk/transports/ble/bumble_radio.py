"""A Bluetooth controller of our own with Bumble's host stack: switched on, and its connections.

The address on the air is a resolvable private one from a key that is made here and kept nowhere:
like a phone's, and another one each time. Pairing is refused; nothing here needs it.
"""

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final, TypeVar

from bumble import hci
from bumble.core import BaseBumbleError, PhysicalTransport
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport
from bumble.transport.common import Transport

from client_sdk.errors import LinkClosed
from client_sdk.transports.ble.adapters import NoBluetooth
from client_sdk.transports.ble.fragments import VALUE_BYTES_MAX
from client_sdk.transports.ble.patience import unbroken, within

MTU_MAX: Final = 517
IRK_BYTES: Final = 16
VALUES_MAX: Final = 1_024
"""Values kept unread; what comes beyond is dropped, which the layer above notices."""
START_SECONDS: Final = 10.0
NOTIFY_HEAD_BYTES: Final = 3
"""Of a notification and of a write: operation and handle."""
FAILURES: Final = (BaseBumbleError, OSError, TimeoutError)

T = TypeVar("T")

# Bumble warns about what a lost connection leaves behind; who wants that installs a handler.
logging.getLogger("bumble").addHandler(logging.NullHandler())


class _NoPairing(PairingDelegate):
    async def accept(self) -> bool:
        return False


async def open_radio(name: str) -> Transport:
    """Open a controller by Bumble's name for it.

    Raises:
        NoBluetooth: no such controller, or it cannot be had.
    """
    try:
        return await within(START_SECONDS, open_transport(name))
    except ModuleNotFoundError as error:
        raise NoBluetooth(f"The controller {name} needs the package {error.name}.") from None
    except Exception as error:  # noqa: BLE001 -- each kind of driver has errors of its own
        reason = str(error) or type(error).__name__
        raise NoBluetooth(f"The Bluetooth controller {name} cannot be used: {reason}.") from None


async def start_device(transport: Transport) -> Device:
    """Put a host stack on a controller and switch it on.

    Raises:
        NoBluetooth: what answers is no Bluetooth controller, or nothing answers.
    """
    configuration = DeviceConfiguration(
        name="", le_privacy_enabled=True, le_rpa_timeout=0, irk=secrets.token_bytes(IRK_BYTES)
    )
    device = Device(
        config=configuration,
        host=Host(controller_source=transport.source, controller_sink=transport.sink),
    )
    device.pairing_config_factory = lambda _: PairingConfig(delegate=_NoPairing())
    try:
        await within(START_SECONDS, device.power_on())
    except FAILURES as error:
        await transport.close()
        reason = str(error) or "it does not answer"
        raise NoBluetooth(f"The Bluetooth controller cannot be started: {reason}.") from None
    return device


async def stop_device(device: Device, transport: Transport) -> None:
    """End all connections and give the controller back."""
    for connection in list(device.connections.values()):
        await end(connection)
    with suppress(*FAILURES):
        await within(START_SECONDS, device.power_off())
    await transport.close()


async def end(connection: Connection) -> None:
    """Disconnect; harmless when that has happened."""
    device, gone = connection.device, asyncio.Event()
    if device.connections.get(connection.handle) is not connection:
        return
    connection.on(Connection.EVENT_DISCONNECTION, lambda _: gone.set())
    command = hci.HCI_Disconnect_Command(
        connection_handle=connection.handle,
        reason=hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR,
    )
    with suppress(*FAILURES):
        await unbroken(device.send_async_command(command))
        async with asyncio.timeout(START_SECONDS):
            await gone.wait()


class BumbleConnection(ABC):
    """One connection, from either side."""

    def __init__(self, connection: Connection, transport: Transport) -> None:
        self._connection = connection
        self._values: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost = transport.source.terminated
        self._lost.add_done_callback(self._ended)
        connection.on(Connection.EVENT_DISCONNECTION, self._ended)

    @property
    def value_bytes(self) -> int:
        return min(self._connection.att_mtu - NOTIFY_HEAD_BYTES, VALUE_BYTES_MAX)

    def arrived(self, value: bytes) -> None:
        """Take a value from Bumble."""
        if self._values.qsize() < VALUES_MAX and not self._gone.done():
            self._values.put_nowait(value)

    async def send(self, value: bytes) -> None:
        await self.while_connected(self._put(value))
        queue = self._connection.data_packet_queue
        while queue is not None and queue.pending > queue.max_in_flight and not self._gone.done():
            flow = asyncio.Event()
            queue.on("flow", flow.set)
            try:
                await self.while_connected(flow.wait())
            finally:
                queue.remove_listener("flow", flow.set)

    @abstractmethod
    async def _put(self, value: bytes) -> None:
        """Hand a value to Bumble, which takes it at once and queues it."""

    async def receive(self) -> bytes:
        value = await self._values.get()
        if value is None:
            self._values.put_nowait(None)
            raise LinkClosed("The Bluetooth connection has ended.")
        return value

    async def disconnect(self) -> None:
        await end(self._connection)
        self._ended()

    async def while_connected(self, work: Awaitable[T]) -> T:
        """Wait for work of Bumble's, which may hang or be cancelled when the connection ends.

        Raises:
            LinkClosed: the connection ended first, or the other side refused.
        """
        task = asyncio.ensure_future(work)
        either: list[asyncio.Future[Any]] = [task, self._gone]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done() and not task.cancelled():
                return task.result()
        except FAILURES as error:
            raise LinkClosed(f"The Bluetooth connection failed: {error}.") from None
        finally:
            task.cancel()
        raise LinkClosed("The Bluetooth connection has ended.")

    def _ended(self, *_: Any) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
            self._values.put_nowait(None)
            self._lost.remove_done_callback(self._ended)


def is_low_energy(connection: Connection, role: hci.Role) -> bool:
    return connection.transport == PhysicalTransport.LE and connection.role == role
