"""Posting on SQLite."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from server.ledger.chart import AccountRef
from server.ledger.domain import Account, Entry, Hold, HoldState
from server.ledger.store import (
    ACCOUNT_COLUMNS,
    DUE_MAX,
    ENTRY_COLUMNS,
    HOLD_COLUMNS,
    DriverStore,
    Known,
    account_of,
    entry_columns,
    refusal_of,
)


class SqliteStore(DriverStore):
    """The write transaction is the lock; rows go one at a time, since there is no network."""

    _OPEN = """
        INSERT INTO account (tenant, id, kind, asset, owner, floor, posted, held, version, at,
          opened_at) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, ?, ?)
    """
    _WRITE = f"INSERT INTO entry ({ENTRY_COLUMNS}) VALUES ({', '.join('?' * 19)})"  # noqa: S608

    async def lock(
        self, accounts: Sequence[UUID], entries: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Account], dict[UUID, Known]]:
        locked = await self._rows(
            f"SELECT {ACCOUNT_COLUMNS} FROM account "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(accounts)})",
            (self._tenant, *_keys(accounts)),
        )
        known = await self._rows(
            "SELECT id, fingerprint, reason FROM entry "  # noqa: S608 - constants and marks
            f"WHERE tenant = ? AND id IN ({_marks(entries)})",
            (self._tenant, *_keys(entries)),
        )
        return (
            {(key := UUID(bytes=row[0])): account_of(key, row) for row in locked},
            {UUID(bytes=row[0]): Known(row[1], refusal_of(row[2])) for row in known},
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
        await self._connection.exec_driver_sql(self._WRITE, rows)


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
