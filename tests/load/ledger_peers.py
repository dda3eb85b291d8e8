"""What the bare drivers manage with a ledger of the simplest kind: the limits we are measured by.

Three tables, no guards, no holds, no chain of hashes: an account with its balance and version, a
transfer under its idempotency key, two entries with the balance after each. All of it is durable.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]

from server.kit.clock import SystemClock
from server.kit.ids import SystemIds

ACCOUNTS = 1000
_IDS = SystemIds(SystemClock())
_TABLES = """
    CREATE TABLE bare_account (id uuid PRIMARY KEY, balance bigint NOT NULL, floor bigint NOT NULL,
      version bigint NOT NULL) WITH (fillfactor = 50);
    CREATE TABLE bare_transfer (id uuid PRIMARY KEY, debit uuid NOT NULL, credit uuid NOT NULL,
      amount bigint NOT NULL, at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE bare_entry (account uuid NOT NULL, version bigint NOT NULL, transfer uuid NOT NULL,
      delta bigint NOT NULL, balance bigint NOT NULL, PRIMARY KEY (account, version));
"""
_SINGLE = """
    WITH debited AS (
      UPDATE bare_account SET balance = balance - $4, version = version + 1
      WHERE id = $2 AND balance - $4 >= floor RETURNING balance, version
    ), credited AS (
      UPDATE bare_account SET balance = balance + $4, version = version + 1
      WHERE id = $3 RETURNING balance, version
    ), transfer AS (
      INSERT INTO bare_transfer (id, debit, credit, amount) VALUES ($1, $2, $3, $4)
    )
    INSERT INTO bare_entry
    SELECT $2, version, $1, -$4, balance FROM debited
    UNION ALL SELECT $3, version, $1, $4, balance FROM credited
"""
_FUNCTION = """
    CREATE FUNCTION peer_transfer(the_id uuid, payer uuid, payee uuid, the_amount bigint)
    RETURNS uuid LANGUAGE plpgsql AS $$
    DECLARE
      of_payer bare_account%ROWTYPE;
      of_payee bare_account%ROWTYPE;
    BEGIN
      IF payer < payee THEN
        SELECT * INTO STRICT of_payer FROM bare_account WHERE id = payer FOR UPDATE;
        SELECT * INTO STRICT of_payee FROM bare_account WHERE id = payee FOR UPDATE;
      ELSE
        SELECT * INTO STRICT of_payee FROM bare_account WHERE id = payee FOR UPDATE;
        SELECT * INTO STRICT of_payer FROM bare_account WHERE id = payer FOR UPDATE;
      END IF;
      IF of_payer.balance - the_amount < of_payer.floor THEN
        RAISE EXCEPTION 'too little money';
      END IF;
      INSERT INTO bare_transfer (id, debit, credit, amount)
        VALUES (the_id, payer, payee, the_amount);
      UPDATE bare_account SET balance = balance - the_amount, version = version + 1
        WHERE id = payer RETURNING * INTO of_payer;
      INSERT INTO bare_entry
        VALUES (payer, of_payer.version, the_id, -the_amount, of_payer.balance);
      UPDATE bare_account SET balance = balance + the_amount, version = version + 1
        WHERE id = payee RETURNING * INTO of_payee;
      INSERT INTO bare_entry
        VALUES (payee, of_payee.version, the_id, the_amount, of_payee.balance);
      RETURN the_id;
    END $$
"""
_LOCK = (
    "SELECT id, balance, floor, version FROM bare_account WHERE id = ANY($1) ORDER BY id FOR UPDATE"
)
_KNOWN = "SELECT id FROM bare_transfer WHERE id = ANY($1)"
_WRITE = """
    WITH transfers AS (
      INSERT INTO bare_transfer (id, debit, credit, amount)
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[])
    ), accounts AS (
      UPDATE bare_account a SET balance = n.balance, version = n.version
      FROM unnest($5::uuid[], $6::bigint[], $7::bigint[]) AS n (id, balance, version)
      WHERE a.id = n.id
    )
    INSERT INTO bare_entry
    SELECT * FROM unnest($8::uuid[], $9::bigint[], $10::uuid[], $11::bigint[], $12::bigint[])
"""
_SET_BASED = """
    WITH wanted AS (
      SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[])
        WITH ORDINALITY AS w (id, debit, credit, amount, place)
    ), transfers AS (
      INSERT INTO bare_transfer (id, debit, credit, amount)
      SELECT id, debit, credit, amount FROM wanted
    ), legs AS (
      SELECT debit AS account, id AS transfer, -amount AS delta, place FROM wanted
      UNION ALL SELECT credit, id, amount, place FROM wanted
    ), totals AS (
      SELECT account, sum(delta)::bigint AS delta, count(*) AS steps FROM legs GROUP BY account
    ), accounts AS (
      UPDATE bare_account a SET balance = a.balance + t.delta, version = a.version + t.steps
      FROM totals t WHERE a.id = t.account AND a.balance + t.delta >= a.floor
      RETURNING a.id, a.balance - t.delta AS balance, a.version - t.steps AS version
    ), entries AS (
      INSERT INTO bare_entry
      SELECT account, version + row_number() OVER follows, transfer, delta,
        balance + (sum(delta) OVER follows)::bigint
      FROM legs JOIN accounts ON accounts.id = account
      WINDOW follows AS (PARTITION BY account ORDER BY place)
      RETURNING 1
    )
    SELECT count(*) FROM entries
"""


_SQLITE_TABLES = (
    """
    CREATE TABLE account (id BLOB PRIMARY KEY, balance INTEGER NOT NULL, floor INTEGER NOT NULL,
      version INTEGER NOT NULL) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE transfer (id BLOB PRIMARY KEY, debit BLOB NOT NULL, credit BLOB NOT NULL,
      amount INTEGER NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE entry (account BLOB NOT NULL, version INTEGER NOT NULL, transfer BLOB NOT NULL,
      delta INTEGER NOT NULL, balance INTEGER NOT NULL,
      PRIMARY KEY (account, version)) STRICT, WITHOUT ROWID
    """,
)


class Move(NamedTuple):
    id: UUID
    debit: UUID
    credit: UUID
    amount: int


def move(payee: int | None = None) -> Move:
    """Return a transfer of one unit between two accounts, the second at choice."""
    debit, credit = random.sample(range(1, ACCOUNTS + 1), 2)
    if payee is not None:
        debit, credit = max(debit, payee + 2), payee + 1
    return Move(_IDS.uuid(), UUID(int=debit), UUID(int=credit), 1)


class BarePostgres:
    """The simple ledger on PostgreSQL, over asyncpg alone."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def create(cls, url: str, *, connections: int) -> "BarePostgres":
        address = url.replace("postgresql+asyncpg", "postgresql") + "/postgres"
        # A plan made while the tables were small must not go on reading whole tables.
        pool = await asyncpg.create_pool(
            address,
            min_size=connections,
            max_size=connections,
            max_inactive_connection_lifetime=0,
            server_settings={"enable_seqscan": "off"},
        )
        await pool.execute(_TABLES)
        await pool.execute(_FUNCTION)
        await pool.executemany(
            "INSERT INTO bare_account VALUES ($1, 1000000000, 0, 0)",
            [(UUID(int=number + 1),) for number in range(ACCOUNTS)],
        )
        await pool.execute("VACUUM ANALYZE")
        return cls(pool)

    async def drop(self) -> None:
        await self._pool.execute("DROP TABLE bare_account, bare_transfer, bare_entry CASCADE")
        await self._pool.close()

    async def single(self, wanted: Move) -> None:
        """Do one transfer in one statement, which is its transaction."""
        await self._pool.execute(_SINGLE, *wanted)

    async def by_function(self, wanted: Move) -> None:
        """Do one transfer with a function in the database, one transaction each."""
        await self._pool.execute("SELECT peer_transfer($1, $2, $3, $4)", *wanted)

    async def set_based(self, wanted: Sequence[Move]) -> None:
        """Do many transfers in one statement that decides inside SQL."""
        columns = (list(column) for column in zip(*wanted, strict=True))
        if await self._pool.fetchval(_SET_BASED, *columns) != 2 * len(wanted):
            raise RuntimeError("a batch was written in part")

    async def together(self, wanted: Sequence[Move]) -> None:
        """Lock, read, decide in Python, write: one transaction for many transfers."""
        async with self._pool.acquire() as connection, connection.transaction():
            ids = sorted({one.debit for one in wanted} | {one.credit for one in wanted})
            rows = await connection.fetch(_LOCK, ids)
            accounts = {row[0]: (row[1], row[2], row[3]) for row in rows}
            known = {row[0] for row in await connection.fetch(_KNOWN, [one.id for one in wanted])}
            moves, entries = [], []
            for one in wanted:
                balance, floor, version = accounts[one.debit]
                if one.id in known or balance - one.amount < floor:
                    continue
                moves.append(one)
                accounts[one.debit] = balance - one.amount, floor, version + 1
                entries.append((one.debit, version + 1, one.id, -one.amount, balance - one.amount))
                balance, floor, version = accounts[one.credit]
                accounts[one.credit] = balance + one.amount, floor, version + 1
                entries.append((one.credit, version + 1, one.id, one.amount, balance + one.amount))
            balances = [(key, balance, version) for key, (balance, _, version) in accounts.items()]
            columns = [
                list(column)
                for rows in (moves, balances, entries)
                for column in zip(*rows, strict=True)
            ]
            await connection.execute(_WRITE, *columns)


class Coalesced:
    """Many callers, one that does what they ask for: the simplest queue that can be right."""

    def __init__(self, together: Callable[[Sequence[Move]], Awaitable[None]]) -> None:
        self._together = together
        self._waiting: list[tuple[Move, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def submit(self, wanted: Move) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await answer

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:1000], self._waiting[1000:]
            await self._together([wanted for wanted, _ in batch])
            for _, answer in batch:
                answer.set_result(None)
            await asyncio.sleep(0)


def sqlite_rate(path: Path, count: int, seconds: float) -> float:
    """Return transfers a second of the simple ledger on plain sqlite3, so many per transaction."""
    with _sqlite(path) as connection:
        done, started = 0, time.perf_counter()
        while time.perf_counter() < started + seconds:
            _sqlite_batch(connection, [move() for _ in range(count)])
            done += count
        return done / (time.perf_counter() - started)


@contextmanager
def _sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA wal_autocheckpoint = 4000",
        *_SQLITE_TABLES,
    ):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO account VALUES (?, 1000000000, 0, 0)",
        [(UUID(int=number + 1).bytes,) for number in range(ACCOUNTS)],
    )
    yield connection
    connection.close()


def _sqlite_batch(connection: sqlite3.Connection, wanted: Sequence[Move]) -> None:
    at = time.time_ns()
    connection.execute("BEGIN IMMEDIATE")
    ids = {key.bytes for one in wanted for key in (one.debit, one.credit)}
    accounts = {
        key: list(
            connection.execute(
                "SELECT balance, floor, version FROM account WHERE id = ?", (key,)
            ).fetchone()
        )
        for key in ids
    }
    transfers, entries = [], []
    for one in wanted:
        key, debit, credit = one.id.bytes, one.debit.bytes, one.credit.bytes
        if connection.execute("SELECT 1 FROM transfer WHERE id = ?", (key,)).fetchone():
            continue
        payer, payee = accounts[debit], accounts[credit]
        if payer[0] - one.amount < payer[1]:
            continue
        payer[0], payer[2] = payer[0] - one.amount, payer[2] + 1
        payee[0], payee[2] = payee[0] + one.amount, payee[2] + 1
        transfers.append((key, debit, credit, one.amount, at))
        entries.append((debit, payer[2], key, -one.amount, payer[0]))
        entries.append((credit, payee[2], key, one.amount, payee[0]))
    connection.executemany("INSERT INTO transfer VALUES (?, ?, ?, ?, ?)", transfers)
    connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", entries)
    connection.executemany(
        "UPDATE account SET balance = ?, version = ? WHERE id = ?",
        [(balance, version, key) for key, (balance, _, version) in accounts.items()],
    )
    connection.execute("COMMIT")
