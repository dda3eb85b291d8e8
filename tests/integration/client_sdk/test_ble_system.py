"""The operating system's Bluetooth by Bleak, on a stand-in for BlueZ with a virtual controller."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from client_sdk.core import State
from client_sdk.errors import LinkClosed
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports.ble.adapters import NoBluetooth, open_central
from client_sdk.transports.ble.bumble_radio import start_device
from client_sdk.transports.ble.listener import advertising
from client_sdk.transports.ble.naming import service_uuid
from tests.integration.client_sdk.ble_air import Air, RoughCentral, by
from tests.integration.client_sdk.bluez_double import BlueZDouble
from tests.integration.client_sdk.test_ble import Echo

pytestmark = pytest.mark.skipif(
    shutil.which("dbus-daemon") is None, reason="needs dbus-daemon to run a stand-in for BlueZ"
)
SERVICE = service_uuid(bytes(8))


@pytest_asyncio.fixture
async def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A message bus of its own, which Bleak takes for that of the system."""
    address = f"unix:path={tmp_path / 'bus'}"
    process = await asyncio.create_subprocess_exec(
        *("dbus-daemon", "--session", "--nofork", "--print-address", f"--address={address}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "DBUS_VERBOSE": "0"},
    )
    assert process.stdout is not None
    assert await process.stdout.readline()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    try:
        yield address
    finally:
        await leave_bus()
        process.kill()
        await process.wait()


async def leave_bus() -> None:
    """Bleak keeps a connection for each event loop until the process ends."""
    from bleak.backends.bluezdbus import manager  # noqa: PLC0415 -- on Linux only

    held = manager._global_instances.pop(asyncio.get_running_loop(), None)
    if held is not None and held._bus is not None and held._bus_watcher_task is not None:
        held._bus.disconnect()
        await held._bus_watcher_task


@pytest_asyncio.fixture
async def air(bus: str) -> AsyncIterator[Air]:
    """The air on which the system's adapter is."""
    made = Air()
    system = BlueZDouble(await start_device(made.radio()), bus)
    await system.start()
    yield made
    await system.stop()


@pytest.mark.parametrize("adapter", [None, "system", "system:hci0"])
async def test_a_payment_by_the_systems_bluetooth(air: Air, adapter: str | None) -> None:
    issuer = Issuer()
    payer, payee = await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")
    async with advertising(await air.peripheral(185)) as listener:
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        sent = await payer.pay(asked.frame)
        paid, taken = await asyncio.gather(
            payer.deliver(sent.id, dials=by(await open_central(adapter))),
            payee.listen(listener, asked.exchange.id),
        )
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    await payer.close()
    await payee.close()


async def test_large_frames_and_broken_connections(air: Air) -> None:
    async with advertising(await air.peripheral()) as listener:
        payee, frame = Echo(listener), os.urandom(20_000)
        central = RoughCentral(await open_central(), [20, 30])
        link = await payee.call(central)
        await link.send(frame)
        assert await link.receive() == frame
        await link.close()
        assert (await payee.ends.get()).clean
        assert len(central.made) == 3


async def test_a_payee_that_is_not_there_is_not_found(air: Air) -> None:
    async with advertising(await air.peripheral()):
        central = await open_central()
        with pytest.raises(LinkClosed, match="not found"):
            await central.connect(SERVICE, seconds=0.3)


@pytest.mark.usefixtures("air")
async def test_an_adapter_that_is_not_there_is_named() -> None:
    central = await open_central("system:hci7")
    with pytest.raises(LinkClosed, match="hci7"):
        await central.connect(SERVICE, seconds=5)


async def test_bluetooth_that_is_off_is_said_to_be_off(bus: str) -> None:
    system = BlueZDouble(await start_device(Air().radio()), bus, powered=False)
    await system.start()
    central = await open_central()
    with pytest.raises(NoBluetooth, match="powered off"):
        await central.connect(SERVICE, seconds=5)
    await system.stop()


@pytest.mark.usefixtures("bus")
async def test_a_system_without_bluetooth_says_so() -> None:
    """A message bus, but nobody on it who knows of Bluetooth."""
    central = await open_central()
    with pytest.raises((NoBluetooth, LinkClosed), match="Bluetooth"):
        await central.connect(SERVICE, seconds=5)
