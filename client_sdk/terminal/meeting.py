"""The payer's side on the command line: finding the payee, and bringing it the payment."""

import asyncio
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from client_sdk.blocking import BlockingWallet
from client_sdk.core import UNCONFIRMED
from client_sdk.errors import LinkClosed, WalletError
from client_sdk.flows.meeting import Approach
from client_sdk.flows.paying import RequestView
from client_sdk.terminal.opening import say_amount
from client_sdk.terminal.waiting import nfc_device_option, say, say_code
from client_sdk.transports import ble, discovery, lan, nfc
from client_sdk.transports.carriers import Dial
from client_sdk.transports.session import WrongPeer
from client_sdk.views import ExchangeView

if TYPE_CHECKING:
    from client_sdk.transports.nfc.reader import NfcReader

T = TypeVar("T")

TOUCHES_MAX: Final = 5
"""Times that a touch which broke off is asked for again."""
PEEK_SECONDS: Final = 5.0
"""For each payee that announces itself, to say what it asks for."""


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
    @nfc_device_option
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
        return self._by_touches(self._reader, payment)

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

    def _by_touches(self, reader: "NfcReader", payment: ExchangeView) -> ExchangeView:
        failure: LinkClosed | None = None
        for _ in range(TOUCHES_MAX):
            try:
                payment = self._deliver(payment, first=(nfc.SCHEME,) if reader.together else ())
            except LinkClosed as error:
                failure = error
                say(f"{error.detail} {error.fix}")
                continue
            if payment.state not in UNCONFIRMED or payment.refusal:
                return payment
            failure = None
            say("The connection broke off. Hold the devices together again.")
        if failure is not None:
            raise failure
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

    async def peek(service: discovery.Service) -> RequestView | None:
        try:
            async with asyncio.timeout(PEEK_SECONDS):
                wire = await lan.open_first(service.places)
                request = await wallet.wallet.peek(wire)
        except (WalletError, TimeoutError):
            return None
        return request if request.request_id.startswith(service.request_prefix) else None

    services = [service async for service in discovery.nearby()]
    requests = await asyncio.gather(*map(peek, services))
    return [
        (service, request)
        for service, request in zip(services, requests, strict=True)
        if request is not None
    ]


def _whose(wallet: BlockingWallet, request: RequestView) -> str:
    name = request.payee_name or f"the unnamed key {request.payee_key.hex()[:16]}"
    amount = (
        say_amount(wallet, request.amount, request.currency) if request.amount else "any amount"
    )
    return f"{name} asks for {amount}"
