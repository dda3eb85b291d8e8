"""NFC: touch the payee's device, and the request, or the whole exchange, passes between the two.

Both devices are peers (LLCP, as nfcpy speaks it). On a touch the payee hands its signed request
over in an NDEF message that also names the carriers it can be reached by; the payer then pays over
one of these, or over NFC itself while the devices are together. Parting them at any moment only
ends the connection: the next touch takes up where this one ended.

nfcpy blocks, so each device is run by threads of its own, which never keep the program from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from client_sdk.errors import LinkClosed, MissingExtra, WalletError

if TYPE_CHECKING:
    from client_sdk.transports.nfc.listener import NfcListener
    from client_sdk.transports.nfc.reader import NfcReader

T = TypeVar("T")

SCHEME: Final = "nfc:"
SERVICE: Final = "urn:nfc:xsn:tallystick.dev:pay"
"""LLCP service name of the encrypted session."""
USB: Final = "usb"
"""Device path: the first reader on USB. Others are written as nfcpy writes them."""


class NoNfcDevice(WalletError):
    code = "no_nfc_device"
    fix = "Plug the reader in, or name it, such as usb:054c:06c3 or tty:USB0:pn532."


class DevicesApart(LinkClosed):
    """The devices were moved apart, or nobody touched this one in time."""

    code = "devices_apart"
    fix = "Hold the devices together again. Nothing is lost, and nothing is paid twice."


async def open_listener(path: str = USB) -> "NfcListener":
    """The payee's side: waits for touches; see `Listener`.

    Args:
        path: which reader, such as "usb" or "udp:localhost:54321" (two programs on one machine).

    Raises:
        MissingExtra: nfcpy or ndeflib is not installed.
        NoNfcDevice: there is no such reader, or it cannot be used.
    """
    opened: NfcListener = await _module("listener").NfcListener.open(path)
    return opened


async def open_reader(path: str = USB) -> "NfcReader":
    """The payer's side: touches the payee's device; arguments and errors as `open_listener`."""
    opened: NfcReader = await _module("reader").NfcReader.open(path)
    return opened


async def in_thread(work: Callable[[], T], *, name: str) -> T:
    """Run something that blocks in a thread that does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            result, failure = work(), None
        except Exception as error:  # noqa: BLE001 -- raised again where it is awaited
            result, failure = None, error
        tell(loop, settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome


def tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *arguments: Any) -> bool:
    """Call something in the loop from another thread; False when the loop has ended."""
    try:
        loop.call_soon_threadsafe(callback, *arguments)
    except RuntimeError:
        return False
    return True


def _module(name: str) -> Any:
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "client_sdk":
            raise
        raise MissingExtra(
            f"NFC needs the package {error.name}.",
            fix="Install it with `pip install tallystick[nfc]`.",
        ) from None
