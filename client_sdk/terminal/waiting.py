"""The payee's side on the command line: waiting to be met, in whatever ways were asked for."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.flows.serving import Confirm
from client_sdk.terminal.output import print_json
from client_sdk.transports import ble, discovery, lan, nfc
from client_sdk.transports.ble.listener import BleListener
from client_sdk.transports.reception import Together
from client_sdk.transports.session import Listener
from client_sdk.views import ExchangeView

T = TypeVar("T")

_GROUP: Final = 3

nfc_device_option = click.option(
    "--nfc-device",
    default=nfc.USB,
    show_default=True,
    metavar="PATH",
    help="The NFC reader, as nfcpy names it.",
)


def say(text: str) -> None:
    """Tell a person, beside what the command prints."""
    click.echo(text, err=True)


def say_code(code: str) -> str:
    return " ".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


@dataclass(frozen=True)
class Ways:
    """How a payee wants to be met."""

    lan: bool
    announce: bool
    listen: str | None
    advertise: str | None
    ble: str | None
    nfc: bool
    nfc_device: str

    @property
    def none(self) -> bool:
        return not (self.lan or self.announce or self.ble or self.nfc)


def waits_for_payers(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options; the command gets `ways`."""

    @click.option("--lan", "lan", is_flag=True, help="Wait for the payer on the local network.")
    @click.option(
        "--announce", is_flag=True, help="Let payers on the local network find this request."
    )
    @click.option("--listen", metavar="HOST:PORT", help="Where to wait; port 0 takes a free one.")
    @click.option("--advertise", metavar="HOST:PORT", help="Address that the payer is told.")
    @click.option(
        "--ble",
        is_flag=False,
        flag_value="usb:0",
        metavar="[CONTROLLER]",
        help="Wait for the payer by Bluetooth, with a controller for this alone; usb:0 by default.",
    )
    @click.option("--nfc", "nfc", is_flag=True, help="Wait for the payer's touch.")
    @nfc_device_option
    @functools.wraps(command)
    def call(
        *args: Any,
        lan: bool,
        announce: bool,
        listen: str | None,
        advertise: str | None,
        ble: str | None,
        nfc: bool,
        nfc_device: str,
        **kwargs: Any,
    ) -> T:
        ways = Ways(lan, announce, listen, advertise, ble, nfc, nfc_device)
        return command(*args, ways=ways, **kwargs)

    return call


class Waiting:
    """Open listeners of a payee; made by `waiting`."""

    def __init__(
        self, wallet: BlockingWallet, ways: Ways, listeners: Mapping[str, Listener]
    ) -> None:
        self._wallet = wallet
        self._ways = ways
        self._all = Together(tuple(listeners.values()))
        self._lan = listeners.get("lan")
        self._name = discovery.draw_name(wallet.wallet.book.entropy)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What goes into the request."""
        named = (f"{lan.SCHEME}{self._name}",) if self._ways.announce else ()
        return (*self._all.addresses, *named)

    @property
    def reached(self) -> dict[str, str]:
        """For programs: where this device listens, and what payers are told."""
        if not isinstance(self._lan, lan.LanListener):
            return {"advertised": self._all.address}
        host, port = self._lan.bound
        return {"listening": f"{host}:{port}", "advertised": self._lan.address}

    def serve(
        self, asked: ExchangeView, *, linger: float, as_json: bool, confirm: Confirm | None = None
    ) -> ExchangeView:
        """Wait until the request is paid, and for the payer's goodbye."""

        def met(code: str) -> None:
            if as_json and (self._ways.announce or self._ways.nfc):
                print_json({"code": code})
            if not as_json:
                say(f"A payer is connected. Both screens show {say_code(code)}.")

        with self._announced(asked):
            return self._wallet.listen(
                self._all,
                asked.id,
                linger_seconds=linger,
                offer=True,
                met=met,
                confirm=confirm,
            )

    @contextmanager
    def _announced(self, asked: ExchangeView) -> Iterator[None]:
        if not self._ways.announce or not isinstance(self._lan, lan.LanListener):
            yield
            return
        named = [one for one in asked.transports if lan.is_service(one)]
        host, port = self._lan.place
        announcement = self._wallet.run(
            discovery.Announcement.open(
                named[0].removeprefix(lan.SCHEME) if named else self._name,
                host=host,
                port=port,
                request_id=asked.request_id,
                offers=True,
            )
        )
        try:
            yield
        finally:
            self._wallet.run(announcement.close())


@contextmanager
def waiting(
    wallet: BlockingWallet, ways: Ways, *, earlier: Sequence[str] = ()
) -> Iterator[Waiting]:
    """Listen in each of these ways until the end of the block.

    Args:
        wallet: the payee's.
        ways: how it wants to be met.
        earlier: addresses in a request that is shown again.
    """
    with ExitStack() as stack:
        listeners: dict[str, Listener] = {}
        if ways.lan or ways.announce:
            host, port = lan.split_address(ways.listen) if ways.listen else (lan.local_address(), 0)
            listeners["lan"] = wallet.run(
                lan.LanListener.open(host, port, advertise=ways.advertise, offers=ways.announce)
            )
            stack.callback(lambda: wallet.run(listeners["lan"].close()))
        if ways.ble:
            tokens = [ble.split_address(one) for one in earlier if one.startswith(ble.SCHEME)]
            listeners["ble"] = wallet.run(
                BleListener.open(ways.ble, token=tokens[0] if tokens else None)
            )
            stack.callback(lambda: wallet.run(listeners["ble"].close()))
        if ways.nfc:
            listeners["nfc"] = wallet.run(nfc.open_listener(ways.nfc_device))
            stack.callback(lambda: wallet.run(listeners["nfc"].close()))
        yield Waiting(wallet, ways, listeners)
