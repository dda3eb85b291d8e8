"""A server that is killed in the middle of transfers, and clients who simply ask again.

`kill -9` at moments that nobody chose; every client repeats each request under its key until it is
answered. In the end every key has moved money exactly once or never, and the ledger verifies.
"""

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, balance, trial_balance, verify_ledger
from server.payments.transfers.models import TransferRow
from tests.conftest import Database
from tests.factories.signed_in import MASTER_KEY_TEXT, Person, sign_in_people

CLIENTS, EACH, KILLS, MONEY = 8, 30, 4, 400


class Server:
    """`tallystick serve` as a process of its own, again and again."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            "TALLYSTICK_DATA_DIR": str(folder / "data"),
            "TALLYSTICK_DATABASE_URL": database.url,
            "TALLYSTICK_PORT": "0",
            "TALLYSTICK_MASTER_KEY": MASTER_KEY_TEXT,
            "TALLYSTICK_LOG_LEVEL": "error",
        }
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0
        self.address = ""

    async def start(self) -> None:
        self._starts += 1
        port_file = self._folder / f"port-{self._starts}"
        with (self._folder / f"log-{self._starts}").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("tallystick")),
                "serve",
                "--port-file",
                str(port_file),
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
            )
        while not port_file.exists():
            assert self._process.returncode is None, self._log()
            await asyncio.sleep(0.05)
        self.address = f"http://127.0.0.1:{port_file.read_text()}"

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        assert await self._process.wait() == -signal.SIGKILL, self._log()

    def _log(self) -> str:
        return (self._folder / f"log-{self._starts}").read_text()


class Clients:
    """People who send money to each other, and do not give up."""

    def __init__(self, server: Server, people: list[Person]) -> None:
        self._server, self._people = server, people
        self.answers: dict[str, tuple[int, Any]] = {}
        self.news = asyncio.Condition()
        self.repeats = 0

    async def have(self, count: int) -> None:
        """Wait for a number of answers."""
        async with self.news:
            await self.news.wait_for(lambda: len(self.answers) >= count)

    async def run(self, number: int) -> None:
        chance = random.Random(number)
        person = self._people[number]
        async with httpx.AsyncClient(timeout=30) as client:
            for turn in range(EACH):
                payee = self._people[(number + chance.randrange(1, CLIENTS)) % CLIENTS]
                body = {"to": payee.name, "amount": chance.randint(1, 60), "currency": "EUR"}
                key = f"{person.name}/{turn}"
                headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": key}
                self.answers[key] = await self._insist(client, body, headers)
                async with self.news:
                    self.news.notify_all()

    async def _insist(
        self, client: httpx.AsyncClient, body: dict[str, Any], headers: dict[str, str]
    ) -> tuple[int, Any]:
        while True:
            try:
                path = f"{self._server.address}/v1/transfers"
                response = await client.post(path, json=body, headers=headers)
            except httpx.TransportError:
                self.repeats += 1
                await asyncio.sleep(0.05)
                continue
            if response.status_code != 503:
                return response.status_code, response.json() | {"body": body}
            self.repeats += 1


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_transfer_happens_once_or_never_however_often_the_server_is_killed(
    database: Database, uow: UnitOfWork, tmp_path: Path
) -> None:
    people = await sign_in_people(database.url, CLIENTS, money=MONEY)
    server = Server(database, tmp_path)
    clients = Clients(server, people)
    await server.start()
    work = asyncio.gather(*(clients.run(number) for number in range(CLIENTS)))
    chance = random.Random(11)
    for kill in range(1, KILLS + 1):
        upto = CLIENTS * EACH * kill // (KILLS + 2)
        await clients.have(upto)
        await asyncio.sleep(chance.random() / 100)
        await server.kill()
        await server.start()
    await work
    again = Clients(server, people)
    await asyncio.gather(*(again.run(number) for number in range(CLIENTS)))
    await server.kill()
    assert clients.repeats >= KILLS
    await _check(uow, people, clients, again)


async def _check(uow: UnitOfWork, people: list[Person], clients: Clients, again: Clients) -> None:
    assert Counter(status for status, _ in clients.answers.values()).keys() <= {201, 422}
    for key, (status, document) in clients.answers.items():
        repeated, same = again.answers[key]
        assert (repeated, same.get("id"), same.get("code")) == (
            status, document.get("id"), document.get("code"),
        )  # fmt: skip
    sent = [document for status, document in clients.answers.values() if status == 201]

    async def rows(tx: Tx) -> int:
        return await tx.session.scalar(select(func.count()).select_from(TransferRow)) or 0

    assert await uow.read(rows) == len({document["id"] for document in sent}) == len(sent)
    expected = Counter({person.name: MONEY for person in people})
    for key, (status, document) in clients.answers.items():
        if status == 201:
            expected[key.partition("/")[0]] -= document["amount"]
            expected[document["body"]["to"]] += document["amount"]
    for person in people:
        ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", person.caller.user_id)
        held = await uow.read(lambda tx, ref=ref: balance(tx, ref))  # type: ignore[misc]
        assert held.available == expected[person.name]
        assert held.available >= 0
    assert (await uow.read(lambda tx: trial_balance(tx, 1))).balanced
    report = await uow.read(verify_ledger)
    assert report.sound, report.breaks
