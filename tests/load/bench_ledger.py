"""Posting rates, each beside what the bare driver can commit on the same disk in the same run.

The base is a transaction that writes about nothing: on SQLite one insert, fully synchronised; on
PostgreSQL one update and one insert from eight connections. Absolute figures belong to a machine;
the ratios travel.
"""

import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]

from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many, seal_once, verify_ledger
from server.migrations import migrate
from tests import postgres

Figure = dict[str, object]
SECONDS = 3.0
CALLERS = 8
ACCOUNTS = 1000
BATCH = 1000
_IDS = SystemIds(SystemClock())


async def bench_single_sqlite() -> AsyncIterator[Figure]:
    """Eight callers, one movement in each transaction, SQLite."""
    with _directory() as directory:
        base = await asyncio.to_thread(_sqlite_commits, directory / "base.sqlite")
        async with _ledger(f"sqlite+aiosqlite:///{directory}/ledger.sqlite") as uow:
            rate = await _rate(lambda: _post(uow, 1), CALLERS)
    yield _figure("ledger.single.sqlite", rate, base, "sqlite3 commits")


async def bench_batch_sqlite() -> AsyncIterator[Figure]:
    """One caller, a thousand movements in each transaction, SQLite."""
    with _directory() as directory:
        base = await asyncio.to_thread(_sqlite_commits, directory / "base.sqlite")
        async with _ledger(f"sqlite+aiosqlite:///{directory}/ledger.sqlite") as uow:
            rate = await _rate(lambda: _post(uow, BATCH), 1)
    yield _figure("ledger.batch.sqlite", rate, base, "sqlite3 commits")


async def bench_single_postgresql() -> AsyncIterator[Figure]:
    """Eight callers, one movement in each transaction, PostgreSQL with fsync."""
    with postgres.cluster(fsync=True) as url:
        base = await _postgres_commits(url)
        async with _ledger(f"{url}/postgres") as uow:
            rate = await _rate(lambda: _post(uow, 1), CALLERS)
    yield _figure("ledger.single.postgresql", rate, base, "asyncpg commits, 8 callers")


async def bench_hot_postgresql() -> AsyncIterator[Figure]:
    """Eight callers that all pay one and the same account, PostgreSQL with fsync."""
    with postgres.cluster(fsync=True) as url:
        base = await _postgres_commits(url)
        async with _ledger(f"{url}/postgres") as uow:
            rate = await _rate(lambda: _post(uow, 1, payee=0), CALLERS)
    yield _figure("ledger.hot.postgresql", rate, base, "asyncpg commits, 8 callers")


async def bench_batch_postgresql() -> AsyncIterator[Figure]:
    """Two callers, a thousand movements in each transaction, PostgreSQL with fsync."""
    with postgres.cluster(fsync=True) as url:
        base = await _postgres_commits(url)
        async with _ledger(f"{url}/postgres") as uow:
            rate = await _rate(lambda: _post(uow, BATCH), 2)
    yield _figure("ledger.batch.postgresql", rate, base, "asyncpg commits, 8 callers")


async def bench_seal_postgresql() -> AsyncIterator[Figure]:
    """Sealing in the background, as entries a second beside posting them in batches."""
    with postgres.cluster(fsync=True) as url:
        async with _ledger(f"{url}/postgres") as uow:
            posted = await _rate(lambda: _post(uow, BATCH), 1)

            async def seal() -> int:
                sealed = await seal_once(uow)
                assert sealed is not None
                return BATCH

            sealed = await _rate(seal, 1, seconds=1.0)
    yield _figure("ledger.seal.postgresql", sealed, posted, "batch posting")


async def bench_verify_sqlite() -> AsyncIterator[Figure]:
    """Verifying the whole ledger, as entries a second, all of them sealed."""
    with _directory() as directory:
        async with _ledger(f"sqlite+aiosqlite:///{directory}/ledger.sqlite") as uow:
            posted = await _rate(lambda: _post(uow, BATCH), 1, seconds=1.0)
            while await seal_once(uow):
                pass
            started = time.perf_counter()
            report = await uow.read(verify_ledger)
            elapsed = time.perf_counter() - started
    assert report.sound, report.as_text()
    rate = report.counts["entries"] / elapsed
    yield _figure("ledger.verify.sqlite", rate, posted, "batch posting")


BENCHES = (
    bench_single_sqlite,
    bench_batch_sqlite,
    bench_verify_sqlite,
    bench_single_postgresql,
    bench_hot_postgresql,
    bench_batch_postgresql,
    bench_seal_postgresql,
)


async def run(only: str | None) -> None:
    """Print every figure as a line of JSON; ``only`` names the beginning of those wanted."""
    for bench in BENCHES:
        room, case, database = "ledger", *bench.__name__.removeprefix("bench_").split("_")
        if only is None or f"{room}.{case}.{database}".startswith(only):
            async for figure in bench():
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()


def _figure(name: str, value: float, base: float, to: str) -> Figure:
    return {
        "name": name,
        "value": round(value),
        "unit": "entries/s",
        "ratio": round(value / base, 2),
        "to": f"{to} ({round(base)}/s)",
    }


async def _rate(
    step: Callable[[], Awaitable[int]], callers: int, seconds: float = SECONDS
) -> float:
    """Return how much per second so many callers get done, after a short warm-up."""

    async def caller(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            done += await step()
        return done

    await caller(time.perf_counter() + 0.1)
    started = time.perf_counter()
    done = await asyncio.gather(*(caller(started + seconds) for _ in range(callers)))
    return sum(done) / (time.perf_counter() - started)


async def _post(uow: UnitOfWork, count: int, payee: int | None = None) -> int:
    requests = []
    for _ in range(count):
        debit, credit = random.sample(range(ACCOUNTS), 2)
        if payee is not None:
            debit, credit = max(debit, 1), payee
        requests.append(EntryRequest(_IDS.uuid(), "bench", _user(debit), _user(credit), 1))

    async def command(tx: Tx) -> None:
        outcomes = await post_many(tx, requests)
        assert all(outcome.applied for outcome in outcomes)

    await uow.run(command)
    return count


def _user(number: int) -> AccountRef:
    return AccountRef(AccountKind.USER_AVAILABLE, "EUR", UUID(int=number + 1))


@asynccontextmanager
async def _ledger(url: str) -> AsyncIterator[UnitOfWork]:
    engine = create_engine(url)
    await migrate(engine)
    uow = UnitOfWork(engine, clock=SystemClock(), ids=_IDS)
    gateway = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR")
    funding = [
        EntryRequest(_IDS.uuid(), "fund", gateway, _user(number), 10**9)
        for number in range(ACCOUNTS)
    ]
    await uow.run(lambda tx: post_many(tx, funding))
    yield uow
    await engine.dispose()


@contextmanager
def _directory() -> Iterator[Path]:
    # Beside the code, not in a temporary directory that may live in memory.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        yield Path(name)


def _sqlite_commits(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE base (id INTEGER PRIMARY KEY, n INTEGER)")
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + SECONDS:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO base (n) VALUES (?)", (count,))
        connection.execute("COMMIT")
        count += 1
    rate = count / (time.perf_counter() - started)
    connection.close()
    return rate


async def _postgres_commits(url: str) -> float:
    address = url.replace("postgresql+asyncpg", "postgresql") + "/postgres"
    pool = await asyncpg.create_pool(address, min_size=CALLERS, max_size=CALLERS)
    await pool.execute("CREATE TABLE base (id int PRIMARY KEY, n int NOT NULL)")
    await pool.execute("INSERT INTO base SELECT i, 0 FROM generate_series(1, $1::int) i", ACCOUNTS)
    await pool.execute("CREATE TABLE base_log (id int, n int)")

    async def step() -> int:
        row = random.randint(1, ACCOUNTS)
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE base SET n = n + 1 WHERE id = $1", row)
            await connection.execute("INSERT INTO base_log VALUES ($1, 1)", row)
        return 1

    rate = await _rate(step, CALLERS)
    await pool.close()
    return rate


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
