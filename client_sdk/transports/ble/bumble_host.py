"""Both roles on Bumble: a payer that connects, and a payee that is connected to."""

import asyncio
from contextlib import suppress
from typing import Final, Self
from uuid import UUID

from bumble import core, hci
from bumble.att import Attribute, AttributeValue
from bumble.core import AdvertisingData, PhysicalTransport
from bumble.device import Advertisement, Connection, Device
from bumble.gatt import Characteristic, Service
from bumble.gatt_client import CharacteristicProxy
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
from client_sdk.transports.ble.patience import unbroken, within

ADVERTISE_MS: Final = 20.0
"""Interval of advertising: dense, for a person waits, and it lasts minutes at most."""
PREPARE_SECONDS: Final = 5.0
"""From the connection to the subscription: some ten exchanges of the radio."""
_NOT_CLASSIC: Final = 0x06
"""Flags: generally discoverable, no BR/EDR."""
_UUID_LISTS: Final = (
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
    AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
)


class _ToPayee(BumbleConnection):
    """A payer's connection: writes to one characteristic, is notified by the other."""

    _inbox: CharacteristicProxy[bytes]

    async def prepare(self, service: core.UUID, *, mtu: int) -> None:
        """Agree on the MTU, find the two characteristics and subscribe.

        Raises:
            LinkClosed: the connection ended, or this is no payee.
        """
        client = self._connection.gatt_client
        if mtu > self._connection.att_mtu:
            await self.while_connected(client.request_mtu(mtu))
        services = await self.while_connected(client.discover_service(service))
        if not services:
            raise LinkClosed("The payee's device does not offer what it advertises.")
        uuids = [core.UUID(str(one)) for one in (TO_PAYEE, TO_PAYER)]
        listed = await self.while_connected(client.discover_characteristics(uuids, services[0]))
        found = {one.uuid: one for one in listed}
        if set(found) != set(uuids):
            raise LinkClosed("The payee's device speaks another version over Bluetooth.")
        self._inbox, outbox = (found[one] for one in uuids)
        await self.while_connected(outbox.subscribe(self.arrived))

    async def _put(self, value: bytes) -> None:
        await self._inbox.write_value(value, with_response=False)


class _ToPayer(BumbleConnection):
    """A payee's connection: notifies by one characteristic; writes to the other arrive here."""

    def __init__(
        self, connection: Connection, transport: Transport, outbox: Characteristic[bytes]
    ) -> None:
        super().__init__(connection, transport)
        self._outbox = outbox

    async def _put(self, value: bytes) -> None:
        await self._connection.device.notify_subscriber(self._connection, self._outbox, value)


class BumbleCentral:
    """The payer's side of one controller."""

    def __init__(self, device: Device, transport: Transport, *, mtu: int = MTU_MAX) -> None:
        self._device = device
        self._transport = transport
        self._mtu = mtu

    @classmethod
    async def open(cls, name: str | Transport, *, mtu: int = MTU_MAX) -> Self:
        """Take a controller by name, or an open transport to one; ask for this ATT MTU.

        Raises:
            NoBluetooth: there is none.
        """
        transport = name if isinstance(name, Transport) else await open_radio(name)
        return cls(await start_device(transport), transport, mtu=mtu)

    async def connect(self, service: UUID, *, seconds: float) -> BumbleConnection:
        try:
            return await within(seconds, self._connect(core.UUID(str(service))))
        except TimeoutError:
            cancel = hci.HCI_LE_Create_Connection_Cancel_Command()
            with suppress(*FAILURES):
                await unbroken(self._device.send_sync_command(cancel))
            raise LinkClosed("The payee's device was not found by Bluetooth.") from None
        except FAILURES as error:
            raise LinkClosed(f"The Bluetooth connection failed: {error}.") from None

    async def _connect(self, service: core.UUID) -> BumbleConnection:
        address = await self._find(service)
        connection = await self._device.connect(
            address, transport=PhysicalTransport.LE, timeout=None
        )
        link = _ToPayee(connection, self._transport)
        try:
            await within(PREPARE_SECONDS, link.prepare(service, mtu=self._mtu))
        except TimeoutError:
            await link.disconnect()
            raise LinkClosed("The payee's device did not answer.") from None
        except BaseException:
            await link.disconnect()
            raise
        return link

    async def _find(self, service: core.UUID) -> hci.Address:
        found: asyncio.Future[hci.Address] = asyncio.get_running_loop().create_future()

        def look(seen: Advertisement) -> None:
            for kind in _UUID_LISTS:
                for listed in seen.data.get_all(kind):
                    if service in listed and not found.done():
                        found.set_result(seen.address)

        self._device.on(Device.EVENT_ADVERTISEMENT, look)
        try:
            await unbroken(self._device.start_scanning(active=False))
            return await found
        finally:
            self._device.remove_listener(Device.EVENT_ADVERTISEMENT, look)
            with suppress(*FAILURES):
                await unbroken(self._device.stop_scanning())

    async def close(self) -> None:
        await stop_device(self._device, self._transport)


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
                    (_UUID_LISTS[0], uuid.to_bytes()),
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
