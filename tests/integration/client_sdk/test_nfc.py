"""NFC: nfcpy's peer-to-peer over its UDP loopback; the devices are moved apart at any moment."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nfc.llcp  # type: ignore[import-untyped]
import nfc.snep  # type: ignore[import-untyped]
import pytest

from client_sdk.ambient import SystemClock
from client_sdk.core import State
from client_sdk.errors import LinkClosed, MissingExtra, UnreadableMessage
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports import lan
from client_sdk.transports import nfc as carrier
from client_sdk.transports.base import InvalidAddress
from client_sdk.transports.carriers import connect
from client_sdk.transports.nfc.device import KNOCK, Device
from client_sdk.transports.nfc.handover import MESSAGE_BYTES_MAX, encode
from client_sdk.transports.nfc.listener import NfcListener
from client_sdk.transports.nfc.reader import NfcReader
from client_sdk.transports.reception import Together
from client_sdk.transports.session import SecureLink, call
from client_sdk.views import ExchangeView
from client_sdk.wallet import Wallet
from offline_protocol.handshake import session_public_key
from tests.integration.client_sdk.devices import Device as WalletFile
from tests.integration.client_sdk.devices import make_device

ENTROPY = SeededEntropy("nfc")
SECRET = bytes(range(32))
PUBLIC = session_public_key(SECRET)
REQUEST = b"request of 16 by"
CONTENT_BYTES = 60
"""A datagram longer than this carries more than the two devices telling that they are there."""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("0.0.0.0", 0))  # noqa: S104 - as nfcpy does
        return int(probe.getsockname()[1])


class Air(asyncio.DatagramProtocol):
    """Between two devices: lets so many datagrams with content pass, then nothing until healed."""

    def __init__(self) -> None:
        self.port = free_port()
        """Of the payee's device."""
        self.passing = 10**9
        self.apart = asyncio.Event()
        self._payer: Any = None
        self._front: asyncio.DatagramTransport
        self._back: asyncio.DatagramTransport

    @classmethod
    @asynccontextmanager
    async def between(cls) -> AsyncIterator["Air"]:
        air = cls()
        loop = asyncio.get_running_loop()
        air._front, _ = await loop.create_datagram_endpoint(
            lambda: air, local_addr=("127.0.0.1", 0)
        )
        back = _Back(air)
        air._back, _ = await loop.create_datagram_endpoint(
            lambda: back, local_addr=("127.0.0.1", 0)
        )
        try:
            yield air
        finally:
            air._front.close()
            air._back.close()

    @property
    def payer_path(self) -> str:
        return f"udp:127.0.0.1:{self._front.get_extra_info('sockname')[1]}"

    @property
    def payee_path(self) -> str:
        return f"udp:127.0.0.1:{self.port}"

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._payer = addr
        if self.lets(data):
            self._back.sendto(data, ("127.0.0.1", self.port))

    def back(self, data: bytes) -> None:
        if self._payer is not None and self.lets(data):
            self._front.sendto(data, self._payer)

    def lets(self, data: bytes) -> bool:
        if self.passing and len(data) > CONTENT_BYTES:
            self.passing -= 1
        if not self.passing:
            self.apart.set()
        return bool(self.passing)

    def heal(self) -> None:
        self.passing = 10**9


class _Back(asyncio.DatagramProtocol):
    def __init__(self, air: Air) -> None:
        self._air = air

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002
        self._air.back(data)


@asynccontextmanager
async def devices() -> AsyncIterator[tuple[Air, NfcListener, NfcReader]]:
    async with Air.between() as air:
        listener = await carrier.open_listener(air.payee_path)
        reader = await carrier.open_reader(air.payer_path)
        try:
            yield air, listener, reader
        finally:
            await asyncio.gather(reader.close(), listener.close())


async def two_wallets() -> tuple[Wallet, Wallet]:
    issuer = Issuer()
    return await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")


async def echo(link: SecureLink) -> None:
    while True:
        await link.send(await link.receive())


async def joined(reader: NfcReader) -> SecureLink:
    wire = await reader.dial("nfc:", request_id=REQUEST)
    return await call(wire, request_id=REQUEST, session_key=PUBLIC, entropy=ENTROPY)


async def test_frames_of_every_size_pass_both_ways_and_goodbye_is_clean() -> None:
    ends: asyncio.Queue[LinkClosed] = asyncio.Queue()

    async def attend(link: SecureLink) -> None:
        try:
            await echo(link)
        except LinkClosed as end:
            ends.put_nowait(end)
            raise

    async with devices() as (_, listener, reader):
        listener.attend(attend, request_id=REQUEST, secret=SECRET, entropy=ENTROPY)
        link = await joined(reader)
        for size in (1, 128, 2175, 2176, 4096, 32_770):
            frame = ENTROPY(size)
            await link.send(frame)
            assert await link.receive() == frame
        await link.close()
        assert (await ends.get()).clean
        for _ in range(10):  # again and again on the same touch
            link = await joined(reader)
            await link.send(b"frame")
            assert await link.receive() == b"frame"
            link.abort()


async def test_a_whole_payment_over_a_touch() -> None:
    payer, payee = await two_wallets()
    async with devices() as (_, listener, reader):
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        codes: list[str] = []
        serving = asyncio.create_task(
            payee.listen(listener, asked.exchange.id, offer=True, met=codes.append)
        )
        given = await reader.read_request()
        assert given.frame == asked.frame
        sent = await payer.pay(given.frame)
        mine: list[str] = []
        paid = await payer.deliver(sent.id, dials={"nfc": reader.dial}, met=mine.append)
        taken = await serving
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    assert codes == mine
    await payer.close()
    await payee.close()


async def test_a_touch_brings_the_request_and_the_network_the_payment() -> None:
    payer, payee = await two_wallets()
    async with devices() as (air, touched, reader):
        ways = Together([await lan.LanListener.open("127.0.0.1", 0), touched])
        asked = await payee.request_payment(250, "EUR", transports=ways.addresses)
        serving = asyncio.create_task(payee.listen(ways, asked.exchange.id, offer=True))
        given = await reader.read_request()
        air.passing = 0  # taken away again
        assert given.addresses == ways.addresses[:1]
        assert (await payer.inspect(given.frame)).payee_name == "payee"
        sent = await payer.pay(given.frame)
        paid = await payer.deliver(sent.id)
        taken = await serving
        assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
        await ways.close()
    await payer.close()
    await payee.close()


@pytest.mark.parametrize("passing", [0, 1, 2, 3, 4, 5, 6])
async def test_parting_at_any_moment_loses_nothing_and_the_next_touch_ends_it(
    passing: int,
) -> None:
    payer, payee = await two_wallets()
    async with devices() as (air, listener, reader):
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
        sent = await payer.pay(asked.frame)
        first = await reader.dial("nfc:", request_id=asked.exchange.request_id)
        first.abort()
        air.passing = passing
        if passing == 0:
            air.apart.set()
        trying = asyncio.create_task(payer.deliver(sent.id, dials={"nfc": reader.dial}))
        await air.apart.wait()
        # Either nobody was reached, or the connection broke off; trying again is all one can do.
        (outcome,) = await asyncio.gather(trying, return_exceptions=True)
        if isinstance(outcome, ExchangeView):
            assert outcome.words in {"sent, not confirmed", "paid, confirmed by the payee"}
        else:
            assert isinstance(outcome, LinkClosed)
            assert outcome.retryable
            assert outcome.fix
        air.heal()
        paid = await payer.deliver(sent.id, dials={"nfc": reader.dial})
        taken = await serving
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    assert [one.spendable for one in await payee.balance()] == [250]
    await payer.close()
    await payee.close()


async def test_parting_before_the_request_is_across_is_told_and_may_be_repeated() -> None:
    payer, payee = await two_wallets()
    async with devices() as (air, listener, reader):
        asked = await payee.request_payment(250, "EUR", transports=("nfc:",))
        air.passing = 3  # two to make the link, and then the message
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id, offer=True))
        with pytest.raises(carrier.DevicesApart) as parted:
            await reader.read_request()
        assert parted.value.retryable
        assert "nothing is paid twice" in str(parted.value.fix)
        air.heal()
        assert (await reader.read_request()).frame == asked.frame
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    await payer.close()
    await payee.close()


async def test_a_second_touch_gets_the_same_receipt() -> None:
    payer, payee = await two_wallets()
    async with devices() as (_, listener, reader):
        asked = await payee.request_payment(250, "EUR", transports=("nfc:",))
        request = await payer.inspect(asked.frame)
        listener.attend(
            payee.serve,
            request_id=request.request_id,
            secret=payee.book.exchange(asked.exchange.id).session_secret,
            entropy=payee.book.entropy,
        )
        payment = await payer.frame_of((await payer.pay(asked.frame)).id)
        answers = set()
        for _ in range(3):
            link = await connect(
                ["nfc:"],
                request_id=request.request_id,
                session_key=request.session_key,
                entropy=ENTROPY,
                dials={"nfc": reader.dial},
            )
            await link.send(payment)
            answers.add(await link.receive())
            await link.close()
        (receipt,) = answers
        assert (await payer.accept_receipt(receipt)).exchange is not None
    assert [one.spendable for one in await payee.balance()] == [250]
    await payer.close()
    await payee.close()


async def test_another_device_than_a_payees_is_told() -> None:
    async with Air.between() as air:
        stranger = await Device.open(air.payee_path, "target")
        stranger.start(prepare=lambda _: None, met=lambda _: None, parted=lambda: None)
        reader = await carrier.open_reader(air.payer_path)
        with pytest.raises(LinkClosed, match="takes no payments"):
            await reader.dial("nfc:", request_id=REQUEST)
        with pytest.raises(InvalidAddress):
            await reader.dial("nfc:elsewhere", request_id=REQUEST)
        await asyncio.gather(reader.close(), stranger.close())
        with pytest.raises(LinkClosed, match="closed"):
            await reader.read_request()


async def test_nobody_touching_is_told() -> None:
    async with Air.between() as air:
        reader = await carrier.open_reader(air.payer_path)
        with pytest.raises(carrier.DevicesApart, match="No other device"):
            await reader.read_request(seconds=0.05)
        with pytest.raises(carrier.DevicesApart, match="No other device"):
            await reader.dial("nfc:", request_id=REQUEST, seconds=0.05)
        await reader.close()
        await reader.close()


# Devices that are no friends.


@asynccontextmanager
async def raw(path: str, role: Any) -> AsyncIterator[tuple[Device, Any]]:
    """A device of our own choosing, and its link."""
    met: asyncio.Queue[Any] = asyncio.Queue()
    device = await Device.open(path, role)

    def touched(llc: Any) -> None:
        carrier.tell(device.loop, met.put_nowait, llc)

    device.start(prepare=lambda _: None, met=touched, parted=lambda: None)
    try:
        yield device, await met.get()
    finally:
        await device.close()


@pytest.mark.parametrize(
    "sent",
    [
        [b""],
        [b"\0"],
        [b"\0\0\0\1x"],
        [b"\0\0\0\0", b"\xff\xff\xff\xff"],
        [b"\0\0\0\0", b"\0\0\x80\x13"],
        [b"\0\0\0\0", b"\0\0\0\x30" + bytes(48)],
        [b"\0\0\0\0", b"GET / HTTP/1.1"],
    ],
)
async def test_garbage_on_the_service_ends_that_connection_only(sent: list[bytes]) -> None:
    async with Air.between() as air:
        listener = await carrier.open_listener(air.payee_path)
        listener.attend(echo, request_id=REQUEST, secret=SECRET, entropy=ENTROPY)
        async with raw(air.payer_path, "initiator") as (_, llc):

            def misbehave() -> bytes:
                peer = nfc.llcp.Socket(llc, nfc.llcp.DATA_LINK_CONNECTION)
                peer.connect(carrier.SERVICE)
                got = b""
                for unit in sent:
                    peer.send(unit)
                    if unit == KNOCK:
                        got += peer.recv()
                while (unit := peer.recv()) is not None:  # until the payee hangs up
                    got += unit
                return got

            got = await carrier.in_thread(misbehave, name="misbehaving")
            assert len(got) <= 4 + 37  # the knock and the greeting, no more
        reader = await carrier.open_reader(air.payer_path)
        link = await joined(reader)
        await link.send(b"still here")
        assert await link.receive() == b"still here"
        await asyncio.gather(reader.close(), listener.close())


@pytest.mark.parametrize(
    "message",
    [b"", b"\xd0\0\0", b"no NDEF at all", ENTROPY(300), bytes(MESSAGE_BYTES_MAX)],
)
async def test_garbage_by_a_touch_is_no_request(message: bytes) -> None:
    async with Air.between() as air:
        reader = await carrier.open_reader(air.payer_path)
        async with raw(air.payee_path, "target") as (_, llc):
            put = nfc.snep.SnepClient(llc).put_octets
            await carrier.in_thread(lambda: put(message, 5.0), name="putting")
            with pytest.raises(UnreadableMessage):
                await reader.read_request()
            await reader.close()


async def test_more_than_any_request_is_not_taken() -> None:
    async with Air.between() as air:
        reader = await carrier.open_reader(air.payer_path)
        async with raw(air.payee_path, "target") as (_, llc):
            put = nfc.snep.SnepClient(llc).put_octets
            refused = await carrier.in_thread(
                lambda: put(bytes(MESSAGE_BYTES_MAX + 1), 5.0), name="putting"
            )
            assert refused is False
            with pytest.raises(carrier.DevicesApart):
                await reader.read_request(seconds=0.05)
            await reader.close()


async def test_the_last_message_counts_when_somebody_puts_many() -> None:
    payer, payee = await two_wallets()
    frames = [(await payee.request_payment(amount, "EUR")).frame for amount in (100, 200)]
    async with Air.between() as air:
        reader = await carrier.open_reader(air.payer_path)
        async with raw(air.payee_path, "target") as (_, llc):
            put = nfc.snep.SnepClient(llc).put_octets
            for frame in frames:
                message = encode(frame)
                await carrier.in_thread(lambda: put(message, 5.0), name="putting")  # noqa: B023
            assert (await reader.read_request()).frame == frames[1]
            await reader.close()
    await payer.close()
    await payee.close()


# Without a device, without the packages, and at the end of a program.


@pytest.mark.parametrize("path", ["tty:nowhere:pn532", "usb:ffff:ffff", "nonsense"])
async def test_a_device_that_is_not_there_is_told(path: str) -> None:
    for opening in (carrier.open_listener, carrier.open_reader):
        with pytest.raises(carrier.NoNfcDevice) as refusal:
            await opening(path)
        assert refusal.value.fix


async def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("client_sdk.transports.nfc.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nfc", None)
    for opening in (carrier.open_listener, carrier.open_reader):
        with pytest.raises(MissingExtra) as refusal:
            await opening("usb")
        assert "tallystick[nfc]" in str(refusal.value.fix)


def test_a_program_ends_though_a_device_is_open() -> None:
    lines = (
        "import asyncio, sys",
        "from client_sdk.transports import nfc",
        "async def main():",
        "    listener = await nfc.open_listener(sys.argv[1])",
        "    listener.attend(None, request_id=b'', secret=b'', entropy=bytes)",
        "    reader = await nfc.open_reader(sys.argv[1])",
        "    while not reader.together:",
        "        await asyncio.sleep(0)",
        "    print('touching')",
        "asyncio.run(main())",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), f"udp:127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "touching\n", "")


# The command line, in processes of their own.


@pytest.fixture
def till_and_phone(tmp_path: Path) -> tuple[WalletFile, WalletFile]:
    issuer = Issuer(now=SystemClock().now())
    return make_device(issuer, tmp_path, "till"), make_device(issuer, tmp_path, "phone", 2000)


def lines_of(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_two_processes_pay_by_a_touch(till_and_phone: tuple[WalletFile, WalletFile]) -> None:
    till, phone = till_and_phone
    where = ("--nfc", "--nfc-device", f"udp:localhost:{free_port()}", "--json")
    waiting = till.start("request", "12.50", "EUR", *where)
    paying = phone.start("pay", "--yes", *where)
    paid = lines_of(paying)[-1]["exchange"]
    assert (paid["words"], paid["peer_name"]) == ("paid, confirmed by the payee", "till")
    shown, met, received = lines_of(waiting)
    assert shown["advertised"] == "nfc:"
    assert len(met["code"]) == 6
    assert received["exchange"]["state"] == "receipted"
    assert phone.run("balance")["offline"][0]["spendable"] == 750


@pytest.mark.parametrize("passing", [3, 6, 9])  # the touch, the handshake, the payment
async def test_two_processes_parted_in_the_middle_and_brought_together_again(
    till_and_phone: tuple[WalletFile, WalletFile], passing: int
) -> None:
    till, phone = till_and_phone
    async with Air.between() as air:
        air.passing = passing
        waiting = till.start(
            *("request", "12.50", "EUR", "--nfc", "--json", "--nfc-device", air.payee_path)
        )
        paying = phone.start("pay", "--yes", "--nfc", "--json", "--nfc-device", air.payer_path)
        assert paying.stderr is not None
        said = ""
        while "together again" not in said:
            said = await asyncio.to_thread(paying.stderr.readline)
            assert said, "the command has ended"
        air.heal()
        paid = (await asyncio.to_thread(lines_of, paying))[-1]["exchange"]
        assert paid["state"] == "acked"
        received = (await asyncio.to_thread(lines_of, waiting))[-1]["exchange"]
        assert received["state"] == "receipted"
    assert (await asyncio.to_thread(till.run, "balance"))["offline"][0]["spendable"] == 1250


def test_without_a_reader_the_command_says_so(
    till_and_phone: tuple[WalletFile, WalletFile],
) -> None:
    _, phone = till_and_phone
    error = phone.run("pay", "--nfc", "--nfc-device", "usb:ffff:ffff", code=1)["error"]
    assert error["code"] == "no_nfc_device"
