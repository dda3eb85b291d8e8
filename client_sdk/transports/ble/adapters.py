"""What this transport needs of a Bluetooth stack, and how to get one by name.

Two stacks fit: the Bluetooth of the operating system by Bleak (`bleak_central`, for the payer only)
and Bumble, a whole stack in Python on a controller of its own (`bumble_central`, and
`bumble_peripheral` for the payee).
"""

import importlib
from typing import Any, Final, Protocol
from uuid import UUID

from client_sdk.errors import LinkClosed, MissingExtra

SYSTEM: Final = "system"
"""Name of the operating system's Bluetooth; "system:hci1" names one of its adapters."""


class NoBluetooth(LinkClosed):
    """There is no adapter, it is off, or this program may not use it."""

    code = "no_bluetooth_adapter"
    fix = (
        "Turn Bluetooth on, or name a controller, such as usb:0; "
        "payments by code or local network need none."
    )


class Connection(Protocol):
    """One GATT connection, as either side sees it: values in both directions.

    A value may be lost on its way, with most stacks only in theory.
    """

    @property
    def value_bytes(self) -> int:
        """How long a value may be now: ATT MTU less 3, at most 512."""
        ...

    async def send(self, value: bytes) -> None:
        """Hand one value to the stack; returns when it has room for another one.

        Raises:
            LinkClosed: the connection has ended.
        """
        ...

    async def receive(self) -> bytes:
        """The next value.

        Raises:
            LinkClosed: the connection has ended, and all values that came before are read.
        """
        ...

    async def disconnect(self) -> None:
        """End the connection; harmless when it has ended."""
        ...


class Central(Protocol):
    """The payer's role."""

    async def connect(self, service: UUID, *, seconds: float) -> Connection:
        """Look for a peripheral that advertises the service, connect, and listen to it.

        Raises:
            LinkClosed: none was found in this time, or the connection ended at once.
            NoBluetooth: the adapter cannot be used.
        """
        ...

    async def close(self) -> None: ...


class Peripheral(Protocol):
    """The payee's role."""

    async def advertise(self, service: UUID) -> None:
        """Offer the service from now on, also while centrals are connected.

        Raises:
            NoBluetooth: the adapter cannot be used.
        """
        ...

    async def accept(self) -> Connection:
        """The next central that connects, whatever it means to do.

        Raises:
            LinkClosed: the peripheral was closed, or its controller has gone.
        """
        ...

    async def close(self) -> None:
        """End advertising and all connections; harmless when that has happened."""
        ...


async def open_central(name: str | None = None) -> Central:
    """The stack for a payer.

    Args:
        name: "system", the default; or a controller as Bumble names them, such as "usb:0",
            "serial:/dev/ttyACM0,1000000" or "tcp-client:127.0.0.1:6402".

    Raises:
        MissingExtra: the Python library for it is not installed.
        NoBluetooth: there is no such adapter.
    """
    if name is None or name.partition(":")[0] == SYSTEM:
        adapter = None if name is None else name.partition(":")[2] or None
        found: Central = _module("bleak_central").BleakCentral(adapter)
        return found
    opened: Central = await _module("bumble_central").BumbleCentral.open(name)
    return opened


async def open_peripheral(name: str | None = None) -> Peripheral:
    """The stack for a payee; the operating system's cannot be one through this SDK.

    Args:
        name: a controller as for `open_central`; without one the first on USB is taken.

    Raises:
        MissingExtra: the Python library for it is not installed.
        NoBluetooth: there is no such adapter.
    """
    if name is not None and name.partition(":")[0] == SYSTEM:
        raise NoBluetooth(
            "The operating system's Bluetooth can pay through this program, not be paid.",
            fix="Name a controller that this program may have for itself, such as usb:0.",
        )
    opened: Peripheral = await _module("bumble_peripheral").BumblePeripheral.open(name or "usb:0")
    return opened


def _module(name: str) -> Any:
    """The module for a stack, imported only now."""
    try:
        return importlib.import_module(f"client_sdk.transports.ble.{name}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "client_sdk":
            raise
        raise MissingExtra(
            f"Bluetooth needs the package {error.name}.",
            fix="Install it with `pip install tallystick[ble]`.",
        ) from None
