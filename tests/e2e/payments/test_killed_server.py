"""The real server, killed again and again while people withdraw and a bank misbehaves."""

import asyncio
import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient, Response, TransportError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from server.app import Ports, create_app
from server.kit.clock import SystemClock
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, balance, trial_balance, verify_ledger
from server.payments.payouts.domain import DEFAULT_TERMS
from server.payments.payouts.models import WithdrawalRow
from server.settings import Settings
from tests.conftest import Database
from tests.e2e.payments.test_withdrawals import add_account, ask, deposit, until, withdraw
from tests.factories.identity import Device, Person
from tests.fakes.bank_process import BankProcess, bank_process
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages
from tests.integration.payments.banks.partner import IBAN, Partner, make_partner

KILLS = int(os.environ.get("TEST_KILLS", "2"))
AT_ONCE = 4
MODES = ["immediate", "lost_answer", "delayed", "refused", "duplicate"]
RICHES = 1_000_000
FEE = DEFAULT_TERMS["EUR"].fee
PROGRAM = str(Path(sys.executable).with_name("tallystick"))


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path / "bank") as process:
        yield process


@pytest.fixture
def real_uow(engine: AsyncEngine) -> UnitOfWork:
    clock = SystemClock()
    return UnitOfWork(engine, clock=clock, ids=SystemIds(clock))


class Server:
    """`tallystick serve` on one port, as often as it is started."""

    def __init__(self, database: Database, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self._environment = os.environ | {
            "TALLYSTICK_DATA_DIR": str(folder / "data"),
            "TALLYSTICK_DATABASE_URL": database.url,
            "TALLYSTICK_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
            "TALLYSTICK_PORT": str(self.port),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def check(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[Server]:
    server = Server(database, tmp_path)
    yield server
    server.kill()


@asynccontextmanager
async def joined(database: Database, folder: Path) -> AsyncIterator[Device]:
    """Let Ada join by an application in this process, on the same database and keys."""
    settings = Settings(
        data_dir=folder / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
    )
    messages = KeptMessages()
    app = create_app(settings, Ports(messages=messages, background=False))
    clock = ManualClock(SystemClock().now())

    async def deliver() -> list[Any]:
        from server.kit.crypto import Vault  # noqa: PLC0415
        from server.kit.messaging import deliver_messages  # noqa: PLC0415

        uow = cast("UnitOfWork", app.dependencies["uow"].dependency())  # type: ignore[union-attr]
        while await deliver_messages(uow, messages, Vault(b"m" * 32)):
            pass
        return messages.sent

    async with app.lifespan():
        transport = ASGITransport(cast("Any", app))
        async with AsyncClient(transport=transport, base_url="http://testserver.local") as client:
            yield await Person(client, clock, deliver).join()


class Stubborn(AsyncClient):
    """Sends again what got no answer, or "not now"."""

    async def request(self, *args: Any, **options: Any) -> Response:
        while True:
            try:
                answer = await super().request(*args, **options)
            except TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code != 503:
                return answer


async def check(uow: UnitOfWork, bank: BankProcess, partner: Partner, user: UUID) -> list[str]:
    """Compare what the bank did with what our books say; return how the withdrawals ended."""

    async def rows_of(tx: Tx) -> list[WithdrawalRow]:
        return list(await tx.session.scalars(select(WithdrawalRow)))

    rows = await uow.read(rows_of)
    theirs = {UUID(row["id"]): row for row in bank.control("GET", "payouts")}
    ours = {row.id for row in rows}
    assert ours <= set(theirs)
    # Besides, the bank paid the one unit that verifies the account.
    (verification,) = [theirs[id_] for id_ in set(theirs) - ours]
    unit = json.loads(verification["body"])["amount"]
    for row in rows:
        assert row.state == theirs[row.id]["state"]
        assert json.loads(theirs[row.id]["body"])["amount"] == row.amount
    paid = [row for row in rows if row.state == "paid"]
    out = sum(row.amount for row in paid)
    ref = AccountRef(AccountKind.USER_AVAILABLE, "EUR", user)
    own = await uow.read(lambda tx: balance(tx, ref))
    assert (own.posted, own.held) == (RICHES - out - FEE * len(paid), 0)
    assert await partner.holds() == RICHES - out - unit * (verification["state"] == "paid")
    assert (await uow.read(lambda tx: trial_balance(tx, 1))).balanced
    assert (await uow.read(verify_ledger)).sound
    return [row.state for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_server_that_is_killed_again_and_again_pays_each_withdrawal_once(
    database: Database, real_uow: UnitOfWork, tmp_path: Path, server: Server, bank: BankProcess
) -> None:
    chance = random.Random(database.dialect)
    partner = await make_partner(real_uow, SystemClock(), api_url=bank.url, accounts={"EUR": IBAN})
    bank.configure(server=server.url, bank_id=str(partner.bank.id), secret=partner.secret)
    async with joined(database, tmp_path) as device:
        account = await add_account(real_uow, device)
        user = UUID((await ask(device, "GET", "/v1/me")).json()["id"])
    await deposit(real_uow, partner, user, RICHES)
    made: list[str] = []
    async with Stubborn(base_url=server.url, timeout=20, trust_env=False) as client:
        device.client = client
        for number in range(KILLS + 1):
            bank.control("POST", "modes", {"next": chance.choices(MODES, k=AT_ONCE)})
            server.start()
            wishes = [
                asyncio.create_task(
                    withdraw(device, account, 1_000 + number * AT_ONCE + each, f"{number}/{each}")
                )
                for each in range(AT_ONCE)
            ]
            done, _ = await asyncio.wait(wishes, return_when=asyncio.FIRST_COMPLETED)
            if number < KILLS:
                for _ in range(chance.randrange(12)):
                    await ask(device, "GET", "/v1/withdrawals")
                server.kill()
                server.start()
            for answer in await asyncio.gather(*wishes):
                assert answer.status_code == 201, answer.text
                made.append(answer.json()["id"])
            assert done
            server.check()
            if number < KILLS:
                server.kill()
        for id_ in made:
            await until(device, id_, lambda view: view["state"] in {"paid", "refused"})
    endings = await check(real_uow, bank, partner, user)
    assert len(endings) == AT_ONCE * (KILLS + 1)
    assert "paid" in endings
