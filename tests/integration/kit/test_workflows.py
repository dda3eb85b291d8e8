"""Durable workflows in one process: steps, retries, dead letters, replay, cancelling."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.clock import SystemClock
from server.kit.errors import Conflict, NotFound
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.kit.workflow_engine import WorkflowEngine
from server.kit.workflows import (
    SCHEMA,
    Retry,
    Run,
    RunState,
    RunView,
    Workflow,
    WorkflowBook,
    WorkflowPlace,
    WorkflowRunning,
    WorkflowsUnavailable,
    prepare_books,
)
from tests.conftest import Database

SECRET = "hunter2-in-a-foreign-error"


class Work:
    """What the workflows of these tests do."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.broken = True
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def body(self, run: Run, key: str) -> str:
        first = await run.step("first", lambda: self.note(f"first {key}"))
        await run.sleep(timedelta(milliseconds=20))
        assert first == {"seen": [f"first {key}"], "nothing": None}
        if key.startswith("bad"):
            await run.step("break", self.fail)
        if key.startswith("slow"):
            await run.step("wait", self.wait)
        if key.startswith("shaky"):
            await run.step("shake", self.shake, retry=Retry((OSError,), attempts=3, first_s=0.01))
        await run.step("last", lambda: self.note(f"last {key}"))
        return "well"

    async def note(self, what: str) -> dict[str, list[str] | None]:
        self.done.append(what)
        return {"seen": [what], "nothing": None}

    async def fail(self) -> None:
        if self.broken:
            raise RuntimeError(SECRET)

    async def wait(self) -> None:
        self.waiting.set()
        await self.go_on.wait()

    async def shake(self) -> int:
        self.done.append("shake")
        if self.done.count("shake") < 3:
            raise OSError(SECRET)
        return 1

    async def failed(self, key: str, reason: str) -> None:
        self.told.append((key, reason))

    def workflow(self) -> Workflow:
        return Workflow("try", self.body, self.failed)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def place(database: Database) -> WorkflowPlace:
    return WorkflowPlace.beside(database.url)


@pytest.fixture
async def book(place: WorkflowPlace) -> AsyncIterator[WorkflowBook]:
    book = WorkflowBook(place)
    yield book
    await book.close()


@asynccontextmanager
async def running(
    engine: AsyncEngine, place: WorkflowPlace, workflows: Sequence[Workflow], name: str = "one"
) -> AsyncIterator[WorkflowEngine]:
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    one = WorkflowEngine(uow, place, workflows, executor=name)
    await one.open()
    try:
        await one.opened()
        yield one
    finally:
        await one.close()


async def until(book: WorkflowBook, key: str, state: RunState) -> RunView:
    while True:
        found = await book.find("try", key)
        if found is not None and found.state is state:
            return found
        await asyncio.sleep(0.02)


async def test_a_workflow_runs_once_however_often_it_is_started(
    engine: AsyncEngine, place: WorkflowPlace, book: WorkflowBook, work: Work
) -> None:
    async with running(engine, place, [work.workflow()]):
        await asyncio.gather(*(book.start("try", f"k{n % 3}") for n in range(9)))
        for key in ("k0", "k1", "k2"):
            found = await until(book, key, RunState.DONE)
            assert (found.executor, found.reason) == ("one", None)
        await book.start("try", "k0")
        assert (await until(book, "k0", RunState.DONE)).state is RunState.DONE
        steps = await book.steps("try", "k0")
        assert [step.name for step in steps] == ["first", "sleep", "last"]
        assert all(not step.failed and step.ended_at for step in steps)
    assert sorted(work.done) == sorted(
        f"{word} {key}" for word in ("first", "last") for key in ("k0", "k1", "k2")
    )
    assert await book.dead_letters() == []
    with pytest.raises(WorkflowRunning):
        await book.replay("try", "k0")
    with pytest.raises(NotFound):
        await book.replay("try", "never")


async def test_what_fails_beyond_its_retries_is_a_dead_letter_and_can_be_replayed(
    engine: AsyncEngine,
    place: WorkflowPlace,
    book: WorkflowBook,
    work: Work,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(engine, place, [work.workflow()]):
        for key in ("bad", "good", "shaky"):
            await book.start("try", key)
        dead = await until(book, "bad", RunState.DEAD)
        await until(book, "good", RunState.DONE)
        await until(book, "shaky", RunState.DONE)
        assert dead.reason == "RuntimeError"
        assert work.told == [("bad", "RuntimeError")]
        assert work.done.count("shake") == 3
        assert await book.dead_letters() == [dead]
        assert await book.dead_letters(workflow="other") == []
        assert [step.failed for step in await book.steps("try", "bad")] == [False, False, True]
        work.broken = False
        await book.replay("try", "bad")
        await until(book, "bad", RunState.DONE)
        assert await book.dead_letters() == []
    assert work.done.count("first bad") == 2
    assert not [one for one in caplog.records if one.name == "dbos" and SECRET in one.getMessage()]


async def test_what_was_under_way_goes_on_in_the_next_process(
    engine: AsyncEngine, place: WorkflowPlace, book: WorkflowBook, work: Work
) -> None:
    async with running(engine, place, [work.workflow()]):
        await book.start("try", "slow")
        await work.waiting.wait()
    found = await book.find("try", "slow")
    assert found is not None
    assert found.state is RunState.RUNNING
    work.go_on.set()
    async with running(engine, place, [work.workflow()]):
        await until(book, "slow", RunState.DONE)
    assert work.done == ["first slow", "last slow"]


async def test_a_cancelled_workflow_does_no_further_step(
    engine: AsyncEngine, place: WorkflowPlace, book: WorkflowBook, work: Work
) -> None:
    async with running(engine, place, [work.workflow()]):
        await book.start("try", "slow")
        await work.waiting.wait()
        await book.cancel("try", "slow")
        work.go_on.set()
        await until(book, "slow", RunState.CANCELLED)
        await book.start("try", "after")
        await until(book, "after", RunState.DONE)
        assert "last slow" not in work.done
        assert work.told == []
        await book.replay("try", "slow")
        await until(book, "slow", RunState.DONE)


async def test_an_engine_may_be_closed_before_it_began(
    engine: AsyncEngine, place: WorkflowPlace, work: Work
) -> None:
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    for _ in range(3):
        one = WorkflowEngine(uow, place, [work.workflow()], executor="one")
        await one.open()
        await one.close()
    async with running(engine, place, [work.workflow()]):
        assert work.done == []


async def test_books_that_nobody_made_say_so(book: WorkflowBook, work: Work) -> None:
    with pytest.raises(WorkflowsUnavailable):
        await book.start("try", "k")
    with pytest.raises(WorkflowsUnavailable):
        await book.dead_letters()
    assert work.done == []


async def test_nothing_is_pickled(
    database: Database, engine: AsyncEngine, place: WorkflowPlace, book: WorkflowBook, work: Work
) -> None:
    """What is read back can therefore not be code."""
    async with running(engine, place, [work.workflow()]):
        for key in ("good", "bad"):
            await book.start("try", key)
        await until(book, "good", RunState.DONE)
        await until(book, "bad", RunState.DEAD)
    if place.sqlite_path is None:
        assert database.dialect == "postgresql"
        return
    with closing(sqlite3.connect(place.sqlite_path)) as connection:
        stored = {
            row[0]
            for table in ("workflow_status", "operation_outputs")
            for row in connection.execute(f"SELECT DISTINCT serialization FROM {table}")
        }
        everything = "\n".join(connection.iterdump())
    assert stored - {None} == {"portable_json"}
    assert SECRET not in everything
    assert place.sqlite_path.stat().st_mode & 0o077 == 0


async def test_a_role_that_may_change_no_table_carries_workflows_out(
    database: Database, engine: AsyncEngine, place: WorkflowPlace, work: Work
) -> None:
    """As docs/withdrawals.md grants it."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no roles")
    await asyncio.to_thread(prepare_books, place)
    async with engine.begin() as connection:
        for statement in (
            "DROP ROLE IF EXISTS serving",
            "CREATE ROLE serving LOGIN",
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO serving",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO serving",
        ):
            await connection.execute(text(statement))
    url = make_url(place.url).set(username="serving")
    narrow = WorkflowPlace(url.render_as_string(hide_password=False))
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    one = WorkflowEngine(uow, narrow, [work.workflow()], executor="one", prepare=False)
    book = WorkflowBook(narrow)
    await one.open()
    await one.opened()
    await book.start("try", "good")
    await until(book, "good", RunState.DONE)
    await book.close()
    await one.close()
    async with engine.begin() as connection:
        await connection.execute(text("DROP OWNED BY serving"))
        await connection.execute(text("DROP ROLE serving"))


def test_the_place_is_beside_the_database_and_keeps_its_password_to_itself(tmp_path: Path) -> None:
    sqlite = WorkflowPlace.beside(f"sqlite+aiosqlite:///{tmp_path}/tally.sqlite")
    assert sqlite.sqlite_path == tmp_path / "tally-workflows.sqlite"
    far = WorkflowPlace.beside(
        "postgresql+asyncpg://tally:geheim@db:5433/t?ssl=require&prepared_statement_cache_size=0"
    )
    assert far.url == "postgresql+psycopg://tally:geheim@db:5433/t?sslmode=require"
    assert far.sqlite_path is None
    assert "geheim" not in repr(far)


def test_whoever_only_imports_it_does_not_pay_for_the_library() -> None:
    code = "import sys, server.kit.workflow_engine; sys.exit('dbos' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_running_workflow_is_a_conflict_and_the_library_logs_to_our_log() -> None:
    assert issubclass(WorkflowRunning, Conflict)
    assert logging.getLogger("dbos").propagate
