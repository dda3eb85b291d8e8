"""Bluetooth LE when the payee's device, the controller or the air does not do what it should."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection
from bumble.gatt import Characteristic, Service
from bumble.transport.common import Transport

from client_sdk.errors import LinkClosed
from client_sdk.transports.base import MESSAGE_BYTES_MAX
from client_sdk.transports.ble import bumble_radio, connecting, dial, fragments, wire
from client_sdk.transports.ble.adapters import NoBluetooth
from client_sdk.transports.ble.bumble_central import BumbleCentral
from client_sdk.transports.ble.bumble_peripheral import BumblePeripheral
from client_sdk.transports.ble.bumble_radio import start_device
from client_sdk.transports.ble.listener import BleListener, advertising
from client_sdk.transports.ble.naming import TO_PAYEE, TO_PAYER, join_address, service_uuid
from client_sdk.transports.ble.wire import BleWire
from tests.integration.client_sdk.ble_air import Air, Rough, RoughCentral
from tests.integration.client_sdk.test_ble import Echo, echo
from tests.integration.client_sdk.test_ble_strangers import raw

TOKEN = bytes(range(8))
ADDRESS = join_address(TOKEN)
SERVICE = service_uuid(TOKEN)


# Payees.


async def test_a_payee_that_is_not_there_is_not_found() -> None:
    air = Air()
    central = await air.central()
    with pytest.raises(LinkClosed, match="not found"):
        await central.connect(SERVICE, seconds=0.2)
    async with echo(air) as payee:  # the radio is as good as before
        link = await payee.call(central)
        await link.close()


async def serve(air: Air, service: uuid.UUID, characteristics: list[uuid.UUID]) -> None:
    """Advertise the service of the token, and have another one."""
    device = await start_device(air.radio())
    kinds = Characteristic.Properties.NOTIFY | Characteristic.Properties.WRITE_WITHOUT_RESPONSE
    device.add_service(
        Service(
            UUID(str(service)),
            [
                Characteristic(UUID(str(one)), kinds, Characteristic.WRITEABLE)
                for one in characteristics
            ],
        )
    )
    listed = (
        AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
        UUID(str(SERVICE)).to_bytes(),
    )
    await device.start_advertising(
        advertising_data=bytes(AdvertisingData([listed])),
        advertising_interval_min=20,
        advertising_interval_max=20,
    )


@pytest.mark.parametrize(
    ("service", "characteristics", "words"),
    [
        (uuid.UUID(int=7), [TO_PAYEE, TO_PAYER], "does not offer"),
        (SERVICE, [TO_PAYEE], "another version"),
        (SERVICE, [TO_PAYEE, uuid.UUID(int=7)], "another version"),
    ],
)
async def test_a_device_that_only_says_that_it_is_a_payee_is_left(
    service: uuid.UUID, characteristics: list[uuid.UUID], words: str
) -> None:
    air = Air()
    await serve(air, service, characteristics)
    central = await air.central()
    with pytest.raises(LinkClosed, match=words):
        await central.connect(SERVICE, seconds=10)
    assert central._device.connections == {}
    await central.close()


class StrangePayee:
    """A payee that answers each fragment with what a test wants."""

    def __init__(self, peripheral: BumblePeripheral, answers: list[bytes]) -> None:
        self._peripheral = peripheral
        self._answers = answers
        self.heard: list[bytes] = []
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            connection = await self._peripheral.accept()
            try:
                self.heard.append(await connection.receive())
                for answer in self._answers:
                    await connection.send(answer)
                while True:
                    self.heard.append(await connection.receive())
            except LinkClosed:
                pass


@pytest_asyncio.fixture
async def peripheral() -> AsyncIterator[tuple[Air, BumblePeripheral]]:
    air = Air()
    made = await air.peripheral()
    await made.advertise(SERVICE)
    yield air, made
    await made.close()


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([fragments.Close(2).encode()], "busy"),
        ([fragments.Close(4).encode()], "did not understand"),
        ([fragments.Close(200).encode()], "closed"),
        ([b"\x03\x02\x10\x00\x00\x00\x00"], "another version"),
        ([b"\x09\x09", fragments.Gap(0).encode(), fragments.Close(0).encode()], "closed"),
        ([fragments.Welcome(4_096, 5).encode()], "makes no sense"),
    ],
)
async def test_what_a_payee_answers_is_told(
    peripheral: tuple[Air, BumblePeripheral], answers: list[bytes], words: str
) -> None:
    air, made = peripheral
    payee = StrangePayee(made, answers)
    central = await air.central()
    with pytest.raises(LinkClosed, match=words):
        await dial(ADDRESS, request_id=b"", adapter=central)
    assert central._device.connections == {}
    assert payee.heard[0][0] == fragments.Kind.OPEN
    payee.task.cancel()


async def test_a_payee_that_never_answers_is_left(
    peripheral: tuple[Air, BumblePeripheral], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "WELCOME_SECONDS", 0.05)
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 1.0)
    air, made = peripheral
    payee = StrangePayee(made, [])
    with pytest.raises(LinkClosed):
        await dial(ADDRESS, request_id=b"", adapter=await air.central())
    opened = {value for value in payee.heard if value[0] == fragments.Kind.OPEN}
    assert len(opened) > 1, "tried again, with another lock each time"
    payee.task.cancel()


@pytest.mark.parametrize(
    "value",
    [
        fragments.Acknowledge(100).encode(),
        fragments.Gap(7).encode(),
        fragments.Data(0, b"\xff\xff" + bytes(4)).encode(),
        fragments.Data(0, b"\x00\x01" + bytes(4) + b"x").encode(),
    ],
)
async def test_a_payee_that_breaks_the_rules_ends_the_session(
    peripheral: tuple[Air, BumblePeripheral], value: bytes
) -> None:
    air, made = peripheral
    payee = StrangePayee(made, [fragments.Welcome(4_096, 0).encode(), value])
    found = await dial(ADDRESS, request_id=b"", adapter=await air.central())
    with pytest.raises(LinkClosed, match="disturbed"):
        await found.read()
    await found.close()
    assert fragments.Close(fragments.Ending.BROKEN).encode() in payee.heard
    payee.task.cancel()


async def test_a_payee_that_takes_nothing_ends_the_session(
    peripheral: tuple[Air, BumblePeripheral], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never acknowledges: sent again a few times, then over new connections, then given up."""
    monkeypatch.setattr(wire, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(wire, "RETRIES_MAX", 2)
    monkeypatch.setattr(wire, "SILENCE_SECONDS", 1.0)
    air, made = peripheral
    payee = StrangePayee(made, [fragments.Welcome(100, 0).encode()])
    found = await dial(ADDRESS, request_id=b"", adapter=await air.central())
    with pytest.raises(LinkClosed):
        await found.write(bytes(1_000))
    await found.close()
    greetings = {value[0] for value in payee.heard if value[0] in {1, 2}}
    assert greetings == {fragments.Kind.OPEN, fragments.Kind.RESUME}
    payee.task.cancel()


# Wires.


async def wires(air: Air, listener: BleListener) -> BleWire:
    return await dial(listener.address, request_id=b"", adapter=await air.central())


async def test_a_message_longer_than_any_frame_is_refused() -> None:
    air = Air()
    async with advertising(await air.peripheral()) as listener:
        found = await wires(air, listener)
        assert found.bytes_max == MESSAGE_BYTES_MAX
        with pytest.raises(LinkClosed, match="too long"):
            await found.write(bytes(MESSAGE_BYTES_MAX + 1))
        found.abort()
        await found.close()


async def test_silence_ends_a_wire() -> None:
    air = Air()
    async with advertising(await air.peripheral()) as listener:
        found = await wires(air, listener)
        with pytest.raises(LinkClosed, match="silent"):
            await found.read(seconds=0.05)
        with pytest.raises(LinkClosed):
            await found.read()
        with pytest.raises(LinkClosed):
            await found.write(b"more")
        await found.close()
        await found.close()


async def test_what_came_before_the_end_can_still_be_read() -> None:
    air = Air()
    async with echo(air) as payee:
        central = RoughCentral(await air.central())
        link = await payee.call(central)
        await link.send(b"first")
        await link.send(b"second")
        (met,) = payee.links
        wire_, arrived = link._wire, link._wire._stream.incoming.messages  # type: ignore[attr-defined]
        while len(arrived) < 2:
            await wire_._change()  # type: ignore[attr-defined]
        met.abort()
        assert [await link.receive(), await link.receive()] == [b"first", b"second"]
        with pytest.raises(LinkClosed):
            await link.receive()


# Controllers.


async def test_a_controller_with_room_for_one_packet_is_not_overrun() -> None:
    air = Air()
    async with advertising(await air.peripheral()) as listener:
        payee, central = Echo(listener), await air.central()
        queues = []
        for device in (central._device, listener._peripheral._device):  # type: ignore[attr-defined]
            queue = device.host.le_acl_packet_queue
            assert queue is not None
            queue.max_in_flight = 1
            queues.append(queue)
        most = [0, 0]

        def note() -> None:
            most[:] = [max(old, queue.pending) for old, queue in zip(most, queues, strict=True)]

        class Watching(RoughCentral):
            async def connect(self, service: uuid.UUID, *, seconds: float) -> Rough:
                made = await super().connect(service, seconds=seconds)
                return _Watched(made, note)

        link = await payee.call(Watching(central))
        frame = os.urandom(8_000)
        await link.send(frame)
        assert await link.receive() == frame
        await link.close()
    # One value of 512 bytes is some twenty packets of this controller.
    assert 0 < max(most) <= 25


class _Watched(Rough):
    def __init__(self, connection: Rough, note: Callable[[], None]) -> None:
        super().__init__(connection, None, lambda _: False)
        self._note = note

    async def send(self, value: bytes) -> None:
        await super().send(value)
        self._note()


class DeadController:
    """Takes every command and answers none."""

    def __init__(self) -> None:
        self.terminated: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_packet(self, packet: bytes) -> None:
        """Nothing comes of it."""

    def set_packet_sink(self, sink: object) -> None:
        """Nothing goes there."""


async def test_a_controller_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bumble_radio, "START_SECONDS", 0.05)
    dead = DeadController()
    with pytest.raises(NoBluetooth, match="does not answer"):
        await BumblePeripheral.open(Transport(dead, dead))


async def test_a_payers_controller_that_goes_away_ends_the_session() -> None:
    """As a USB dongle that is pulled out: its transport says that it is lost."""
    air = Air()
    async with echo(air) as payee:
        radio = air.radio()
        link = await payee.call(await BumbleCentral.open(radio))
        await link.send(b"frame")
        assert await link.receive() == b"frame"
        radio.source.terminated.set_result(None)
        with pytest.raises(LinkClosed, match="has gone"):
            await link.receive()


async def test_a_payees_controller_that_goes_away_is_not_waited_for() -> None:
    radio = Air().radio()
    made = await BumblePeripheral.open(radio)
    await made.advertise(SERVICE)
    radio.source.terminated.set_result(None)
    with pytest.raises(LinkClosed):
        await made.accept()
    await made.close()


async def test_pairing_is_refused() -> None:
    air = Air()
    async with echo(air) as payee:
        device, _ = await raw(air, payee)
        (connection,) = device.connections.values()
        assert isinstance(connection, Connection)
        with pytest.raises(Exception, match="PAIRING_NOT_SUPPORTED"):
            await connection.pair()
