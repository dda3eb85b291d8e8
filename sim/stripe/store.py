"""The company's memory: every object as JSON, answers by idempotency key, webhooks to send.

One request is one transaction, so a kill leaves each request done or not done.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Body = dict[str, Any]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, account TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS object_kind ON object (kind, account, seq);
CREATE TABLE IF NOT EXISTS answer (
  key TEXT NOT NULL, account TEXT NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL,
  body TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (key, account)
) STRICT;
CREATE TABLE IF NOT EXISTS delivery (
  event TEXT NOT NULL, endpoint TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (event, endpoint)
) STRICT;
CREATE TABLE IF NOT EXISTS fault (
  seq INTEGER PRIMARY KEY, path TEXT NOT NULL, kind TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
KEYS_LIVE_S = 24 * 3600


class Store:
    """Objects by id and kind, of the platform (account ``""``) and of connected accounts."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(_SCHEMA)

    def now(self) -> int:
        """Return the company's time, in seconds since 1970."""
        shift = self.setting("clock_shift_s") or "0"
        return time.time_ns() // 1_000_000_000 + int(shift)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def new(self, prefix: str, kind: str, body: Body, *, account: str = "") -> Body:
        """Store a fresh object and return it with its id."""
        whole: Body = {"id": f"{prefix}_{secrets.token_hex(12)}", "object": kind} | body
        whole |= {"created": self.now(), "livemode": False}
        self.connection.execute(
            "INSERT INTO object (id, kind, account, body) VALUES (?, ?, ?, ?)",
            (whole["id"], kind, account, json.dumps(whole)),
        )
        return whole

    def save(self, body: Body) -> Body:
        self.connection.execute(
            "UPDATE object SET body = ? WHERE id = ?", (json.dumps(body), body["id"])
        )
        return body

    def get(self, kind: str, identifier: str, *, account: str = "") -> Body | None:
        row = self.connection.execute(
            "SELECT body FROM object WHERE id = ? AND kind = ? AND account = ?",
            (identifier, kind, account),
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def any(self, identifier: str) -> Body | None:
        row = self.connection.execute(
            "SELECT body FROM object WHERE id = ?", (identifier,)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def all(
        self, kind: str, keep: Callable[[Body], bool] = lambda _: True, *, account: str = ""
    ) -> list[Body]:
        """Return objects of a kind, the newest first as the interface lists them."""
        rows = self.connection.execute(
            "SELECT body FROM object WHERE kind = ? AND account = ? ORDER BY seq DESC",
            (kind, account),
        )
        return [body for (text,) in rows if keep(body := json.loads(text))]

    def setting(self, name: str) -> str | None:
        row = self.connection.execute(
            "SELECT value FROM setting WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else row[0]

    def set(self, name: str, value: str) -> None:
        self.connection.execute(
            "INSERT INTO setting VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def answered(self, key: str, account: str) -> tuple[str, int, str] | None:
        """Return the request, status and body of a key that is not a day old yet."""
        self.connection.execute("DELETE FROM answer WHERE at <= ?", (self.now() - KEYS_LIVE_S,))
        row = self.connection.execute(
            "SELECT request, status, body FROM answer WHERE key = ? AND account = ?", (key, account)
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def answer(self, key: str, account: str, request: str, status: int, body: str) -> None:
        self.connection.execute(
            "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?)",
            (key, account, request, status, body, self.now()),
        )

    def clear(self) -> None:
        """Forget everything: objects, keys, webhooks, settings."""
        for table in ("object", "answer", "delivery", "fault", "setting"):
            self.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants

    def take_fault(self, path: str) -> str | None:
        """Return and use up the next fault that is planned for an address."""
        rows = self.connection.execute("SELECT seq, path, kind FROM fault ORDER BY seq").fetchall()
        for seq, prefix, kind in rows:
            if path.startswith(prefix):
                self.connection.execute("DELETE FROM fault WHERE seq = ?", (seq,))
                return str(kind)
        return None

    def plan_fault(self, path: str, kind: str) -> None:
        self.connection.execute("INSERT INTO fault (path, kind) VALUES (?, ?)", (path, kind))

    def emit(self, kind: str, subject: Mapping[str, Any], *, account: str = "") -> None:
        """Store an event and put it into the queue of every webhook endpoint."""
        event = self.new(
            "evt",
            "event",
            {
                "api_version": "2026-10-28.endive",
                "type": kind,
                "data": {"object": dict(subject)},
                "pending_webhooks": 1,
                "request": {"id": None, "idempotency_key": None},
            }
            | ({"account": account} if account else {}),
        )
        for endpoint in self.all("webhook_endpoint"):
            self.connection.execute(
                "INSERT INTO delivery VALUES (?, ?, 'pending')", (event["id"], endpoint["id"])
            )
