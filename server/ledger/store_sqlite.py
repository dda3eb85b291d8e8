"""Posting on SQLite.

Each step of the driver is a hop to its thread and back, which costs more than the statement. So the
driver's own connection is asked, in one step for each statement; it is inside the transaction that
`UnitOfWork` began.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import aiosqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from server.ledger.chart import AccountRef
from server.ledger.domain import Account, Entry, Hold, HoldState
from server.ledger.store import (
    ACCOUNT_COLUMNS,
    DUE_MAX,
    ENTRY_COLUMNS,
    HOLD_COLUMNS,
    Known,
    account_of,
    entry_columns,
    refusal_of,
)


class SqliteStore:
    """The write transaction is the lock; rows go one at a time, since there is no network."""

    _OPEN = """
        INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at,
          opened_at) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?)
    """
    _WRITE = f"INSERT INTO entry ({ENTRY_COLUMNS}) VALUES ({', '.join('?' * 19)})"  # noqa: S608

    def __init__(self, connection: AsyncConnection, tenant: int) -> None:
        self._connection = connection
        self._tenant = tenant

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        rows = await self._rows(
            f"SELECT {ACCOUNT_COLUMNS}, NULL, NULL FROM account "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(accounts)}) UNION ALL "
            "SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, fingerprint, reason FROM entry "
            f"WHERE tenant = ? AND id IN ({_marks(entries)})",
            (self._tenant, *_keys(accounts), self._tenant, *_keys(entries)),
        )
        locked, known = {}, {}
        for row in rows:
            key = UUID(bytes=row[0])
            if row[8] is None:
                locked[key] = account_of(key, row)
            else:
                known[key] = Known(row[8], refusal_of(row[9]))
        return locked, known

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
            f"SELECT {HOLD_COLUMNS} FROM hold "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(ids)}) "
            f"UNION SELECT * FROM (SELECT {HOLD_COLUMNS} FROM hold "
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
            for row in map(entry_columns, entries)
        ]
        if len(rows) == 1:
            await self._rows(self._WRITE, rows[0])
            return
        async with (await self._driver()).executemany(self._WRITE, rows):
            pass

    async def _rows(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        driver = await self._driver()
        return list(await driver.execute_fetchall(statement, parameters))

    async def _driver(self) -> aiosqlite.Connection:
        pooled = await self._connection.get_raw_connection()
        driver = pooled.driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        return driver


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
