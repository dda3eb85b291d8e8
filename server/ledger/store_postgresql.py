"""Posting on PostgreSQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.ledger.chart import AccountRef
from server.ledger.domain import Account, Entry, Hold, HoldState
from server.ledger.store import (
    DUE_MAX,
    HOLD_COLUMNS,
    Known,
    account_of,
    entry_columns,
    refusal_of,
)


class PostgresStore:
    """One statement for each step. Keyed reads are functions that never scan (see the schema)."""

    _LOCK = "SELECT * FROM ledger_lock($1, $2, $3)"
    _HOLDS = f"SELECT {HOLD_COLUMNS} FROM ledger_holds($1, $2, $3, $4, $5)"  # noqa: S608
    _OPEN = """
        INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at,
          opened_at)
        SELECT $1, id, kind, asset, owner, floor, 0, 0, 0, $2, $2
        FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::bigint[])
          AS fresh (id, kind, asset, owner, floor)
        ORDER BY id ON CONFLICT (tenant, id) DO NOTHING
    """
    # An array of rows: the driver looks at each value of an array of plain values again.
    _WRITE = "INSERT INTO entry SELECT * FROM unnest($1::entry[])"

    def __init__(self, connection: AsyncConnection, tenant: int) -> None:
        self._connection = connection
        self._tenant = tenant

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        rows = await self._rows(self._LOCK, (self._tenant, list(accounts), list(entries)))
        locked, known = {}, {}
        for row in rows:
            if row[8] is None:
                locked[row[0]] = account_of(row[0], row)
            else:
                known[row[0]] = Known(row[8], refusal_of(row[9]))
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
        tenant = self._tenant
        rows = [(tenant, *entry_columns(entry)) for entry in entries]
        await self._connection.exec_driver_sql(self._WRITE, (rows,))

    async def _rows(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        return list(await self._connection.exec_driver_sql(statement, parameters))
