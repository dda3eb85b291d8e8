"""The local network: real sockets and processes, connections that break, a killed payer."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client_sdk.core import State
from client_sdk.errors import LinkClosed, StoreFull
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports import lan
from client_sdk.transports.base import InvalidAddress
from client_sdk.views import ExchangeView
from client_sdk.wallet import Wallet
from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device

EVERYWHERE = "0.0.0.0"  # noqa: S104 - listened on for a moment


class Proxy:
    """A TCP relay that can let a number of bytes through each way and then hold the rest back."""

    def __init__(self) -> None:
        self.target = ("127.0.0.1", 0)
        self.limits: list[tuple[int, int]] = []
        self.stuck = asyncio.Event()
        self.seen = b""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limits = self.limits.pop(0) if self.limits else (10**9, 10**9)
        there_reader, there_writer = await asyncio.open_connection(*self.target)
        relays = [
            asyncio.create_task(self._relay(reader, there_writer, limits[0])),
            asyncio.create_task(self._relay(there_reader, writer, limits[1])),
        ]
        met = asyncio.current_task()
        assert met is not None
        self._tasks.update((met, *relays))
        try:
            await asyncio.wait(relays, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the proxy stops
        finally:
            for end in (writer, there_writer):
                end.close()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int
    ) -> None:
        while data := await reader.read(4096):
            self.seen += data
            passing, limit = data[:limit], max(0, limit - len(data))
            if passing:
                writer.write(passing)
                await writer.drain()
            if len(passing) < len(data):
                self.stuck.set()


@asynccontextmanager
async def proxied() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def two_wallets() -> tuple[Wallet, Wallet]:
    issuer = Issuer()
    return await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")


async def test_two_devices_pay_over_tcp() -> None:
    payer, payee = await two_wallets()
    async with lan.listening("127.0.0.1", 0) as listener:
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        sent = await payer.pay(asked.frame)
        paid, taken = await asyncio.gather(
            payer.deliver(sent.id), payee.listen(listener, asked.exchange.id)
        )
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    await payer.close()
    await payee.close()


# How many bytes pass there and back on each connection: the payee's greeting is 37 bytes, then
# each side sends 52 bytes of handshake, the payer first.
@pytest.mark.parametrize(
    "cuts",
    [
        [(0, 0)],
        [(10**9, 20)],
        [(0, 37)],
        [(20, 37)],
        [(52, 47)],
        [(52, 89)],
        [(60, 89)],
        [(300, 89)],
        [(10**9, 89)],
        [(10**9, 97), (10**9, 150)],
    ],
)
async def test_a_connection_cut_anywhere_is_taken_up_again(cuts: list[tuple[int, int]]) -> None:
    payer, payee = await two_wallets()
    async with (
        proxied() as proxy,
        lan.listening("127.0.0.1", 0, advertise=proxy.address) as listener,
    ):
        proxy.target, proxy.limits = listener.bound, list(cuts)
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
        sent = await payer.pay(asked.frame)
        for _ in cuts:
            trying = asyncio.create_task(payer.deliver(sent.id))
            await proxy.stuck.wait()
            proxy.stuck.clear()
            trying.cancel()
            await asyncio.gather(trying, return_exceptions=True)
            assert (await payer.exchange(sent.id)).state is not State.ACKED
        paid = await payer.deliver(sent.id)
        taken = await serving
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    assert [one.spendable for one in await payee.balance()] == [250]
    await payer.close()
    await payee.close()


async def test_nobody_on_the_way_can_read_the_payment() -> None:
    payer, payee = await two_wallets()
    async with (
        proxied() as proxy,
        lan.listening("127.0.0.1", 0, advertise=proxy.address) as listener,
    ):
        proxy.target = listener.bound
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        sent = await payer.pay(asked.frame)
        await asyncio.gather(payer.deliver(sent.id), payee.listen(listener, asked.exchange.id))
    assert len(proxy.seen) > 500
    (transfer,) = await payer.signed_transfers()
    assert transfer.envelope not in proxy.seen
    await payer.close()
    await payee.close()


async def test_a_full_disk_is_told_to_the_payee_and_the_payer_stays_in_doubt() -> None:
    issuer = Issuer()
    payer, payee = await new_wallet(issuer, "payer", *[40] * 8), await new_wallet(issuer, "payee")
    async with lan.listening("127.0.0.1", 0) as listener:
        asked = await payee.request_payment(320, "EUR", transports=(listener.address,))
        connection = payee.book.store._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        big = await payer.pay(asked.frame)
        paid, taken = await asyncio.gather(
            payer.deliver(big.id),
            payee.listen(listener, asked.exchange.id),
            return_exceptions=True,
        )
    assert isinstance(taken, StoreFull)
    assert isinstance(paid, ExchangeView)
    assert paid.words == "sent, not confirmed"
    connection.execute("PRAGMA max_page_count = 100000")
    got = await payee.receive(await payer.frame_of(big.id))
    assert got.answer == "paid"
    await payer.close()
    await payee.close()


async def test_a_listener_on_all_addresses_tells_one_that_can_be_reached() -> None:
    async with lan.listening(EVERYWHERE, 0) as listener:
        host, port = lan.split_address(listener.address)
        assert host == lan.local_address() != EVERYWHERE
        assert port == listener.bound[1]


async def test_where_nobody_listens_nothing_is_sent() -> None:
    payer, payee = await two_wallets()
    async with lan.listening("127.0.0.1", 0) as listener:
        address = listener.address
    asked = await payee.request_payment(250, "EUR", transports=(address,))
    sent = await payer.pay(asked.frame)
    with pytest.raises(LinkClosed, match="Nobody answers"):
        await payer.deliver(sent.id)
    assert (await payer.exchange(sent.id)).words == "ready, not sent"
    await payer.close()
    await payee.close()


@pytest.mark.parametrize("text", ["", "host", ":4100", "host:", "host:x", "host:70000", "lan:"])
def test_a_bad_address_is_told_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        lan.split_address(text)
    assert "192.0.2.7:4100" in str(refusal.value.fix)


def test_addresses_of_both_kinds_read_back() -> None:
    for host, port in (("192.0.2.7", 4100), ("2001:db8::7", 1), ("till.local", 65535)):
        assert lan.split_address(lan.join_address(host, port)) == (host, port)


# The command line, in processes of their own.


@pytest.fixture
def till_and_phone(tmp_path: Path) -> tuple[Device, Device]:
    issuer = issuer_of_today()
    return make_device(issuer, tmp_path, "till"), make_device(issuer, tmp_path, "phone", 2000)


def listening_line(till: "subprocess.Popen[str]") -> dict[str, str]:
    assert till.stdout is not None
    line: dict[str, str] = json.loads(till.stdout.readline())
    return line


def paid_line(till: "subprocess.Popen[str]") -> dict[str, dict[str, str]]:
    out, err = till.communicate(timeout=60)
    assert till.returncode == 0, err
    line: dict[str, dict[str, str]] = json.loads(out.splitlines()[-1])
    return line


def test_two_processes_pay_over_the_network(till_and_phone: tuple[Device, Device]) -> None:
    till, phone = till_and_phone
    waiting = till.start("request", "12.50", "EUR", "--lan", "--listen", "127.0.0.1:0", "--json")
    shown = listening_line(waiting)
    assert shown["advertised"] == f"lan:{shown['listening']}"
    paid = phone.run("pay", shown["text"], "--yes")
    assert paid["exchange"]["words"] == "paid, confirmed by the payee"
    assert paid["exchange"]["peer_name"] == "till"
    assert paid_line(waiting)["exchange"]["state"] == "receipted"
    assert phone.run("balance")["offline"][0]["spendable"] == 750


@pytest.mark.parametrize("back", [89, 47])
async def test_a_payer_killed_midway_resumes_with_the_same_payment(
    till_and_phone: tuple[Device, Device], back: int
) -> None:
    till, phone = till_and_phone
    async with proxied() as proxy:
        waiting = till.start(
            *("request", "10.00", "EUR", "--lan", "--listen", "127.0.0.1:0"),
            *("--advertise", proxy.address, "--json"),
        )
        shown = await asyncio.to_thread(listening_line, waiting)
        assert shown["advertised"] == f"lan:{proxy.address}"
        host, _, port = shown["listening"].rpartition(":")
        proxy.target = (host, int(port))
        proxy.limits = [(10**9, back)]
        paying = phone.start("pay", shown["text"], "--yes", "--json")
        await proxy.stuck.wait()
        paying.send_signal(signal.SIGKILL)
        await asyncio.to_thread(paying.communicate)
        assert paying.returncode == -signal.SIGKILL
        held = await asyncio.to_thread(phone.run, "balance")
        assert (held["offline"][0]["spendable"], held["offline"][0]["unconfirmed"]) == (1000, 1000)
        resumed = await asyncio.to_thread(phone.run, "pay", "--resume")
        assert resumed["exchange"]["state"] == "acked"
        paid = await asyncio.to_thread(paid_line, waiting)
        assert paid["exchange"]["state"] == "receipted"
    assert phone.run("pay", "--resume", code=1)["error"]["code"] == "nothing_to_resume"
    assert till.run("balance")["offline"][0]["spendable"] == 1000
