"""The payee on Bumble: advertises a service and takes the centrals that connect."""

import asyncio
from contextlib import suppress
from typing import Final, Self
from uuid import UUID

from bumble import core, hci
from bumble.att import Attribute, AttributeValue
from bumble.core import AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, Service
from bumble.transport.common import Transport

from client_sdk.errors import LinkClosed
from client_sdk.transports.ble.adapters import NoBluetooth
from client_sdk.transports.ble.bumble_radio import (
    FAILURES,
    MTU_MAX,
    START_SECONDS,
    BumbleConnection,
    is_low_energy,
    open_radio,
    start_device,
    stop_device,
)
from client_sdk.transports.ble.naming import TO_PAYEE, TO_PAYER
from client_sdk.transports.ble.patience import within

ADVERTISE_MS: Final = 20.0
"""Interval of advertising: dense, for a person waits, and it lasts minutes at most."""
_NOT_CLASSIC: Final = 0x06
"""Flags: generally discoverable, no BR/EDR."""


class _ToPayer(BumbleConnection):
    """A payee's connection: notifies by one characteristic; writes to the other arrive here."""

    def __init__(
        self, connection: Connection, transport: Transport, outbox: Characteristic[bytes]
    ) -> None:
        super().__init__(connection, transport)
        self._outbox = outbox

    async def _put(self, value: bytes) -> None:
        await self._connection.device.notify_subscriber(self._connection, self._outbox, value)


class BumblePeripheral:
    """The payee's side of one controller."""

    def __init__(self, device: Device, transport: Transport, *, mtu: int = MTU_MAX) -> None:
        self._device = device
        self._transport = transport
        self._device.gatt_server.max_mtu = mtu
        self._guests: dict[Connection, BumbleConnection] = {}
        self._new: asyncio.Queue[BumbleConnection | None] = asyncio.Queue()
        self._again = asyncio.Event()
        self._closed = False
        self._advertising: asyncio.Task[None] | None = None
        transport.source.terminated.add_done_callback(lambda _: self._new.put_nowait(None))

    @classmethod
    async def open(cls, name: str | Transport, *, mtu: int = MTU_MAX) -> Self:
        """Take a controller by name, or an open transport to one; grant at most this ATT MTU.

        Raises:
            NoBluetooth: there is none.
        """
        transport = name if isinstance(name, Transport) else await open_radio(name)
        return cls(await start_device(transport), transport, mtu=mtu)

    async def advertise(self, service: UUID) -> None:
        uuid = core.UUID(str(service))
        inbox: Characteristic[bytes] = Characteristic(
            core.UUID(str(TO_PAYEE)),
            Characteristic.Properties.WRITE | Characteristic.Properties.WRITE_WITHOUT_RESPONSE,
            Attribute.WRITEABLE,
            AttributeValue(write=self._written),
        )
        self._outbox: Characteristic[bytes] = Characteristic(
            core.UUID(str(TO_PAYER)),
            Characteristic.Properties.NOTIFY,
            Attribute.READABLE,
            b"",
        )
        self._device.add_service(Service(uuid, [inbox, self._outbox]))
        self._device.on(Device.EVENT_CONNECTION, self._met)
        data = bytes(
            AdvertisingData(
                [
                    (AdvertisingData.FLAGS, bytes([_NOT_CLASSIC])),
                    (AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, uuid.to_bytes()),
                ]
            )
        )
        try:
            await within(START_SECONDS, self._start(data))
        except FAILURES as error:
            raise NoBluetooth(f"The Bluetooth controller cannot advertise: {error}.") from None
        self._advertising = asyncio.create_task(self._keep_advertising(data))

    async def accept(self) -> BumbleConnection:
        guest = await self._new.get()
        if guest is None:
            self._new.put_nowait(None)
            raise LinkClosed("Bluetooth was closed.")
        return guest

    async def close(self) -> None:
        self._closed = True
        self._again.set()
        if self._advertising is not None:
            await self._advertising
        self._new.put_nowait(None)
        await stop_device(self._device, self._transport)

    def _met(self, connection: Connection) -> None:
        if not is_low_energy(connection, hci.Role.PERIPHERAL):
            return

        def left(_: int) -> None:
            self._guests.pop(connection, None)
            self._again.set()

        self._guests[connection] = guest = _ToPayer(connection, self._transport, self._outbox)
        connection.on(Connection.EVENT_DISCONNECTION, left)
        self._new.put_nowait(guest)
        self._again.set()

    def _written(self, connection: Connection, value: bytes) -> None:
        guest = self._guests.get(connection)
        if guest is not None:
            guest.arrived(value)

    async def _start(self, data: bytes) -> None:
        await self._device.start_advertising(
            advertising_data=data,
            scan_response_data=b"",
            advertising_interval_min=ADVERTISE_MS,
            advertising_interval_max=ADVERTISE_MS,
        )

    async def _keep_advertising(self, data: bytes) -> None:
        """A controller stops advertising when somebody connects: start it again each time.

        One that cannot do both at a time is tried again when a central has left.
        """
        while await self._again.wait() and not self._closed:
            self._again.clear()
            with suppress(*FAILURES):
                await within(START_SECONDS, self._start(data))
        with suppress(*FAILURES):
            await within(START_SECONDS, self._device.stop_advertising())
