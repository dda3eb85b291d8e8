"""Shops that come online with a day's takings, and the server that they meet.

The backlog is what the wallet of a shop uploads in the evening: each payment that it received and
the claim that it signed for it, in the order in which the wallet sends them. Every one is a
transfer with a signature of its own. Payers hold one voucher each and pay several times from it.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
from litestar.testing import AsyncTestClient

from client_sdk.api.encoding import to_text
from client_sdk.book import record_of
from client_sdk.flows.uploading import batches
from client_sdk.store.sqlite import Row
from offline_protocol import Chain, Receipt, seal
from server.app import Ports, create_app
from server.identity import Role, set_role
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.messaging import deliver_messages
from server.migrations import migrate
from server.offline import DEFAULT_POLICY, load_issuer_keys
from server.settings import Settings
from tests.factories import identity
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages
from tests.integration.offline.town import Device as Purse
from tests.integration.offline.town import SeededIds, Town, town_in

MASTER_KEY = b"m" * 32
PRICE = 900
_PROGRAM = (sys.executable, "-c", "from client_sdk.command import main; main()", "serve")


@dataclass(frozen=True)
class Day:
    """How much a shop takes in: payments from ``payers``, ``payments`` from each."""

    payers: int
    payments: int
    receipts: bool = False

    @property
    def transfers(self) -> int:
        """Payments and the claims for them."""
        return 2 * self.payers * self.payments


@dataclass
class Shop:
    """A signed-in device with its records, cut into calls as its wallet does."""

    device: identity.Device
    calls: list[str]
    """The records of each call as JSON."""
    transfers: int
    cursor: int = 0
    history: str | None = None
    statuses: dict[str, int] = field(default_factory=dict)

    async def sync(self, client: httpx.AsyncClient) -> None:
        """Upload everything and read all news."""
        for records in self.calls:
            await self._call(client, records)
        while (await self._call(client, ""))["more"]:
            pass

    async def _call(self, client: httpx.AsyncClient, records: str) -> dict[str, Any]:
        history = json.dumps(self.history)
        head = f'{{"cursor":{self.cursor},"history":{history},"records":['
        body = f"{head}{records}]}}".encode()
        token = self.device.tokens["access_token"]
        path = "/v1/offline/sync"
        self.device.clock = ManualClock(datetime.now(UTC))  # noqa: TID251 - a real server's time
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"DPoP {token}",
            "DPoP": self.device.proof("POST", path, body, token=token),
        }
        response = await client.post(self.device.base_url + path, content=body, headers=headers)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = msgspec.json.decode(response.content)
        assert not answer["reset"]
        self.cursor, self.history = answer["cursor"], answer["history"]
        for result in answer["results"]:
            self.statuses[result["status"]] = self.statuses.get(result["status"], 0) + 1
        return answer


def settings_for(url: str, directory: Path) -> Settings:
    return Settings(data_dir=directory, database_url=url, master_key=MASTER_KEY)


async def open_shops(url: str, directory: Path, days: Sequence[Day]) -> list[Shop]:
    """Fill a new database: payers with vouchers, and shops that took payments and are offline."""
    settings = settings_for(url, directory)
    clock, messages = ManualClock(datetime.now(UTC)), KeptMessages()  # noqa: TID251 - as above
    await migrate(engine := create_engine(url))
    app = create_app(settings, Ports(clock=clock, messages=messages, background=False))
    keys = load_issuer_keys(settings.keys_dir, Vault(MASTER_KEY), clock)
    town = town_in(engine, clock, keys, DEFAULT_POLICY)
    async with AsyncTestClient(app, base_url="http://testserver.local") as client:
        shops = [
            await _open(client, town, messages, number, day) for number, day in enumerate(days, 1)
        ]
    await engine.dispose()
    return shops


async def _open(
    client: AsyncTestClient[Any], town: Town, messages: KeptMessages, number: int, day: Day
) -> Shop:
    name = f"shop{number}"

    async def deliver() -> list[Any]:
        while await deliver_messages(town.uow, messages, Vault(MASTER_KEY)):
            pass
        return list(messages.sent)

    takings = [await _payer(town, f"payer{number}x{payer}", day) for payer in range(day.payers)]
    person = identity.Person(
        client, town.clock, deliver, name, f"+9053200000{number:02d}", f"{name}@example.com"
    )
    device = await person.device(number)
    await town.uow.run(lambda tx: set_role(tx, town.tenant, name, Role.MERCHANT))
    first = await device.call("POST", "/v1/offline/sync", {"cursor": 0, "records": []})
    assert first.status_code == 200, first.text
    rows = _records(town, _purse(town, device), takings, day)
    calls = [",".join(map(_upload, batch)) for batch in batches(rows)]
    return Shop(device, calls, day.transfers, first.json()["cursor"], first.json()["history"])


async def _payer(town: Town, name: str, day: Day) -> tuple[Purse, Chain]:
    payer = await town.person(name, money=PRICE * day.payments)
    (voucher,) = await town.issue(payer, PRICE * day.payments)
    return payer, voucher


def _purse(town: Town, device: identity.Device) -> Purse:
    """The shop's key, ready to sign."""
    signer = device.key
    assert signer is not None
    caller = Caller(town.tenant, UUID(int=0), UUID(int=0), "merchant")
    return Purse("shop", caller, signer, town.clock)  # type: ignore[arg-type]


def _records(
    town: Town, shop: Purse, takings: Sequence[tuple[Purse, Chain]], day: Day
) -> list[Row]:
    """Payments as they came in over the day, each payer now and then; the claims at the end."""
    ids, now = SeededIds("requests"), int(town.clock.now().timestamp())
    rows: list[Row] = []
    paid: list[Chain] = []
    for turn in range(day.payments):
        for payer, voucher in takings:
            request, lo = ids.token(16), turn * PRICE
            chain = payer.pay(voucher, shop, lo, lo + PRICE, request=request)
            paid.append(chain)
            rows.append(_row("transfer", chain.tip_id, chain.hops[-1].transfer.envelope))
            if day.receipts:
                receipt = seal(Receipt((chain.tip_id,), request, PRICE, now), shop.signer)
                rows.append(_row("receipt", receipt.id, receipt.envelope))
    for chain in paid:
        claim = shop.claim(chain, town.keys)
        rows.append(_row("transfer", claim.tip_id, claim.hops[-1].transfer.envelope))
    return rows


def _row(kind: str, key: bytes, envelope: bytes) -> Row:
    return Row(key, 0, [kind, envelope])


def _upload(row: Row) -> str:
    kind, envelope = record_of(row.payload)
    return f'{{"kind":"{kind}","object":"{to_text(envelope)}"}}'


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    pid: int

    def memory_mb(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def serving(url: str, directory: Path, cores: set[int]) -> Iterator[Server]:
    """Run `tallystick serve` on some cores."""
    port_file = directory / f"port-{os.urandom(4).hex()}"
    environment = {
        "TALLYSTICK_DATA_DIR": str(directory),
        "TALLYSTICK_DATABASE_URL": url,
        "TALLYSTICK_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        "TALLYSTICK_PORT": "0",
        "TALLYSTICK_LOG_LEVEL": "error",
    }
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*_PROGRAM, "--port-file", str(port_file)],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        yield Server(_address(process, port_file), process.pid)
    finally:
        process.terminate()
        process.wait()


def _address(process: "subprocess.Popen[bytes]", port_file: Path) -> str:
    while True:
        assert process.poll() is None, (port_file.parent / "server.log").read_text()
        port = port_file.read_text().strip() if port_file.exists() else ""
        if port:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                    return f"http://127.0.0.1:{port}"
        time.sleep(0.02)


async def upload(shops: Sequence[Shop], servers: Sequence[Server]) -> None:
    """Let shops synchronise at once, each with a server of its own where there are several."""
    async with httpx.AsyncClient(timeout=120) as client:
        for number, shop in enumerate(shops):
            shop.device = replace(
                shop.device, base_url=servers[number % len(servers)].address, proofs=1_000
            )
        await asyncio.gather(*(shop.sync(client) for shop in shops))
