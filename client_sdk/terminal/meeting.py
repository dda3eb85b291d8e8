"""Meeting the other device from the command line: local network, Bluetooth, a touch (NFC)."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.core import UNCONFIRMED
from client_sdk.errors import LinkClosed, WalletError
from client_sdk.flows.meeting import Approach
from client_sdk.flows.paying import RequestView
from client_sdk.terminal.opening import say_amount
from client_sdk.terminal.output import print_json
from client_sdk.transports import ble, discovery, lan, nfc
from client_sdk.transports.ble.listener import BleListener
from client_sdk.transports.carriers import Dial
from client_sdk.transports.reception import Together
from client_sdk.transports.session import Listener, WrongPeer
from client_sdk.views import ExchangeView

if TYPE_CHECKING:
    from client_sdk.transports.nfc.reader import NfcReader

T = TypeVar("T")

TOUCHES_MAX: Final = 5
"""Times that a touch which broke off is asked for again."""
_GROUP: Final = 3

_nfc_device = click.option(
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


# The payee.


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
    @_nfc_device
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

    def serve(self, asked: ExchangeView, *, linger: float, as_json: bool) -> ExchangeView:
        """Wait until the request is paid, and for the payer's goodbye."""

        def met(code: str) -> None:
            if as_json and (self._ways.announce or self._ways.nfc):
                print_json({"code": code})
            if not as_json:
                say(f"A payer is connected. Both screens show {say_code(code)}.")

        with self._announced(asked):
            return self._wallet.listen(
                self._all, asked.id, linger_seconds=linger, offer=True, met=met
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


# The payer.


@dataclass(frozen=True)
class Search:
    """How a payer looks for the payee."""

    lan: bool
    ble: str | None
    nfc: bool
    nfc_device: str

    @property
    def none(self) -> bool:
        return not (self.lan or self.nfc)


def looks_for_payees(command: Callable[..., T]) -> Callable[..., T]:
    """Add the options; the command gets `search`."""

    @click.option("--lan", "lan", is_flag=True, help="Look who asks on the local network.")
    @click.option(
        "--ble",
        metavar="ADAPTER",
        help="Bluetooth to reach the payee by: system (as without it), system:hci1, or usb:0.",
    )
    @click.option("--nfc", "nfc", is_flag=True, help="Take the request by a touch.")
    @_nfc_device
    @functools.wraps(command)
    def call(
        *args: Any, lan: bool, ble: str | None, nfc: bool, nfc_device: str, **kwargs: Any
    ) -> T:
        return command(*args, search=Search(lan, ble, nfc, nfc_device), **kwargs)

    return call


class Meeting:
    """A payer's means to find a payee and to reach it; made by `meeting`."""

    def __init__(
        self, wallet: BlockingWallet, reader: "NfcReader | None", adapter: str | None
    ) -> None:
        """Take the wallet, an NFC reader, and the name of a Bluetooth adapter."""
        self._wallet = wallet
        self._reader = reader
        self._adapter = adapter
        self._approach: Approach | None = None

    @property
    def dials(self) -> dict[str, Dial]:
        touched: dict[str, Dial] = {} if self._reader is None else {"nfc": self._reader.dial}
        return {"ble": functools.partial(ble.dial, adapter=self._adapter), **touched}

    def find(self) -> bytes:
        """The request of a payee, as a frame: from a touch, or found on the local network.

        On the network anybody may ask for money under any name, so the digits that the payee's
        screen shows have to be typed in.

        Raises:
            LinkClosed: nobody asks here.
            WrongPeer: the digits are not those of this session.
        """
        if self._reader is not None:
            return self._touch(self._reader)
        service = self._choose()
        wire = self._wallet.run(lan.open_first(service.places))
        found = self._approach = self._wallet.approach(wire)
        whose = _whose(self._wallet, found.request)
        typed = click.prompt(f"{whose}. Type the six digits on the payee's screen", err=True)
        if "".join(str(typed).split()) != found.link.code:
            found.link.abort()
            raise WrongPeer(
                "The digits differ: this is not the device in front of you. Nothing was paid.",
                fix="Scan the code on the payee's screen instead.",
            )
        return found.frame

    def hand_over(self, payment: ExchangeView) -> ExchangeView:
        """Bring a payment to its payee; a touch that breaks off is asked for again.

        Raises:
            LinkClosed: nobody could be reached.
        """
        approach, self._approach = self._approach, None
        if approach is not None and approach.request.request_id == payment.request_id:
            payment = self._wallet.resend(payment.id, approach.link)
            approach.link.abort()
            if payment.state not in UNCONFIRMED or payment.refusal:
                return payment
        if self._reader is None:
            return self._deliver(payment)
        for _ in range(TOUCHES_MAX):
            payment = self._by_touch(self._reader, payment)
            if payment.state not in UNCONFIRMED or payment.refusal:
                break
        return payment

    def close(self) -> None:
        if self._approach is not None:
            self._approach.link.abort()
        if self._reader is not None:
            self._wallet.run(self._reader.close())

    def _touch(self, reader: "NfcReader") -> bytes:
        say("Hold this device against the payee's.")
        for _ in range(TOUCHES_MAX):
            try:
                return self._wallet.run(reader.read_request()).frame
            except nfc.DevicesApart as error:
                failure = error
                say(f"{error.detail} {error.fix}")
        raise failure

    def _by_touch(self, reader: "NfcReader", payment: ExchangeView) -> ExchangeView:
        try:
            payment = self._deliver(payment, first=(nfc.SCHEME,) if reader.together else ())
        except nfc.DevicesApart as error:
            say(f"{error.detail} {error.fix}")
            return self._wallet.exchange(payment.id)
        if payment.state in UNCONFIRMED and not payment.refusal:
            say("The connection broke off. Hold the devices together again.")
        return payment

    def _deliver(self, payment: ExchangeView, *, first: Sequence[str] = ()) -> ExchangeView:
        return self._wallet.deliver(
            payment.id,
            first=first,
            dials=self.dials,
            met=lambda code: say(f"Connected. Both screens show {say_code(code)}."),
        )

    def _choose(self) -> discovery.Service:
        found = self._wallet.run(_look(self._wallet))
        if not found:
            raise LinkClosed(
                "Nobody on this network asks for a payment.",
                fix="Let the payee announce its request, or scan its code.",
            )
        if len(found) == 1:
            return found[0][0]
        for number, (_, request) in enumerate(found, start=1):
            say(f"{number}. {_whose(self._wallet, request)}")
        picked = click.prompt("Which one", type=click.IntRange(1, len(found)), err=True)
        return found[picked - 1][0]


@contextmanager
def meeting(wallet: BlockingWallet, search: Search) -> Iterator[Meeting]:
    """What a payer needs, given back at the end of the block."""
    reader = wallet.run(nfc.open_reader(search.nfc_device)) if search.nfc else None
    here = Meeting(wallet, reader, search.ble)
    try:
        yield here
    finally:
        here.close()


async def _look(wallet: BlockingWallet) -> list[tuple[discovery.Service, RequestView]]:
    """Who asks on the local network now; whoever gives no proper request is left out."""
    found = []
    async for service in discovery.nearby():
        try:
            wire = await lan.open_first(service.places)
            request = await wallet.wallet.peek(wire)
        except WalletError:
            continue
        if request.request_id.startswith(service.request_prefix):
            found.append((service, request))
    return found


def _whose(wallet: BlockingWallet, request: RequestView) -> str:
    name = request.payee_name or f"the unnamed key {request.payee_key.hex()[:16]}"
    amount = (
        say_amount(wallet, request.amount, request.currency) if request.amount else "any amount"
    )
    return f"{name} asks for {amount}"
