"""What the bank remembers, in SQLite, each change committed before it is answered."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS account (currency TEXT PRIMARY KEY, number TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS booking (
  seq INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL UNIQUE, currency TEXT NOT NULL,
  amount INTEGER NOT NULL, day TEXT NOT NULL, booked INTEGER NOT NULL, end_to_end TEXT,
  text TEXT NOT NULL, is_return INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS payout (
  id TEXT PRIMARY KEY, body TEXT NOT NULL, state TEXT NOT NULL, transaction_id TEXT, reason TEXT,
  mode TEXT NOT NULL, due_ms INTEGER, file TEXT, came_in_ms INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS notice (
  seq INTEGER PRIMARY KEY, delivery_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL,
  due_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, done INTEGER NOT NULL, answer TEXT) STRICT;
"""


class Store:
    """One connection, used by one thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All of it or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[Json]:
        return [dict(row) for row in self._connection.execute(query, values)]

    def row(self, query: str, *values: object) -> Json | None:
        found = self.rows(query, *values)
        return found[0] if found else None

    def do(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, values)

    def setting(self, name: str, default: str = "") -> str:
        found = self.row("SELECT value FROM setting WHERE name = ?", name)
        return default if found is None else str(found["value"])

    def set(self, name: str, value: str) -> None:
        self.do("INSERT OR REPLACE INTO setting VALUES (?, ?)", name, value)

    def next_number(self, name: str) -> int:
        number = int(self.setting(f"last_{name}", "0")) + 1
        self.set(f"last_{name}", str(number))
        return number

    def book(
        self,
        currency: str,
        amount: int,
        *,
        text: str = "",
        transaction_id: str | None = None,
        end_to_end: str | None = None,
        booked: bool = True,
        is_return: bool = False,
        day: date | None = None,
    ) -> str:
        """Book money on the customer's account, below zero when it goes out; return its id."""
        transaction_id = transaction_id or f"B{self.next_number('booking'):012d}"
        self.do(
            "INSERT INTO booking (transaction_id, currency, amount, day, booked, end_to_end, text, "
            "is_return) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            transaction_id,
            currency,
            amount,
            (day or today()).isoformat(),
            int(booked),
            end_to_end,
            text,
            int(is_return),
        )
        return transaction_id

    def announce(self, facts: Json, *, times: int = 1, due_ms: int | None = None) -> list[str]:
        """Put a notice into the queue, each time under a delivery id of its own."""
        deliveries = []
        for _ in range(times):
            delivery = f"d-{self.next_number('delivery'):09d}"
            body = json.dumps({"delivery_id": delivery} | facts)
            self.do(
                "INSERT INTO notice (delivery_id, body, due_ms, attempts, done) "
                "VALUES (?, ?, ?, 0, 0)",
                delivery,
                body,
                now_ms() if due_ms is None else due_ms,
            )
            deliveries.append(delivery)
        return deliveries


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)  # noqa: TID251 - a bank has a clock of its own


def today() -> date:
    return datetime.now(UTC).date()  # noqa: TID251 - a bank has a clock of its own
