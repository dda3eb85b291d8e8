"""Payees that announce themselves: real multicast DNS on the loopback, in several processes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from client_sdk.ambient import SystemClock, system_entropy
from client_sdk.core import State
from client_sdk.errors import LinkClosed, MissingExtra
from client_sdk.testing import Issuer, new_wallet
from client_sdk.transports import discovery, lan
from client_sdk.transports.carriers import connect
from client_sdk.transports.discovery import Announcement, Service
from client_sdk.wallet import Wallet
from tests.integration.client_sdk.devices import Device, make_device

LOOPBACK = ("127.0.0.1",)
REQUEST = b"request with 16 b"[:16]


@asynccontextmanager
async def announced(
    *, port: int = 4100, request_id: bytes = REQUEST, offers: bool = True
) -> AsyncIterator[str]:
    name = discovery.draw_name(system_entropy)
    announcement = await Announcement.open(
        name,
        host="127.0.0.1",
        port=port,
        request_id=request_id,
        offers=offers,
        interfaces=LOOPBACK,
    )
    try:
        yield name
    finally:
        await announcement.close()


async def seen(*names: str) -> dict[str, Service]:
    """The services of these names, when all have been found."""
    found: dict[str, Service] = {}
    async with aclosing(discovery.nearby(seconds=30, interfaces=LOOPBACK)) as services:
        async for service in services:
            found[service.name] = service
            if set(names) <= set(found):
                break
    return found


async def test_an_announced_payee_is_found_by_name_and_by_looking_around() -> None:
    async with announced() as name:
        service = await discovery.find(name, REQUEST, interfaces=LOOPBACK)
        assert service == Service(name, REQUEST[:4], True, (("127.0.0.1", 4100),))  # noqa: FBT003
        assert (await seen(name))[name] == service


async def test_what_is_not_offered_is_not_listed() -> None:
    async with announced(offers=False) as quiet, announced() as name:
        assert quiet not in await seen(name)
        assert (await discovery.find(quiet, REQUEST, interfaces=LOOPBACK)).offers is False


async def test_a_name_that_answers_for_another_request_is_refused() -> None:
    async with announced() as name:
        with pytest.raises(LinkClosed, match="no longer waiting"):
            await discovery.find(name, b"quite another one", interfaces=LOOPBACK)


async def test_a_name_that_is_gone_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "FIND_SECONDS", 0.3)
    async with announced() as name:
        pass
    with pytest.raises(LinkClosed, match="not on this network"):
        await discovery.find(name, REQUEST, interfaces=LOOPBACK)


async def test_nothing_lasting_is_announced() -> None:
    """Neither the host's name nor an account's: each request has digits of its own."""
    async with announced() as one, announced() as other:
        assert one != other
        async with discovery._running(LOOPBACK) as zeroconf:
            info = await zeroconf.async_get_service_info(
                discovery.SERVICE, f"{one}.{discovery.SERVICE}"
            )
            assert info.server == f"{one}.local."
            assert info.decoded_properties == {"v": "1", "r": REQUEST[:4].hex(), "o": "1"}


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("not-sixteen-digits", {"v": "1", "r": "00000000", "o": "1"}),
        ("00000000000000zz", {"v": "1", "r": "00000000", "o": "1"}),
        ("{name}", {"v": "2", "r": "00000000", "o": "1"}),
        ("{name}", {"v": "1", "r": "short", "o": "1"}),
        ("{name}", {"v": "1", "o": "1"}),
        ("{name}", {}),
    ],
)
async def test_announcements_of_another_form_are_passed_over(
    name: str, properties: dict[str, str]
) -> None:
    module = discovery._module()
    name = name.format(name=discovery.draw_name(system_entropy))
    odd = module.ServiceInfo(
        discovery.SERVICE,
        f"{name}.{discovery.SERVICE}",
        port=4100,
        parsed_addresses=["127.0.0.1"],
        server="odd.local.",
        properties=properties,
    )
    async with discovery._running(LOOPBACK) as zeroconf:
        await zeroconf.async_register_service(odd, cooperating_responders=True)
        async with announced() as good:
            assert name not in await seen(good)


async def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(MissingExtra) as refusal:
        await discovery.find("0" * 16, REQUEST)
    assert "tallystick[lan]" in str(refusal.value.fix)
    # An address that needs it is passed over, and the next one tried.
    with pytest.raises(LinkClosed, match="cannot be reached: Finding"):
        await connect(
            ["lan:" + "0" * 16], request_id=REQUEST, session_key=b"", entropy=system_entropy
        )


async def two_wallets() -> tuple[Wallet, Wallet]:
    issuer = Issuer()
    return await new_wallet(issuer, "payer", 900), await new_wallet(issuer, "payee")


async def test_a_request_may_name_the_service_instead_of_host_and_port() -> None:
    payer, payee = await two_wallets()
    async with lan.listening("127.0.0.1", 0) as listener:
        name = discovery.draw_name(system_entropy)
        asked = await payee.request_payment(250, "EUR", transports=(f"lan:{name}",))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
        announcement = await Announcement.open(
            name,
            host="127.0.0.1",
            port=listener.bound[1],
            request_id=asked.exchange.request_id,
            offers=False,
            interfaces=LOOPBACK,
        )
        sent = await payer.pay(asked.frame)
        paid = await payer.deliver(sent.id)
        taken = await serving
        await announcement.close()
    assert (paid.state, taken.state) == (State.ACKED, State.RECEIPTED)
    await payer.close()
    await payee.close()


async def test_a_request_that_is_not_offered_cannot_be_asked_for() -> None:
    payer, payee = await two_wallets()
    async with lan.listening("127.0.0.1", 0) as listener:
        asked = await payee.request_payment(250, "EUR", transports=(listener.address,))
        serving = asyncio.create_task(payee.listen(listener, asked.exchange.id))
        with pytest.raises(LinkClosed):
            await payer.peek(await lan.open_wire(*listener.bound))
        with pytest.raises(LinkClosed):
            await payer.approach(await lan.open_wire(*listener.bound))
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    await payer.close()
    await payee.close()


# The command line, in processes of their own.


@dataclass
class Running:
    """A command, its lines and its questions."""

    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, device: Device, *words: str) -> "Running":
        return cls(
            subprocess.Popen(
                device.command(*words),
                env=device.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def last(self, *, code: int = 0) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == code, (out, err)
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """One of its own for each test, so that requests of other tests are foreign to its wallets."""
    return Issuer(seed=str(tmp_path), now=SystemClock().now())


def asking(
    till: Device, amount: str = "12.50", advertise: tuple[str, ...] = ()
) -> tuple[Running, dict[str, Any]]:
    waiting = Running.start(
        till,
        *("request", amount, "EUR", "--announce", "--listen", "127.0.0.1:0", "--json"),
        *advertise,
    )
    return waiting, waiting.line()


def test_a_payer_without_the_code_finds_the_payee_and_compares_digits(
    issuer: Issuer, tmp_path: Path
) -> None:
    till, phone = (
        make_device(issuer, tmp_path, "till"),
        make_device(issuer, tmp_path, "phone", 2000),
    )
    waiting, _ = asking(till)
    paying = Running.start(phone, "pay", "--lan", "--yes", "--json")
    code = waiting.line()["code"]
    paying.type(f"{code[:3]} {code[3:]}")
    assert paying.last()["exchange"]["words"] == "paid, confirmed by the payee"
    assert waiting.last()["exchange"]["state"] == "receipted"
    assert phone.run("balance")["offline"][0]["spendable"] == 750


def test_other_digits_end_it_before_anything_is_paid(issuer: Issuer, tmp_path: Path) -> None:
    till, phone = (
        make_device(issuer, tmp_path, "till"),
        make_device(issuer, tmp_path, "phone", 2000),
    )
    waiting, _ = asking(till)
    paying = Running.start(phone, "pay", "--lan", "--yes", "--json")
    code = waiting.line()["code"]
    paying.type(f"{(int(code) + 1) % 10**6:06d}")
    assert paying.last(code=1)["error"]["code"] == "wrong_peer"
    waiting.stop()
    held = phone.run("balance")["offline"][0]
    assert (held["spendable"], held["unconfirmed"]) == (2000, 0)


def test_a_scanned_request_is_paid_to_the_announced_service(issuer: Issuer, tmp_path: Path) -> None:
    """The address in it is one where nobody answers; the name of the service still leads there."""
    till, phone = (
        make_device(issuer, tmp_path, "till"),
        make_device(issuer, tmp_path, "phone", 2000),
    )
    waiting, shown = asking(till, advertise=("--advertise", "127.0.0.1:9"))
    assert shown["advertised"] == "lan:127.0.0.1:9"
    paid = phone.run("pay", shown["text"], "--yes")
    assert paid["exchange"]["state"] == "acked"
    assert len(waiting.line()["code"]) == 6
    assert waiting.last()["exchange"]["state"] == "receipted"


def test_of_several_payees_one_is_chosen(issuer: Issuer, tmp_path: Path) -> None:
    tills = [make_device(issuer, tmp_path, name) for name in ("bakery", "florist")]
    phone = make_device(issuer, tmp_path, "phone", 2000)
    waiting = [
        asking(till, amount)[0] for till, amount in zip(tills, ("3.00", "4.00"), strict=True)
    ]
    paying = Running.start(phone, "pay", "--lan", "--yes", "--json")
    lines: list[str] = []
    assert paying.process.stderr is not None
    while len(lines) < 2:
        lines.append(paying.process.stderr.readline())
    assert sorted(line[3:].strip() for line in lines) == [
        "bakery asks for 3.00 EUR",
        "florist asks for 4.00 EUR",
    ]
    picked = next(line[0] for line in lines if "florist" in line)
    paying.type(picked)
    paying.type(waiting[1].line()["code"])
    paid = paying.last()["exchange"]
    assert (paid["peer_name"], paid["amount"], paid["state"]) == ("florist", 400, "acked")
    waiting[1].last()
    waiting[0].stop()


def test_where_nobody_asks_that_is_said(issuer: Issuer, tmp_path: Path) -> None:
    phone = make_device(issuer, tmp_path, "phone", 2000)
    error = phone.run("pay", "--lan", "--yes", code=1)["error"]
    assert error["code"] == "link_closed"
    assert "Nobody on this network" in error["detail"]
