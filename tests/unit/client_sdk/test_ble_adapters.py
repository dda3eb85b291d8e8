"""Choosing a Bluetooth stack by name: what is missing is said in plain words."""

import sys
import uuid

import pytest

from client_sdk.errors import LinkClosed, MissingExtra
from client_sdk.transports.base import InvalidAddress
from client_sdk.transports.ble import dial
from client_sdk.transports.ble.adapters import NoBluetooth, open_central, open_peripheral
from client_sdk.transports.carriers import connect
from client_sdk.transports.session import SecureLink

SERVICE = uuid.UUID(int=1)
ADDRESS = "ble:0011223344556677"


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device where the optional packages are not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] in {"bumble", "bleak"}]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("bumble", "bleak"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("bumble_central", "bumble_peripheral", "bumble_radio", "bleak_central"):
        monkeypatch.delitem(sys.modules, f"client_sdk.transports.ble.{name}", raising=False)


@pytest.mark.usefixtures("no_libraries")
@pytest.mark.parametrize("name", [None, "system", "system:hci1", "usb:0"])
async def test_a_missing_library_for_the_payer_is_named(name: str | None) -> None:
    with pytest.raises(MissingExtra, match="bumble" if name == "usb:0" else "bleak") as refusal:
        await open_central(name)
    assert "tallystick[ble]" in str(refusal.value.fix)


@pytest.mark.usefixtures("no_libraries")
async def test_a_missing_library_for_the_payee_is_named() -> None:
    with pytest.raises(MissingExtra, match="bumble"):
        await open_peripheral("usb:0")


@pytest.mark.usefixtures("no_libraries")
async def test_a_device_without_bluetooth_passes_over_such_an_address() -> None:
    with pytest.raises(LinkClosed, match="bleak"):
        await call((ADDRESS,))


async def call(addresses: tuple[str, ...]) -> SecureLink:
    return await connect(addresses, request_id=b"", session_key=bytes(32), entropy=bytes)


async def test_an_adapter_of_the_system_that_is_not_there_is_said_so() -> None:
    """No Bluetooth service runs where the tests do; one would find no such adapter."""
    central = await open_central("system:hci99")
    with pytest.raises((NoBluetooth, LinkClosed)) as refusal:
        await central.connect(SERVICE, seconds=1)
    assert "Bluetooth" in refusal.value.detail
    await central.close()


@pytest.mark.parametrize(
    "name",
    [
        "nonsense",
        "serial:/nowhere/at/all",
        "tcp-client:127.0.0.1:1",
        "tcp-client:",
        "usb:999",
        "usb",
        "udp:x",
    ],
)
async def test_a_controller_that_is_not_there_is_named(name: str) -> None:
    for opening in (open_central, open_peripheral):
        with pytest.raises(NoBluetooth, match=name) as refusal:
            await opening(name)
        assert refusal.value.code == "no_bluetooth_adapter"
        assert refusal.value.fix


async def test_the_system_cannot_be_paid_and_that_is_said() -> None:
    with pytest.raises(NoBluetooth, match="can pay"):
        await open_peripheral("system")


async def test_without_an_adapter_a_payment_says_that_nobody_was_reached() -> None:
    with pytest.raises(LinkClosed, match="nonsense"):
        await dial(ADDRESS, request_id=b"", adapter="nonsense")


@pytest.mark.parametrize("address", ["ble:", "ble:xyz", "lan:192.0.2.7:4100"])
async def test_another_address_is_refused_before_a_radio_is_touched(address: str) -> None:
    with pytest.raises(InvalidAddress):
        await dial(address, request_id=b"", adapter="nonsense")
