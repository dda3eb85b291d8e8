"""How each database is asked for what posting needs; the rules live elsewhere.

Statements go to the driver as they are: posting is the hot path, and its few statements differ
between the two databases in every line. Times are microseconds, ids are UUID here and 16 bytes in
SQLite.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountRef
from server.ledger.domain import Account, Entry, Hold, HoldState
from server.ledger.errors import Refusal

DUE_MAX = 1000
"""Expired holds that one batch ends on the way; the others wait for the next."""


class Known(NamedTuple):
    """What is stored about an id that was used before."""

    fingerprint: bytes
    reason: Refusal | None


class Store(Protocol):
    """Reads and writes for one tenant in one transaction."""

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        """Lock accounts in the order given, then read which entries are known.

        The second read sees all that was committed while the first one waited. Accounts that do
        not exist are left out.
        """
        ...

    async def open(self, refs: Sequence[AccountRef], now: int) -> None:
        """Open accounts, unless somebody else just did."""
        ...

    async def holds(
        self, ids: Sequence[UUID], accounts: Sequence[UUID], due_at: int
    ) -> dict[UUID, Hold]:
        """Return holds by id, and the open ones of accounts that are due."""
        ...

    async def write(self, entries: Sequence[Entry]) -> None:
        """Insert entries in order; the database posts them."""
        ...


def store_of(tx: Tx, tenant: int) -> Store:
    kind = PostgresStore if tx.dialect == "postgresql" else SqliteStore
    return kind(tx.connection, tenant)


_ENTRY_COLUMNS = (
    "tenant, id, operation, kind, outcome, reason, debit, credit, asset, amount, debit_version, "
    "credit_version, hold, chain, expires_at, effective_at, at, fingerprint, memo"
)
_ACCOUNT_COLUMNS = "id, asset, floor, posted, held, version, at, closed_at"
_HOLD_COLUMNS = "id, debit, credit, amount, taken, state, expires_at"


class _Driver:
    def __init__(self, connection: AsyncConnection, tenant: int) -> None:
        self._connection = connection
        self._tenant = tenant

    async def _rows(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        """Run a statement as it stands; the driver's own rows come back."""
        return list(await self._connection.exec_driver_sql(statement, parameters))


class PostgresStore(_Driver):
    """Arrays in, one statement each. Keyed reads are functions that never scan (see the schema)."""

    _LOCK = "SELECT * FROM ledger_lock($1, $2, $3)"
    _HOLDS = f"SELECT {_HOLD_COLUMNS} FROM ledger_holds($1, $2, $3, $4, $5)"  # noqa: S608
    _OPEN = """
        INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at,
          opened_at)
        SELECT $1, id, kind, asset, owner, floor, 0, 0, 0, $2, $2
        FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[])
          AS fresh (id, kind, asset, owner, floor)
        ORDER BY id ON CONFLICT (tenant, id) DO NOTHING
    """
    _WRITE = f"""
        INSERT INTO entry ({_ENTRY_COLUMNS}) SELECT $1, * FROM unnest(
          $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::uuid[],
          $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::uuid[], $14::uuid[],
          $15::bigint[], $16::bigint[], $17::bigint[], $18::bytea[], $19::text[])
    """  # noqa: S608 - constants

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        rows = await self._rows(self._LOCK, (self._tenant, list(accounts), list(entries)))
        locked, known = {}, {}
        for row in rows:
            if row[8] is None:
                locked[row[0]] = _account(row[0], row)
            else:
                known[row[0]] = Known(row[8], _refusal(row[9]))
        return locked, known

    async def open(self, refs: Sequence[AccountRef], now: int) -> None:
        columns = (
            [ref.id for ref in refs],
            [str(ref.kind) for ref in refs],
            [ref.asset for ref in refs],
            [ref.owner for ref in refs],
            [ref.kind.rule.floor for ref in refs],
        )
        await self._connection.exec_driver_sql(self._OPEN, (self._tenant, now, *columns))

    async def holds(
        self, ids: Sequence[UUID], accounts: Sequence[UUID], due_at: int
    ) -> dict[UUID, Hold]:
        rows = await self._rows(
            self._HOLDS, (self._tenant, list(ids), list(accounts), due_at, DUE_MAX)
        )
        return {
            row[0]: Hold(row[0], row[1], row[2], row[3], row[4], HoldState(row[5]), row[6])
            for row in rows
        }

    async def write(self, entries: Sequence[Entry]) -> None:
        columns = zip(*(_entry_row(entry) for entry in entries), strict=True)
        await self._connection.exec_driver_sql(
            self._WRITE, (self._tenant, *(list(column) for column in columns))
        )


class SqliteStore(_Driver):
    """The write transaction is the lock; rows go one at a time, since there is no network."""

    _OPEN = """
        INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at,
          opened_at) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?)
    """
    _WRITE = f"INSERT INTO entry ({_ENTRY_COLUMNS}) VALUES ({', '.join('?' * 19)})"  # noqa: S608

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        locked = await self._rows(
            f"SELECT {_ACCOUNT_COLUMNS} FROM account "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(accounts)})",
            (self._tenant, *_keys(accounts)),
        )
        known = await self._rows(
            "SELECT id, fingerprint, reason FROM entry "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(entries)})",
            (self._tenant, *_keys(entries)),
        )
        return (
            {(key := UUID(bytes=row[0])): _account(key, row) for row in locked},
            {UUID(bytes=row[0]): Known(row[1], _refusal(row[2])) for row in known},
        )

    async def open(self, refs: Sequence[AccountRef], now: int) -> None:
        await self._connection.exec_driver_sql(
            self._OPEN,
            [
                (
                    self._tenant,
                    ref.id.bytes,
                    str(ref.kind),
                    ref.asset,
                    _bytes(ref.owner),
                    ref.kind.rule.floor,
                    now,
                    now,
                )
                for ref in refs
            ],
        )

    async def holds(
        self, ids: Sequence[UUID], accounts: Sequence[UUID], due_at: int
    ) -> dict[UUID, Hold]:
        rows = await self._rows(
            f"SELECT {_HOLD_COLUMNS} FROM hold "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(ids)}) "
            f"UNION SELECT * FROM (SELECT {_HOLD_COLUMNS} FROM hold "
            f"WHERE tenant = ? AND debit IN ({_marks(accounts)}) AND state = 'open' "
            "AND expires_at <= ? ORDER BY expires_at, id LIMIT ?)",
            (self._tenant, *_keys(ids), self._tenant, *_keys(accounts), due_at, DUE_MAX),
        )
        return {
            (key := UUID(bytes=row[0])): Hold(
                key,
                UUID(bytes=row[1]),
                UUID(bytes=row[2]),
                row[3],
                row[4],
                HoldState(row[5]),
                row[6],
            )
            for row in rows
        }

    async def write(self, entries: Sequence[Entry]) -> None:
        rows = [
            (
                self._tenant,
                row[0].bytes,
                *row[1:5],
                row[5].bytes,
                row[6].bytes,
                *row[7:11],
                _bytes(row[11]),
                _bytes(row[12]),
                *row[13:],
            )
            for row in map(_entry_row, entries)
        ]
        await self._connection.exec_driver_sql(self._WRITE, rows)


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    """Return the columns after the tenant."""
    return (
        entry.id,
        entry.operation.value,
        entry.kind,
        "applied" if entry.reason is None else "refused",
        None if entry.reason is None else entry.reason.value,
        *entry[4:],
    )


def _account(key: UUID, row: Sequence[Any]) -> Account:
    _, asset, floor, posted, held, version, at, closed_at, *_ = row
    return Account(key, asset, floor, posted, held, version, at, closed_at is not None)


def _refusal(text: str | None) -> Refusal | None:
    return None if text is None else Refusal(text)


def _bytes(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


def _slots(ids: Sequence[UUID]) -> int:
    """Return a power of two, so that few different statements are ever prepared."""
    return 1 << max(len(ids) - 1, 0).bit_length()


def _marks(ids: Sequence[UUID]) -> str:
    return ", ".join("?" * _slots(ids))


def _keys(ids: Sequence[UUID]) -> Iterable[bytes | None]:
    yield from (key.bytes for key in ids)
    yield from [None] * (_slots(ids) - len(ids))
