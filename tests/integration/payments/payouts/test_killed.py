"""Processes really killed at every boundary: the bank pays once, and the books say the same."""

import asyncio
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.auth import Caller
from server.kit.clock import SystemClock
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflow_engine import SILENT_AFTER, WorkflowExecutorRow
from server.kit.workflows import SCHEMA, WorkflowPlace, prepare_books
from server.ledger import trial_balance, verify_ledger
from server.payments.payouts.domain import DEFAULT_TERMS
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.withdrawals import request_withdrawal
from tests.conftest import Database
from tests.fakes.http_rail import BankProcess, HttpRail, bank_process
from tests.integration.payments.payouts.people import desk_of, rich, shown, wish

ROOT = Path(__file__).parents[4]
STEPS = ("begin", "call", "note")
POINTS = [
    *(f"{step}/{place}" for step in STEPS for place in ("before", "begun", "worked", "marked")),
    *(f"{call}/{side}" for call in ("send", "find", "sleep") for side in ("before", "after")),
]
KINDS = (2_500, 2_501, 2_502, 2_503, 2_504)
FEE = DEFAULT_TERMS["EUR"].fee


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankProcess]:
    with bank_process(tmp_path) as process:
        yield process


@pytest.fixture
def real_uow(engine: AsyncEngine) -> UnitOfWork:
    """The children go by the machine's clock, so this process does as well."""
    clock = SystemClock()
    return UnitOfWork(engine, clock=clock, ids=SystemIds(clock))


class Child:
    """A process that carries withdrawals out."""

    def __init__(self, forge: "Forge", plan: dict[str, Any]) -> None:
        self._forge, self._said = forge, Path(plan["said"])
        self._id = forge.ask(f"start {json.dumps(plan)}")

    async def end(self) -> tuple[int, str]:
        """Wait; return its exit code, below zero for a signal, and what it said."""
        code = await asyncio.to_thread(self._forge.ask, f"wait {self._id}")
        return code, self._said.read_text()


class Forge:
    """Makes children by forking, since importing all again would take most of the time."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder = process, folder
        self._numbers = itertools.count()

    def ask(self, line: str) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line + "\n")
        stdin.flush()
        return int(stdout.readline())

    def start(
        self,
        database: Database,
        bank: BankProcess,
        point: str | None = None,
        *,
        executor: str = "one",
        hang: Path | None = None,
    ) -> Child:
        plan = {
            "url": database.url,
            "bank": bank.url,
            "point": point,
            "executor": executor,
            "hang": None if hang is None else str(hang),
            "said": str(self._folder / f"said-{next(self._numbers)}"),
        }
        return Child(self, plan)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with (tmp_path / "forge.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.payments.payouts.killed"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    yield Forge(process, tmp_path)
    # A test that failed leaves children behind.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


async def order(
    uow: UnitOfWork, database: Database, caller: Caller, amounts: tuple[int, ...], run: str
) -> None:
    desk = desk_of(uow, database.url, {"http": HttpRail("http://unused")})
    for amount in amounts:
        await request_withdrawal(desk, caller, wish(amount), key=f"{run}/{amount}")
    await desk.book.close()


async def rows_of(uow: UnitOfWork) -> list[WithdrawalRow]:
    async def query(tx: Tx) -> list[WithdrawalRow]:
        return list(await tx.session.scalars(select(WithdrawalRow)))

    return await uow.read(query)


async def check(uow: UnitOfWork, bank: BankProcess, caller: Caller, began_with: int) -> None:
    """Compare what the bank says with what we say, order by order and in total."""
    orders, rows = bank.orders(), await rows_of(uow)
    assert {row.id for row in rows} == set(orders)
    for row in rows:
        outside = orders[row.id]
        assert outside["effects"] == 1, (row.state, row.amount, outside)
        assert outside["order"]["amount"] == row.amount
        assert row.state == outside["status"]
    paid = [row for row in rows if row.state == "paid"]
    assert paid
    out = sum(row.amount for row in paid)
    fees = len(paid) * FEE
    assert await shown(uow, caller) == (began_with - out - fees, 0, began_with - out, fees)
    assert (await uow.read(lambda tx: trial_balance(tx, 1))).balanced
    assert (await uow.read(verify_ledger)).breaks == []


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_process_killed_at_any_boundary_leaves_one_effect(
    forge: Forge, database: Database, real_uow: UnitOfWork, bank: BankProcess
) -> None:
    caller = await rich(real_uow, 1_000_000)
    await asyncio.to_thread(prepare_books, WorkflowPlace.beside(database.url))
    for point in POINTS:
        await order(real_uow, database, caller, KINDS, point)
        code, said = await forge.start(database, bank, point).end()
        assert code == -signal.SIGKILL, (point, said)
    code, said = await forge.start(database, bank).end()
    assert (code, "survived" in said) == (0, True), said
    await check(real_uow, bank, caller, 1_000_000)


async def fall_silent(uow: UnitOfWork, executor: str) -> None:
    """Let a process seem to have been silent for a while."""

    async def command(tx: Tx) -> None:
        long_ago = tx.now - SILENT_AFTER - timedelta(seconds=1)
        row = update(WorkflowExecutorRow).where(WorkflowExecutorRow.id == executor)
        await tx.connection.execute(row.values(beat_at=long_ago))

    await uow.run(command)


@pytest.mark.slow
async def test_another_process_takes_over_what_a_dead_one_began(
    forge: Forge, database: Database, real_uow: UnitOfWork, bank: BankProcess
) -> None:
    caller = await rich(real_uow)
    await asyncio.to_thread(prepare_books, WorkflowPlace.beside(database.url))
    await order(real_uow, database, caller, KINDS, "once")
    code, said = await forge.start(database, bank, "call/marked", executor="one").end()
    assert code == -signal.SIGKILL, said
    await fall_silent(real_uow, "one")
    code, said = await forge.start(database, bank, executor="two").end()
    assert (code, "survived" in said) == (0, True), said
    assert "workflows_taken_over" in said
    await check(real_uow, bank, caller, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["send/before", "send/after"])
async def test_a_process_that_only_hung_does_nothing_twice(
    forge: Forge, database: Database, real_uow: UnitOfWork, tmp_path: Path, point: str
) -> None:
    """It hangs in the middle, is taken for dead, and goes on after all was done without it."""
    caller = await rich(real_uow)
    sign = tmp_path / "hung"
    with bank_process(tmp_path, idempotent=True) as bank:
        await asyncio.to_thread(prepare_books, WorkflowPlace.beside(database.url))
        await order(real_uow, database, caller, (2_500,), "once")
        sleeper = forge.start(database, bank, point, executor="one", hang=sign)
        while not sign.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await fall_silent(real_uow, "one")
        code, said = await forge.start(database, bank, executor="two").end()
        assert (code, "survived" in said) == (0, True), said
        sign.unlink()
        code, said = await sleeper.end()
        assert (code, "survived" in said) == (0, True), said
        await check(real_uow, bank, caller, 100_000)


@pytest.mark.slow
async def test_two_processes_with_one_name_do_nothing_twice(
    forge: Forge, database: Database, real_uow: UnitOfWork, tmp_path: Path
) -> None:
    caller = await rich(real_uow)
    with bank_process(tmp_path, idempotent=True) as bank:
        await asyncio.to_thread(prepare_books, WorkflowPlace.beside(database.url))
        await order(real_uow, database, caller, KINDS, "first")
        both = [forge.start(database, bank), forge.start(database, bank)]
        await order(real_uow, database, caller, KINDS, "second")
        for code, said in [await child.end() for child in both]:
            assert (code, "survived" in said) == (0, True), said
        await check(real_uow, bank, caller, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["send/after", "call/marked"])
async def test_the_books_of_the_workflows_may_be_lost(
    forge: Forge, database: Database, real_uow: UnitOfWork, bank: BankProcess, point: str
) -> None:
    caller = await rich(real_uow)
    place = WorkflowPlace.beside(database.url)
    await asyncio.to_thread(prepare_books, place)
    await order(real_uow, database, caller, KINDS, "once")
    code, said = await forge.start(database, bank, point).end()
    assert code == -signal.SIGKILL, said

    async def lose(tx: Tx) -> None:
        if database.dialect == "postgresql":
            await tx.connection.execute(text(f"DROP SCHEMA {SCHEMA} CASCADE"))
        await tx.connection.execute(update(WithdrawalRow).values(look_at=tx.now))

    if place.sqlite_path is not None:
        for path in place.sqlite_path.parent.glob(f"{place.sqlite_path.name}*"):
            path.unlink()
    await real_uow.run(lose)
    code, said = await forge.start(database, bank).end()
    assert (code, "survived" in said) == (0, True), said
    await check(real_uow, bank, caller, 100_000)


@pytest.mark.slow
async def test_a_database_restored_from_before_the_payment_pays_nothing_again(
    forge: Forge, database: Database, real_uow: UnitOfWork, bank: BankProcess
) -> None:
    """The books of the workflows are newer than the database, and say that all is done."""
    if database.dialect == "postgresql":
        pytest.skip("a copy of a PostgreSQL database has the books in it")
    caller = await rich(real_uow)
    path = Path(database.url.removeprefix("sqlite+aiosqlite:///"))
    await asyncio.to_thread(prepare_books, WorkflowPlace.beside(database.url))
    await order(real_uow, database, caller, KINDS, "once")
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(":memory:")) as copy:
        live.backup(copy)
        code, said = await forge.start(database, bank).end()
        assert (code, "survived" in said) == (0, True), said
        await real_uow.engine.dispose()
        copy.backup(live)
        live.execute("UPDATE withdrawal SET look_at = 0")
        live.commit()
    assert {row.state for row in await rows_of(real_uow)} == {"requested"}
    code, said = await forge.start(database, bank).end()
    assert (code, "survived" in said) == (0, True), said
    await check(real_uow, bank, caller, 100_000)
