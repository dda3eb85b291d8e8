"""Posting rates, each beside what the bare driver manages with a simple ledger in the same run.

Everything is durable: fsync is on, and SQLite synchronises fully. Ours and the limit take turns of
a second in the same cluster, so what else the machine does meets both. Absolute figures belong to
a machine; the ratios travel. Where both are limited by the processor and the machine does other
things too, the ratio of processor times (``cpu_ratio``) is the steadier one.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    Poster,
    post_many,
    seal_once,
    verify_ledger,
)
from server.migrations import migrate
from tests import postgres
from tests.load.ledger_peers import ACCOUNTS, BarePostgres, Coalesced, Move, move, sqlite_rate

Figure = dict[str, object]
Step = Callable[[], Awaitable[int]]
ROUNDS = 4
SECONDS = 1.0
CALLERS = 8
SUBMITTERS = 64
CONNECTIONS = 32
"""Of the peer with functions in SQL: with more of them it gets slower."""
BATCH = 1000
BY = 100
"""Transfers in a transaction of plain sqlite3."""
HOT = 0
IDS = SystemIds(SystemClock())


class Meter:
    """What several callers got done, in turns, and how long each call took."""

    def __init__(self, step: Step, callers: int) -> None:
        self._step = step
        self._callers = callers
        self.calls: list[float] = []
        self.done, self.seconds, self.cpu = 0, 0.0, 0.0

    async def turn(self, seconds: float = SECONDS) -> None:
        spent, started = cpu_seconds(), time.perf_counter()
        await asyncio.gather(*(self._caller(started + seconds) for _ in range(self._callers)))
        self.seconds += time.perf_counter() - started
        self.cpu += cpu_seconds() - spent

    async def _caller(self, until: float) -> None:
        while (started := time.perf_counter()) < until:
            count = await self._step()
            self.done += count
            self.calls.append(time.perf_counter() - started)

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time for one, of this process and of every process of the database."""
        return 1e6 * self.cpu / self.done

    def percentile_ms(self, share: float) -> float:
        return round(sorted(self.calls)[int(share * len(self.calls))] * 1000, 2)


def cpu_seconds() -> float:
    """Return the processor time of this process and of all that descend from it, so far."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        process = int(path.parent.name)
        parents[process], times[process] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while fresh := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= fresh
    return sum(times[process] for process in ours if process in times) / os.sysconf("SC_CLK_TCK")


async def beside(*meters: Meter, rounds: int = ROUNDS) -> None:
    """Let all take turns; what they do in a first short one does not count."""
    for meter in meters:
        await meter.turn(0.3)
        meter.calls, meter.done, meter.seconds, meter.cpu = [], 0, 0.0, 0.0
    for _ in range(rounds):
        for meter in meters:
            await meter.turn()


async def bench_transfer_postgres() -> AsyncIterator[Figure]:
    """Eight callers, one transfer in each transaction."""
    async with _both(CALLERS) as (uow, bare):
        ours = Meter(lambda: _post(uow, 1), CALLERS)
        limit = Meter(lambda: _one(bare.single), CALLERS)
        await beside(ours, limit)
        yield figure("ledger.transfer_postgres", ours, limit, "asyncpg, one statement each")


async def bench_group_commit_postgres() -> AsyncIterator[Figure]:
    """Sixty-four callers, one transfer each, in transactions that they share."""
    async with _both(CONNECTIONS) as (uow, bare):
        poster, coalesced = Poster(uow), Coalesced(bare.together)
        ours = Meter(lambda: _submit(poster), SUBMITTERS)
        limit = Meter(lambda: _one(coalesced.submit), SUBMITTERS)
        functions = Meter(lambda: _one(bare.by_function), SUBMITTERS)
        await beside(ours, limit, functions)
        yield figure("ledger.group_commit_postgres", ours, limit, "asyncpg, coalesced")
        yield figure(
            "ledger.group_commit_postgres.functions", ours, functions, "SQL functions, one each"
        )


async def bench_hot_account() -> AsyncIterator[Figure]:
    """Sixty-four callers that all pay one account, beside the same with accounts at random."""
    async with _both(CONNECTIONS) as (uow, bare):
        poster = Poster(uow)
        hot = Meter(lambda: _submit(poster, HOT), SUBMITTERS)
        spread = Meter(lambda: _submit(poster), SUBMITTERS)
        functions = Meter(lambda: _one(lambda _: bare.by_function(move(HOT))), SUBMITTERS)
        await beside(hot, spread, functions)
        yield figure("ledger.hot_account", hot, spread, "random accounts")
        yield figure("ledger.hot_account.functions", hot, functions, "SQL functions, one each")


async def bench_batch_postgres() -> AsyncIterator[Figure]:
    """Two callers, a thousand transfers in each call."""
    async with _both(CALLERS) as (uow, bare):
        ours = Meter(lambda: _post(uow, BATCH), 2)
        limit = Meter(lambda: _many(bare.set_based), 1)
        python = Meter(lambda: _many(bare.together), 1)
        await beside(ours, limit, python)
        yield figure("ledger.batch_postgres", ours, limit, "asyncpg, one set-based statement")
        yield figure("ledger.batch_postgres.python", ours, python, "asyncpg, decided in Python")


async def bench_seal_postgres() -> AsyncIterator[Figure]:
    """Sealing in the background, as entries a second, beside posting in shared transactions."""
    with postgres.cluster(fsync=True) as url:
        async with ledger(f"{url}/postgres") as uow:
            poster = Poster(uow)
            while await seal_once(uow):
                pass

            async def seal() -> int:
                sealed = await seal_once(uow)
                return BATCH if sealed else 0

            posted = Meter(lambda: _submit(poster), SUBMITTERS)
            await posted.turn(4 * SECONDS)
            sealed = Meter(seal, 1)
            while await seal():
                await posted.turn(0.2)
                await sealed.turn(0.1)
                if sealed.seconds > ROUNDS:
                    break
        yield figure("ledger.seal_postgres", sealed, posted, "posting by 64 callers")


async def bench_sqlite() -> AsyncIterator[Figure]:
    """Callers whose transfers share transactions, on SQLite."""
    with directory() as place:
        limits = []
        async with ledger(f"sqlite+aiosqlite:///{place}/ledger.sqlite") as uow:
            poster = Poster(uow)
            ours, batches = Meter(lambda: _submit(poster), BY), Meter(lambda: _post(uow, BATCH), 1)
            await beside(ours, batches, rounds=0)
            for number in range(ROUNDS):
                path = place / f"plain{number}.sqlite"
                limits.append(await asyncio.to_thread(sqlite_rate, path, BY, SECONDS))
                await ours.turn()
                await batches.turn()
    limit = statistics.mean(limits)
    yield figure("ledger.sqlite", ours, limit, f"plain sqlite3 by {BY}")
    yield figure("ledger.sqlite.batch", batches, limit, f"plain sqlite3 by {BY}")


async def bench_verify_sqlite() -> AsyncIterator[Figure]:
    """Verifying the whole ledger, as entries a second, all of them sealed."""
    with directory() as place:
        async with ledger(f"sqlite+aiosqlite:///{place}/ledger.sqlite") as uow:
            posted = Meter(lambda: _post(uow, BATCH), 1)
            await posted.turn()
            while await seal_once(uow):
                pass
            started = time.perf_counter()
            report = await uow.read(verify_ledger)
            elapsed = time.perf_counter() - started
    assert report.sound, report.as_text()
    rate = report.counts["entries"] / elapsed
    yield {
        "name": "ledger.verify_sqlite",
        "value": round(rate),
        "unit": "entries/s",
        "ratio": round(rate / posted.rate, 2),
        "to": f"batch posting ({round(posted.rate)}/s)",
    }


BENCHES = (
    bench_transfer_postgres,
    bench_group_commit_postgres,
    bench_hot_account,
    bench_batch_postgres,
    bench_seal_postgres,
    bench_sqlite,
    bench_verify_sqlite,
)


async def run(only: str | None) -> None:
    """Print every figure as a line of JSON; ``only`` names the beginning of those wanted."""
    for bench in BENCHES:
        name = f"ledger.{bench.__name__.removeprefix('bench_')}"
        if only is None or name.startswith(only) or only.startswith(f"{name}."):
            async for one in bench():
                sys.stdout.write(json.dumps(one) + "\n")
                sys.stdout.flush()


def figure(name: str, ours: Meter, limit: Meter | float, to: str) -> Figure:
    """Return a figure; `cpu_ratio` compares processor time, so other work disturbs it less."""
    base = limit.rate if isinstance(limit, Meter) else limit
    line: Figure = {
        "name": name,
        "value": round(ours.rate),
        "unit": "entries/s",
        "ratio": round(ours.rate / base, 2),
        "to": f"{to} ({round(base)}/s)",
        "p50_ms": ours.percentile_ms(0.5),
        "p99_ms": ours.percentile_ms(0.99),
        "cpu_us": round(ours.cpu_us, 1),
    }
    if isinstance(limit, Meter):
        line["cpu_ratio"] = round(limit.cpu_us / ours.cpu_us, 2)
    return line


def request(payee: int | None = None) -> EntryRequest:
    wanted = move(payee)
    return EntryRequest(wanted.id, "bench", account(wanted.debit), account(wanted.credit), 1)


def account(owner: UUID) -> AccountRef:
    return AccountRef(AccountKind.USER_AVAILABLE, "EUR", owner)


async def _one(do: Callable[[Move], Awaitable[None]]) -> int:
    await do(move())
    return 1


async def _many(do: Callable[[list[Move]], Awaitable[None]]) -> int:
    await do([move() for _ in range(BATCH)])
    return BATCH


async def _submit(poster: Poster, payee: int | None = None) -> int:
    outcome = await poster.post(request(payee))
    assert outcome.applied
    return 1


async def _post(uow: UnitOfWork, count: int) -> int:
    requests = [request() for _ in range(count)]
    outcomes = await uow.run(lambda tx: post_many(tx, requests))
    assert all(outcome.applied for outcome in outcomes)
    return count


@asynccontextmanager
async def _both(connections: int) -> AsyncIterator[tuple[UnitOfWork, BarePostgres]]:
    with postgres.cluster(fsync=True) as url:
        bare = await BarePostgres.create(url, connections=connections)
        async with ledger(f"{url}/postgres") as uow:
            yield uow, bare
        await bare.drop()


@asynccontextmanager
async def ledger(url: str, accounts: int = ACCOUNTS) -> AsyncIterator[UnitOfWork]:
    engine = create_engine(url)
    await migrate(engine)
    uow = UnitOfWork(engine, clock=SystemClock(), ids=IDS)
    gateway = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR")
    funding = [
        EntryRequest(IDS.uuid(), "fund", gateway, account(UUID(int=number + 1)), 10**9)
        for number in range(accounts)
    ]
    for at in range(0, accounts, BATCH):
        part = funding[at : at + BATCH]
        await uow.run(lambda tx, part=part: post_many(tx, part))  # type: ignore[misc]
    yield uow
    await engine.dispose()


@contextmanager
def directory() -> Iterator[Path]:
    # Beside the code, not in a temporary directory that may live in memory.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        yield Path(name)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
