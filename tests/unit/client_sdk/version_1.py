"""Writes a wallet file as the first release did: its schema, its rows, no witness, no name.

Frozen: what stands here is not changed with the code. If a later release reads such a file, money
that was put away with the first one is still there.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from client_sdk.keys import KeyProvider
from client_sdk.store.sealed import Sealer, Value

_TABLES: Final = (
    "single",
    "holding",
    "exchange",
    "message_out",
    "record",
    "revoked",
    "pending_call",
)
_SCHEMA: Final = """
CREATE TABLE header (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
{tables}
CREATE INDEX exchange_flag ON exchange (flag);
CREATE INDEX record_flag ON record (flag, position);
CREATE INDEX record_link ON record (link);
PRAGMA user_version = 1;
"""
_TABLE: Final = """
CREATE TABLE {name} (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  key BLOB NOT NULL UNIQUE{reference},
  flag INTEGER NOT NULL,
  link BLOB NOT NULL,
  payload BLOB NOT NULL
) STRICT;
"""
HOLDING: Final = frozenset(
    {
        "key", "chain", "free", "source", "exchange", "voucher", "currency", "amount",
        "spend_by", "claim_by", "hops_used", "hops_max", "payment_max",
    }
)  # fmt: skip
EXCHANGE: Final = frozenset(
    {
        "id", "role", "state", "currency", "amount", "created_at", "updated_at", "request",
        "peer", "peer_name", "memo", "drafts", "transfers", "vouchers", "received", "receipt",
        "session_secret", "certificate", "settled", "undone_by", "refusal",
    }
)  # fmt: skip
DRAFT: Final = frozenset({"holding", "payload"})

Row = tuple[str, bytes, Value, int, bytes]
"""Table, key, payload, flag, link (in the clear)."""


def write(path: Path, keys: KeyProvider, rows: Iterable[Row]) -> None:
    """Make the file; `link` is a value to find a row by, kept as a keyed hash."""
    file_key = bytes(range(32))
    sealer = Sealer(file_key, bytes)
    tables = "".join(
        _TABLE.format(
            name=name, reference=" REFERENCES exchange (key)" if name == "message_out" else ""
        )
        for name in _TABLES
    )
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.executescript(_SCHEMA.format(tables=tables))
        with file:
            file.execute("INSERT INTO header VALUES ('file_key', ?)", (keys.wrap(file_key),))
            for table, key, payload, flag, link in rows:
                name = sealer.index(link) if link else b""
                sealed = sealer.seal(payload, _context(table, key, flag, name))
                file.execute(
                    f"INSERT INTO {table} (key, flag, link, payload) VALUES (?, ?, ?, ?)",
                    (key, flag, name, sealed),
                )


def _context(table: str, key: bytes, flag: int, link: bytes) -> bytes:
    parts = (table.encode(), key, flag.to_bytes(2, "big"), link)
    return b"tallystick/wallet/1" + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
