"""The payer on Bumble: looks for the payee of a request and connects to it."""

import asyncio
from contextlib import suppress
from typing import Final, Self
from uuid import UUID

from bumble import core, hci
from bumble.core import AdvertisingData, PhysicalTransport
from bumble.device import Advertisement, Device
from bumble.gatt_client import CharacteristicProxy
from bumble.transport.common import Transport

from client_sdk.errors import LinkClosed
from client_sdk.transports.ble.adapters import NoBluetooth
from client_sdk.transports.ble.bumble_radio import (
    FAILURES,
    MTU_MAX,
    BumbleConnection,
    open_radio,
    start_device,
    stop_device,
)
from client_sdk.transports.ble.naming import TO_PAYEE, TO_PAYER
from client_sdk.transports.ble.patience import unbroken, within

PREPARE_SECONDS: Final = 5.0
"""From the connection to the subscription: some ten exchanges of the radio."""
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
        if self._transport.source.terminated.done():
            raise NoBluetooth("The Bluetooth controller has gone.")
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
