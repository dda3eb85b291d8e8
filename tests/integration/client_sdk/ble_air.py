"""Bluetooth without a radio: virtual controllers, and connections that break on purpose."""

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from bumble.controller import Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink
from bumble.ll import AdvertisingPdu, AdvExtInd, AdvInd
from bumble.transport.common import AsyncPipeSink, Transport

from client_sdk.transports.ble import dial
from client_sdk.transports.ble.adapters import Central, Connection, Peripheral
from client_sdk.transports.ble.bumble_central import BumbleCentral
from client_sdk.transports.ble.bumble_peripheral import BumblePeripheral
from client_sdk.transports.ble.bumble_radio import MTU_MAX
from client_sdk.transports.carriers import Dial

Loses = Callable[[bytes], bool]


class Air(LocalLink):
    """All controllers of a test hear one another; what is on the air is kept for looking at."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.heard = b""
        self.advertised: list[AdvInd | AdvExtInd] = []
        self._controllers = 0

    def radio(self) -> Transport:
        self._controllers += 1
        number = f"{self._controllers:02X}"
        controller = Controller(number, link=self, public_address=f"F0:F1:F2:F3:F4:{number}")
        return Transport(controller, AsyncPipeSink(controller))

    async def central(self, mtu: int = MTU_MAX) -> BumbleCentral:
        return await BumbleCentral.open(self.radio(), mtu=mtu)

    async def peripheral(self, mtu: int = MTU_MAX) -> BumblePeripheral:
        return await BumblePeripheral.open(self.radio(), mtu=mtu)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: object,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        self.heard += data
        super().send_acl_data(sender_controller, destination_address, transport, data)  # type: ignore[arg-type]

    def send_advertising_pdu(self, sender_controller: Controller, packet: AdvertisingPdu) -> None:
        if isinstance(packet, AdvInd | AdvExtInd):
            self.advertised.append(packet)
        super().send_advertising_pdu(sender_controller, packet)


class Rough:
    """A connection that ends by a real disconnect after so many values, or loses some.

    Attributes:
        values: how many have passed, both ways together.
    """

    def __init__(self, connection: Connection, cut_after: int | None, loses: Loses) -> None:
        self._connection = connection
        self._cut_after = cut_after
        self._loses = loses
        self.values = 0

    @property
    def value_bytes(self) -> int:
        return self._connection.value_bytes

    async def send(self, value: bytes) -> None:
        await self._count()
        if not self._loses(value):
            await self._connection.send(value)

    async def receive(self) -> bytes:
        while True:
            value = await self._connection.receive()
            await self._count()
            if not self._loses(value):
                return value

    async def disconnect(self) -> None:
        await self._connection.disconnect()

    async def _count(self) -> None:
        if self.values == self._cut_after:
            await self._connection.disconnect()
        self.values += 1


def nothing(_: bytes) -> bool:
    return False


class RoughCentral:
    """A central whose connections, one after the other, are cut after so many values."""

    def __init__(
        self, central: Central, cuts: Sequence[int | None] = (), loses: Loses = nothing
    ) -> None:
        self._central = central
        self._cuts = list(cuts)
        self._loses = loses
        self.made: list[Rough] = []

    async def connect(self, service: UUID, *, seconds: float) -> Rough:
        connection = await self._central.connect(service, seconds=seconds)
        cut = self._cuts.pop(0) if self._cuts else None
        self.made.append(Rough(connection, cut, self._loses))
        return self.made[-1]

    async def close(self) -> None:
        await self._central.close()


class RoughPeripheral:
    """A peripheral whose connections, one after the other, are cut after so many values."""

    def __init__(self, peripheral: Peripheral) -> None:
        self._peripheral = peripheral
        self.cuts: list[int | None] = []
        self.made: list[Rough] = []

    async def advertise(self, service: UUID) -> None:
        await self._peripheral.advertise(service)

    async def accept(self) -> Rough:
        connection = await self._peripheral.accept()
        cut = self.cuts.pop(0) if self.cuts else None
        self.made.append(Rough(connection, cut, nothing))
        return self.made[-1]

    async def close(self) -> None:
        await self._peripheral.close()


def by(central: Central) -> dict[str, Dial]:
    """Carriers by scheme, as `Wallet.deliver` takes them: Bluetooth by this central."""
    return {"ble": partial(dial, adapter=central)}
