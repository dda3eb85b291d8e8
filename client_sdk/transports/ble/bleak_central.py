"""The payer on the Bluetooth of the operating system, by Bleak: BlueZ, Windows, macOS."""

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

from bleak import BleakClient, BleakScanner
from bleak.args.bluez import BlueZClientArgs, BlueZScannerArgs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError, BleakError

from client_sdk.errors import LinkClosed
from client_sdk.transports.ble.adapters import NoBluetooth
from client_sdk.transports.ble.fragments import VALUE_BYTES_MAX
from client_sdk.transports.ble.naming import TO_PAYEE, TO_PAYER
from client_sdk.transports.ble.patience import within

VALUES_MAX: Final = 1_024
"""Values kept unread; what comes beyond is dropped, which the layer above notices."""
LEAVE_SECONDS: Final = 10.0
FAILURES: Final = (BleakError, OSError, EOFError, TimeoutError)
"""What Bleak raises; on Linux also the errors of a D-Bus that is not there or goes away."""


class BleakConnection:
    """One connection of the operating system's to a payee."""

    def __init__(self) -> None:
        self._values: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._client: BleakClient | None = None
        self._inbox: BleakGATTCharacteristic | None = None

    async def open(self, client: BleakClient, service: UUID) -> None:
        """Connect, find the two characteristics and subscribe.

        Raises:
            LinkClosed: it is no payee.
        """
        self._client = client
        await client.connect()
        offered = client.services.get_service(str(service))
        found = {one.uuid: one for one in offered.characteristics} if offered else {}
        outbox = found.get(str(TO_PAYER))
        self._inbox = found.get(str(TO_PAYEE))
        if outbox is None or self._inbox is None:
            raise LinkClosed("The payee's device speaks another version over Bluetooth.")
        await client.start_notify(outbox, self._notified)

    @property
    def value_bytes(self) -> int:
        assert self._inbox is not None, "set when it was opened"
        return min(self._inbox.max_write_without_response_size, VALUE_BYTES_MAX)

    async def send(self, value: bytes) -> None:
        assert self._client is not None, "set when it was opened"
        assert self._inbox is not None, "set when it was opened"
        try:
            await self._client.write_gatt_char(self._inbox, value, response=False)
        except FAILURES as error:
            self.ended()
            raise LinkClosed(f"The Bluetooth connection failed: {error}.") from None

    async def receive(self) -> bytes:
        value = await self._values.get()
        if value is None:
            self._values.put_nowait(None)
            raise LinkClosed("The Bluetooth connection has ended.")
        return value

    async def disconnect(self) -> None:
        self.ended()
        if self._client is not None:
            with suppress(*FAILURES):
                await within(LEAVE_SECONDS, self._client.disconnect())

    def ended(self, *_: object) -> None:
        """Note the end of the connection; Bleak calls this too."""
        self._values.put_nowait(None)

    def _notified(self, _: BleakGATTCharacteristic, value: bytearray) -> None:
        if self._values.qsize() < VALUES_MAX:
            self._values.put_nowait(bytes(value))


class BleakCentral:
    """The payer's side of the operating system's Bluetooth."""

    def __init__(self, adapter: str | None = None) -> None:
        """Use the default adapter, or on Linux the one with this name, such as "hci1"."""
        self._scanner_arguments: BlueZScannerArgs = {} if adapter is None else {"adapter": adapter}
        self._client_arguments: BlueZClientArgs = {} if adapter is None else {"adapter": adapter}

    async def connect(self, service: UUID, *, seconds: float) -> BleakConnection:
        try:
            return await within(seconds, self._connect(service))
        except TimeoutError:
            raise LinkClosed("The payee's device was not found by Bluetooth.") from None
        except BleakBluetoothNotAvailableError as error:
            reason = error.reason.name.lower().replace("_", " ")
            raise NoBluetooth(f"Bluetooth cannot be used: {reason}.") from None
        except BleakError as error:
            raise LinkClosed(f"The Bluetooth connection failed: {error}.") from None
        except (OSError, EOFError) as error:  # no D-Bus, or it has gone
            raise NoBluetooth(f"This system has no Bluetooth service: {error}.") from None

    async def _connect(self, service: UUID) -> BleakConnection:
        connection = BleakConnection()
        client = BleakClient(
            await self._find(service),
            disconnected_callback=connection.ended,
            bluez=self._client_arguments,
        )
        try:
            await connection.open(client, service)
        except BaseException:
            await connection.disconnect()
            raise
        return connection

    async def _find(self, service: UUID) -> BLEDevice:
        wanted = str(service)
        found: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()

        def look(device: BLEDevice, seen: AdvertisementData) -> None:
            # Systems also report devices that match no filter.
            if wanted in seen.service_uuids and not found.done():
                found.set_result(device)

        async with BleakScanner(look, [wanted], bluez=self._scanner_arguments):
            return await found

    async def close(self) -> None:
        """Nothing is kept open between connections."""
