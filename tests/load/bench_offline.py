"""Offline money: verifying payments, synchronising them, and how large they are.

Each rate stands beside a limit of the same run: raw signature checks, or single-row commits of the
bare driver on the same disk. A sync stores, judges, settles and posts each transfer.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from nacl import bindings
from sqlalchemy import make_url

from offline_protocol import Chain, verify_payment
from server.kit.db import create_engine
from server.migrations import migrate
from tests import postgres
from tests.factories.protocol import Issuer
from tests.fakes.clock import ManualClock
from tests.integration.offline.town import Town, issuer_keys, policy, town_in, transfers_of

Figure = dict[str, object]
SECONDS = 2.0
PAYERS = 50
PAYMENTS_EACH = 10
RECORDS = 200
_COMMITS = 500


async def verification() -> AsyncIterator[Figure]:
    """One-hop payments verified per second, against two bare signature checks each."""
    issuer = Issuer("bench")
    ada, bob = issuer.device("ada"), issuer.device("bob")
    request = bob.request(1_250)
    payment = ada.pay(issuer.chain(ada), request)
    context = issuer.context
    rate = _rate(lambda: verify_payment(payment, request.body, context))
    public, secret = bindings.crypto_sign_seed_keypair(b"s" * 32)
    signed = bindings.crypto_sign(payment.chains[0].hops[0].transfer.envelope, secret)

    def two_checks() -> None:
        bindings.crypto_sign_open(signed, public)
        bindings.crypto_sign_open(signed, public)

    base = _rate(two_checks)
    yield _figure("offline.verify_payment", rate, "payments/s", base, "two libsodium checks")


async def sizes() -> AsyncIterator[Figure]:
    """Bytes of a payment after one, two and three hops."""
    issuer = Issuer("bench")
    people = [issuer.device(name) for name in ("ada", "bob", "cid", "dan")]
    chain = issuer.chain(people[0])
    for hops, (payer, payee) in enumerate(pairwise(people), 1):
        payment = payer.pay(chain, payee.request(1_250))
        chain = payment.chains[0]
        size = len(payment.encode())
        yield {
            "name": f"offline.payment.{hops}_hop",
            "value": size,
            "unit": "bytes",
            "ratio": None,
            "to": None,
        }


async def sync_sqlite() -> AsyncIterator[Figure]:
    """Transfers taken in per second on SQLite, fully synchronised."""
    # Beside the code, not in a temporary directory that may live in memory.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        directory = Path(name)
        before = await asyncio.to_thread(_sqlite_commits, directory / "before.sqlite")
        url = f"sqlite+aiosqlite:///{directory / 'tally.sqlite'}"
        rate = await _sync_rate(url, directory)
        after = await asyncio.to_thread(_sqlite_commits, directory / "after.sqlite")
        base = (before + after) / 2
    yield _figure("offline.sync.sqlite", rate, "transfers/s", base, "sqlite3 commits")


async def sync_postgresql() -> AsyncIterator[Figure]:
    """Transfers taken in per second on PostgreSQL with fsync."""
    with tempfile.TemporaryDirectory() as name, postgres.cluster(fsync=True) as url:
        before = await _postgres_commits(f"{url}/postgres")
        rate = await _sync_rate(f"{url}/postgres", Path(name))
        base = (before + await _postgres_commits(f"{url}/postgres")) / 2
    yield _figure("offline.sync.postgresql", rate, "transfers/s", base, "asyncpg commits, 1 caller")


BENCHES = {
    "offline.verify_payment": verification,
    "offline.payment": sizes,
    "offline.sync.sqlite": sync_sqlite,
    "offline.sync.postgresql": sync_postgresql,
}


async def run(only: str | None) -> None:
    """Print one JSON line for each figure whose name begins with ``only``."""
    for name, bench in BENCHES.items():
        if only is not None and not (name.startswith(only) or only.startswith(name)):
            continue
        async for figure in bench():
            if only is None or str(figure["name"]).startswith(only):
                sys.stdout.write(json.dumps(figure) + "\n")
                sys.stdout.flush()


async def _sync_rate(url: str, directory: Path) -> float:
    """A shop with many payers comes online after a day and uploads payments and claims."""
    clock = ManualClock()
    engine = create_engine(url)
    await migrate(engine)
    keys = issuer_keys(directory / "keys", clock)
    town = town_in(engine, clock, keys, policy(voucher=1_000))
    shop = await town.person("shop", role="merchant")
    records = transfers_of(await _day(town))
    started = time.perf_counter()
    for start in range(0, len(records), RECORDS):
        answer = await town.upload(shop, records[start : start + RECORDS])
        assert all(result.status == "stored" for result in answer.results)
    elapsed = time.perf_counter() - started
    assert await town.available(shop) == PAYERS * PAYMENTS_EACH
    await town.check()
    await engine.dispose()
    return len(records) / elapsed


async def _day(town: Town) -> list[Chain]:
    shop = town.devices["shop"]
    chains: list[Chain] = []
    for number in range(PAYERS):
        payer = await town.person(f"payer{number}", money=1_000)
        (voucher,) = await town.issue(payer, 1_000)
        chains += [
            shop.claim(payer.pay(voucher, shop, lo, lo + 1), town.keys)
            for lo in range(PAYMENTS_EACH)
        ]
    return chains


def _rate(work: Callable[[], object]) -> float:
    work()
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < SECONDS:
        work()
        done += 1
    return done / elapsed


def _sqlite_commits(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE base (id INTEGER PRIMARY KEY, value INTEGER)")
    started = time.perf_counter()
    for number in range(_COMMITS):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO base VALUES (?, ?)", (number, number))
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - started
    connection.close()
    return _COMMITS / elapsed


async def _postgres_commits(url: str) -> float:
    parts = make_url(url)
    connection = await asyncpg.connect(
        host=parts.host, port=parts.port, user=parts.username, database=parts.database
    )
    await connection.execute("DROP TABLE IF EXISTS base")
    await connection.execute("CREATE TABLE base (id integer PRIMARY KEY, value integer)")
    started = time.perf_counter()
    for number in range(_COMMITS):
        await connection.execute("INSERT INTO base VALUES ($1, $2)", number, number)
    elapsed = time.perf_counter() - started
    await connection.close()
    return _COMMITS / elapsed


def _figure(name: str, rate: float, unit: str, base: float, to: str) -> Figure:
    return {
        "name": name,
        "value": round(rate, 1),
        "unit": unit,
        "ratio": round(rate / base, 3),
        "to": f"{to}: {base:.0f}/s",
    }


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else None))
