"""A real server and a real bank, both killed again and again: every payment happens once."""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.clock import SystemClock
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind
from server.payments.banks import accounts
from server.payments.banks.camt import parse_statements
from server.payments.banks.payees import Payee
from server.payments.banks.statements import import_statement
from sim.bank.store import today
from tests.conftest import Database
from tests.fakes.bank_process import ROOT, BankProcess, bank_process
from tests.integration.payments.banks.partner import (
    IBAN,
    VAULT,
    Partner,
    assert_balanced,
    make_partner,
    shown,
)
from tests.integration.payments.people import available, join

DEPOSITS = 40
KILLS = 4
_START_S = 120
_IBANS = (
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "NL91ABNA0417164300",
    "ES9121000418450200051332",
)


class ServerProcess:
    """`tallystick serve` on a database of the test."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        self._environment = os.environ | {
            "TALLYSTICK_DATA_DIR": str(folder / "data"),
            "TALLYSTICK_DATABASE_URL": database.url,
            "TALLYSTICK_MIGRATE_AT_START": "false",
            "TALLYSTICK_MASTER_KEY": base64.b64encode(b"m" * 32).decode(),
            "TALLYSTICK_BACKGROUND_INTERVAL_MS": "50",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        port_file = self._folder / "server-port"
        port_file.unlink(missing_ok=True)
        program = str(Path(sys.executable).with_name("tallystick"))
        with (self._folder / "server-log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", "--port-file", str(port_file)],
                cwd=ROOT,
                env=self._environment | {"TALLYSTICK_PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not self._answers(port_file):
            assert self._process.poll() is None, (self._folder / "server-log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self, port_file: Path) -> bool:
        if not port_file.exists():
            return False
        self.port = int(port_file.read_text())
        try:
            live = httpx.get(f"http://127.0.0.1:{self.port}/health/live", timeout=5)
        except httpx.TransportError:
            return False
        return live.status_code == 200


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path / "bank") as process:
        yield process


@pytest.fixture
def server(tmp_path: Path, database: Database) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, database)
    yield process
    process.kill()


async def wait_until_told(bank: BankProcess) -> None:
    """Wait until the server has taken every notice."""
    deadline = time.monotonic() + _START_S
    while open_ := [each for each in bank.control("GET", "notices") if not each["done"]]:
        assert time.monotonic() < deadline, open_
        await asyncio.sleep(0.1)


async def wait_for_payouts(bank: BankProcess, number: int, uow: UnitOfWork) -> None:
    """Wait until the house has paid for a number of verification payments."""
    deadline = time.monotonic() + _START_S
    while await shown(uow, AccountKind.HOUSE_OUTSIDE_FEES) != 100 * number:
        assert time.monotonic() < deadline, bank.control("GET", "payouts")
        await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_whatever_is_killed_every_payment_happens_once(
    engine: AsyncEngine, bank: BankProcess, server: ServerProcess
) -> None:
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    partner: Partner = await make_partner(uow, clock, api_url=bank.url, accounts={"EUR": IBAN})
    ada = await join(uow)
    reference = await partner.reference(ada)
    server.start()
    bank.configure(
        server=f"http://127.0.0.1:{server.port}",
        bank_id=str(partner.bank.id),
        secret=partner.secret,
    )
    modes = ["lost_answer", "delayed", "duplicate", "lost_answer"]
    bank.control("POST", "modes", {"next": modes, "delay_ms": 50})
    expected = 0
    for number in range(DEPOSITS):
        amount = 100 + number
        bank.control(
            "POST",
            "deposits",
            {"currency": "EUR", "amount": amount, "reference": reference, "times": 1 + number % 3},
        )
        expected += amount
        if number % (DEPOSITS // KILLS) == 0:
            payee = Payee(name="Ada", iban=_IBANS[number // (DEPOSITS // KILLS)])
            await uow.run(
                lambda tx, payee=payee: accounts.add_account(tx, VAULT, ada, payee, "EUR")  # type: ignore[misc]
            )
        if number % (DEPOSITS // KILLS) == 5:
            server.kill()
            server.start()
        if number % (DEPOSITS // KILLS) == 8:
            bank.kill()
            bank.start()
    await wait_until_told(bank)
    await wait_for_payouts(bank, KILLS, uow)
    assert await available(uow, ada) == expected
    orders = bank.control("GET", "payouts")
    assert [order["state"] for order in orders] == ["paid"] * KILLS
    assert len({UUID(order["id"]) for order in orders}) == KILLS
    assert await partner.holds() == expected - 100 * KILLS
    [read] = parse_statements(bank.control("GET", f"statements/EUR/{today()}"))
    done = await uow.run(lambda tx: import_statement(tx, partner.bank, read))
    assert done.report.matched == DEPOSITS + KILLS
    assert done.report.breaks == ()
    assert done.report.closing_balance == expected - 100 * KILLS
    assert await partner.breaks() == []
    await assert_balanced(uow)
