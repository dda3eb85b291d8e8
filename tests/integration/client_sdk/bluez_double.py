"""A stand-in for BlueZ on a D-Bus of its own, so that Bleak can be run for real without a radio.

It offers the part of org.bluez that a central uses, and does what it is told on a virtual
controller. Other than BlueZ it forgets nothing and needs no root.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bumble.core import UUID, AdvertisingData, PhysicalTransport
from bumble.device import Advertisement, Connection, Device
from bumble.gatt_client import CharacteristicProxy
from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from client_sdk.transports.ble.bumble_radio import end

ADAPTER = "/org/bluez/hci0"
_ADAPTER = "org.bluez.Adapter1"
_DEVICE = "org.bluez.Device1"
_SERVICE = "org.bluez.GattService1"
_CHARACTERISTIC = "org.bluez.GattCharacteristic1"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES = "org.freedesktop.DBus.Properties"

Interfaces = dict[str, dict[str, Variant]]
Method = Callable[[Message], Awaitable[None]]


class BlueZDouble:
    """One adapter, `powered` or not."""

    def __init__(self, device: Device, address: str, *, powered: bool = True) -> None:
        self._device = device
        self._bus = MessageBus(bus_address=address)
        self._objects: dict[str, Interfaces] = {
            ADAPTER: {
                _ADAPTER: {
                    "Powered": Variant("b", powered),
                    "Roles": Variant("as", ["central"]),
                    "Address": Variant("s", "F0:F1:F2:F3:F4:F5"),
                }
            }
        }
        self._found: dict[str, Advertisement] = {}
        self._connections: dict[str, Connection] = {}
        self._characteristics: dict[str, CharacteristicProxy[bytes]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._methods: dict[str, Method] = {
            "SetDiscoveryFilter": self._nothing,
            "StartDiscovery": self._start_discovery,
            "StopDiscovery": self._stop_discovery,
            "Connect": self._connect,
            "Disconnect": self._disconnect,
            "WriteValue": self._write_value,
            "StartNotify": self._start_notify,
        }

    async def start(self) -> None:
        await self._bus.connect()
        self._bus.add_message_handler(self._called)
        self._device.on(Device.EVENT_ADVERTISEMENT, self._seen)
        await self._bus.request_name("org.bluez")

    async def stop(self) -> None:
        await asyncio.gather(*self._running)
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _called(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        if message.member == "GetManagedObjects":
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects])
        method = self._methods.get(message.member or "")
        if method is None:
            return False
        task = asyncio.get_running_loop().create_task(self._answer(message, method))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _answer(self, message: Message, method: Method) -> None:
        try:
            await method(message)
        except Exception as error:  # noqa: BLE001 -- goes to the caller, as BlueZ does it
            answer = Message.new_error(message, "org.bluez.Error.Failed", str(error))
        else:
            answer = Message.new_method_return(message)
        await self._bus.send(answer)

    # The adapter.

    async def _nothing(self, _: Message) -> None:
        """Taken, and without effect."""

    async def _start_discovery(self, _: Message) -> None:
        await self._device.start_scanning(active=False)

    async def _stop_discovery(self, _: Message) -> None:
        await self._device.stop_scanning()

    def _seen(self, seen: Advertisement) -> None:
        listed = seen.data.get(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS)
        path = f"{ADAPTER}/dev_" + str(seen.address).split("/", maxsplit=1)[0].replace(":", "_")
        strength = {"RSSI": Variant("n", seen.rssi)}
        if path in self._objects:
            self._changed(path, _DEVICE, strength)
            return
        self._found[path] = seen
        assert isinstance(listed, list)
        address = str(seen.address).split("/", maxsplit=1)[0]
        properties = {
            "Address": Variant("s", address),
            "Alias": Variant("s", address.replace(":", "-")),
            "Adapter": Variant("o", ADAPTER),
            "UUIDs": Variant("as", [_dashed(one) for one in listed]),
            "Connected": Variant("b", False),  # noqa: FBT003 -- D-Bus type and value
            "ServicesResolved": Variant("b", False),  # noqa: FBT003 -- as above
            "Paired": Variant("b", False),  # noqa: FBT003 -- as above
            **strength,
        }
        self._added(path, {_DEVICE: properties})

    # Devices.

    async def _connect(self, message: Message) -> None:
        path = message.path or ""
        connection = await self._device.connect(
            self._found[path].address, transport=PhysicalTransport.LE
        )
        self._connections[path] = connection
        connection.on(Connection.EVENT_DISCONNECTION, lambda _: self._gone(path))
        client = connection.gatt_client
        await client.request_mtu(517)
        self._set(path, "Connected", value=True)
        for service in await client.discover_services():
            below = f"{path}/service{service.handle:04x}"
            uuid = {"UUID": Variant("s", _dashed(service.uuid)), "Device": Variant("o", path)}
            self._added(below, {_SERVICE: uuid})
            for one in await client.discover_characteristics((), service):
                char = f"{below}/char{one.handle:04x}"
                self._characteristics[char] = one
                flags = [str(flag.name).lower().replace("_", "-") for flag in one.properties]
                self._added(
                    char,
                    {
                        _CHARACTERISTIC: {
                            "UUID": Variant("s", _dashed(one.uuid)),
                            "Service": Variant("o", below),
                            "Flags": Variant("as", flags),
                            "MTU": Variant("q", connection.att_mtu),
                        }
                    },
                )
        self._set(path, "ServicesResolved", value=True)

    async def _disconnect(self, message: Message) -> None:
        await end(self._connections[message.path or ""])

    def _gone(self, path: str) -> None:
        self._set(path, "ServicesResolved", value=False)
        self._set(path, "Connected", value=False)

    # Characteristics.

    async def _write_value(self, message: Message) -> None:
        value, options = message.body
        await self._characteristics[message.path or ""].write_value(
            bytes(value), with_response=options["type"].value == "request"
        )

    async def _start_notify(self, message: Message) -> None:
        path = message.path or ""

        def notified(value: bytes) -> None:
            self._changed(path, _CHARACTERISTIC, {"Value": Variant("ay", value)})

        await self._characteristics[path].subscribe(notified)

    # Telling.

    def _set(self, path: str, name: str, *, value: bool) -> None:
        changed = {name: Variant("b", value)}
        self._objects[path][_DEVICE].update(changed)
        self._changed(path, _DEVICE, changed)

    def _added(self, path: str, interfaces: Interfaces) -> None:
        self._objects[path] = interfaces
        self._emit("/", _OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])

    def _changed(self, path: str, interface: str, changed: dict[str, Variant]) -> None:
        self._emit(path, _PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, changed, []])

    def _emit(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        self._bus.send(Message.new_signal(path, interface, member, signature, body))


def _dashed(uuid: UUID) -> str:
    return uuid.to_hex_str("-").lower() if len(uuid.to_bytes()) == 16 else str(uuid)
