"""The wallet file: SQLite with every payload sealed.

WAL with `synchronous=FULL`: when `write` has returned, the change survives a power cut.
Rows have one shape in all tables: key, flag, link, payload; what they mean is in schema.sql.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from client_sdk import errors
from client_sdk.ambient import Entropy, system_entropy
from client_sdk.keys import FILE_KEY_BYTES, KeyProvider
from client_sdk.store import upgrades
from client_sdk.store.lock import FULL, FileLock
from client_sdk.store.sealed import Sealer, Value

Hook = Callable[[str], None]
"""Called as "before NAME" and "after NAME" around the commit of every write, for crash tests."""

Table = Literal[
    "single",
    "holding",
    "exchange",
    "message_out",
    "record",
    "revoked",
    "pending_call",
    "seen",
    "heard",
]


class Row(NamedTuple):
    key: bytes
    flag: int
    payload: Value


_CODES: Final[dict[int, type[errors.StoreError]]] = {
    sqlite3.SQLITE_READONLY: errors.StoreReadOnly,
    sqlite3.SQLITE_CANTOPEN: errors.StoreReadOnly,
    sqlite3.SQLITE_FULL: errors.StoreFull,
    sqlite3.SQLITE_CORRUPT: errors.StoreCorrupt,
    sqlite3.SQLITE_NOTADB: errors.NotAWallet,
    sqlite3.SQLITE_BUSY: errors.WalletLocked,
    sqlite3.SQLITE_IOERR: errors.StoreUnreliable,
}
# A quota or a limit on the length of files comes as a failed write, not as a full disk.
_IO_CODES: Final[dict[int, type[errors.StoreError]]] = {
    sqlite3.SQLITE_IOERR_WRITE: errors.StoreFull,
    sqlite3.SQLITE_IOERR_TRUNCATE: errors.StoreFull,
}


@contextmanager
def _clear_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        extended = getattr(error, "sqlite_errorcode", 0)
        kind = _IO_CODES.get(extended) or _CODES.get(code, errors.StoreError)
        raise kind(f"The wallet file cannot be used: {error}.") from error


# Held until closing, also where a hard link or a deleted lock file gets round our own lock.
ALONE: Final = "locking_mode = EXCLUSIVE"
PRAGMAS: Final = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
_MAGIC: Final = b"SQLite format 3\0"


def _check_writable(path: Path) -> None:
    """SQLite says no more than "disk I/O error" where its write-ahead log cannot be made."""
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            raise PermissionError(f"no permission to write {place}")


def _refuse_foreign(path: Path) -> None:
    """Leave what is no database alone, before a lock is laid beside it.

    Raises:
        NotAWallet: the file is not empty and does not begin like a database.
    """
    with path.open("rb") as file:
        beginning = file.read(len(_MAGIC))
    if beginning and beginning != _MAGIC:
        raise errors.NotAWallet(f"The file {path} is no wallet, or its first page is damaged.")


def _connected(path: Path | None) -> sqlite3.Connection:
    """A connection that has the file alone and has not written to it."""
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=1)
    try:
        connection.execute(f"PRAGMA {ALONE}")
        upgrades.refuse_foreign(connection)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class StoreTx:
    """One open write transaction; what it reads includes what it wrote."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    def put(
        self, table: Table, key: bytes, payload: Value, *, flag: int = 0, link: bytes = b""
    ) -> None:
        """Insert the row, or replace flag, link and payload of the one with this key."""
        self._store._put(table, key, payload, flag, link)  # noqa: SLF001 -- one class in two parts

    def delete(self, table: Table, key: bytes) -> None:
        self._store._delete(table, key)  # noqa: SLF001 -- as above

    def delete_below(self, table: Table, flag: int) -> None:
        """Delete the rows with a smaller flag."""
        self._store._delete_where(table, "flag < ?", flag)  # noqa: SLF001 -- as above

    def keep_newest(self, table: Table, most: int) -> None:
        """Delete the rows that were first written before the newest `most`."""
        oldest = f"position <= (SELECT max(position) FROM {table}) - ?"  # noqa: S608 -- a literal type
        self._store._delete_where(table, oldest, most)  # noqa: SLF001 -- as above


class Store:
    """An open wallet file; make one with `create` or `open`.

    Not for several threads; every call is short and blocking.

    Attributes:
        path: where the file lies; None for a wallet in memory.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        sealer: Sealer,
        *,
        path: Path | None,
        lock: FileLock | None,
        hook: Hook | None,
    ) -> None:
        self.path = path
        self._connection = connection
        self._sealer = sealer
        self._lock = lock
        self._hook = hook

    @classmethod
    def create(
        cls,
        path: Path | None,
        keys: KeyProvider,
        *,
        entropy: Entropy = system_entropy,
        hook: Hook | None = None,
    ) -> "Store":
        """Make a new wallet file, or one in memory when no path is given.

        Raises:
            WalletExists: a wallet lies at the path already.
            NotAWallet: something else lies there.
        """
        file_key = entropy(FILE_KEY_BYTES)
        wrapped = keys.wrap(file_key)
        connection, lock = cls._connect(path)
        store = cls(connection, Sealer(file_key, entropy), path=path, lock=lock, hook=hook)
        with store._abandon_on_error(), store._transaction("create"):
            if upgrades.version_of(connection):
                raise errors.WalletExists(f"There is a wallet at {path} already.")
            upgrades.upgrade(connection)
            connection.execute("INSERT INTO header VALUES ('file_key', ?)", (wrapped,))
        return store

    @classmethod
    def open(
        cls,
        path: Path,
        keys: KeyProvider,
        *,
        entropy: Entropy = system_entropy,
        hook: Hook | None = None,
    ) -> "Store":
        """Open an existing wallet file and hold it alone.

        Raises:
            WalletMissing: nothing lies at the path.
            WalletLocked: another process has it open.
            WrongPassphrase: the key provider does not open it.
            NotAWallet: the file belongs to another program.
            StoreCorrupt: the file is damaged.
            StoreTooNew: a later release wrote it.
        """
        try:
            there = path.is_file()
        except OSError as error:  # a name that no file can have, or a folder that is closed to us
            raise errors.WalletMissing(f"There is no wallet at {path}: {error.strerror}.") from None
        if not there:
            raise errors.WalletMissing(f"There is no wallet at {path}.")
        if path.stat().st_size == 0:
            raise errors.WalletMissing(f"The file {path} holds no finished wallet.")
        connection, lock = cls._connect(path)
        sealer = Sealer(b"\0" * FILE_KEY_BYTES, entropy)
        store = cls(connection, sealer, path=path, lock=lock, hook=hook)
        with store._abandon_on_error():
            with _clear_errors():
                version = upgrades.version_of(connection)
                if version == 0:
                    raise errors.WalletMissing(f"The file {path} holds no finished wallet.")
                # A row that an index has lost would be a sequence number that is used again.
                found = connection.execute("PRAGMA integrity_check(1)").fetchone()
                if found != ("ok",):
                    raise errors.StoreCorrupt(f"The wallet file is damaged: {found[0]}.")
                row = connection.execute(
                    "SELECT value FROM header WHERE name = 'file_key'"
                ).fetchone()
            if row is None:
                raise errors.StoreCorrupt("The wallet file has lost its wrapped key.")
            store._sealer = Sealer(keys.unwrap(row[0]), entropy)
            if version != upgrades.NEWEST:
                with store._transaction("upgrade"):
                    upgrades.upgrade(connection)
        return store

    @staticmethod
    def _connect(path: Path | None) -> tuple[sqlite3.Connection, FileLock | None]:
        lock = None
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.exists():
                    _refuse_foreign(path)
                lock = FileLock(path)
                if not path.exists():
                    path.touch(mode=0o600)
                _check_writable(path.resolve())
            with _clear_errors():
                connection = _connected(path)
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, OSError):
                kind = errors.StoreFull if error.errno in FULL else errors.StoreReadOnly
                raise kind(f"The wallet file cannot be written: {error}.") from None
            raise
        return connection, lock

    @contextmanager
    def _abandon_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextmanager
    def write(self, name: str) -> Iterator[StoreTx]:
        """One transaction, durable on leaving; an exception inside undoes all of it.

        Args:
            name: what is written, for crash tests ("before NAME", "after NAME").
        """
        with self._transaction(name):
            yield StoreTx(self)

    @contextmanager
    def _transaction(self, name: str) -> Iterator[None]:
        with _clear_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.point(f"before {name}")
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        self.point(f"after {name}")

    def point(self, name: str) -> None:
        """A place where a crash test may end the process: before or after something durable."""
        if self._hook is not None:
            self._hook(name)

    def name_of(self, label: bytes) -> bytes:
        """16 bytes that follow from this file's key and the label, and show neither."""
        return self._sealer.index(label)

    def get(self, table: Table, key: bytes) -> Value:
        """The payload, or None when there is no such row."""
        rows = self._select(table, "WHERE key = ?", (key,))
        return rows[0].payload if rows else None

    def rows(
        self, table: Table, *, flag: int | None = None, limit: int = -1, newest: bool = False
    ) -> list[Row]:
        """Rows in the order of their first writing, or `newest` first."""
        where, values = ("", ()) if flag is None else ("WHERE flag = ?", (flag,))
        order = "position DESC" if newest else "position"
        return self._select(table, f"{where} ORDER BY {order} LIMIT {limit:d}", values)

    def rows_under(self, table: Table, prefix: bytes) -> list[Row]:
        """Rows whose key begins with these bytes, of which the last is not 255."""
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        where = "WHERE key >= ? AND key < ? ORDER BY position"
        return self._select(table, where, (prefix, end))

    def linked(self, table: Table, link: bytes, *, newest: int | None = None) -> list[Row]:
        """Rows written with this link, in the order of their first writing.

        With `newest` no more than so many, the newest first.
        """
        order = "position" if newest is None else f"position DESC LIMIT {newest:d}"
        where = f"WHERE link = ? ORDER BY {order}"
        return self._select(table, where, (self._sealer.index(link),))

    def count(self, table: Table, *, flag: int) -> int:
        query = f"SELECT count(*) FROM {table} WHERE flag = ?"  # noqa: S608 -- a literal type
        with _clear_errors():
            return int(self._connection.execute(query, (flag,)).fetchone()[0])

    def _select(self, table: Table, tail: str, values: tuple[bytes | int, ...]) -> list[Row]:
        query = f"SELECT key, flag, link, payload FROM {table} {tail}"  # noqa: S608 -- as above
        with _clear_errors():
            found = self._connection.execute(query, values).fetchall()
        return [
            Row(key, flag, self._unseal(table, key, flag, link, payload))
            for key, flag, link, payload in found
        ]

    def _unseal(self, table: Table, key: bytes, flag: int, link: bytes, payload: bytes) -> Value:
        try:
            return self._sealer.unseal(payload, _context(table, key, flag, link))
        except ValueError:
            raise errors.StoreCorrupt(f"A sealed row of {table!r} has been changed.") from None

    def _put(self, table: Table, key: bytes, payload: Value, flag: int, link: bytes) -> None:
        name = self._sealer.index(link) if link else b""
        sealed = self._sealer.seal(payload, _context(table, key, flag, name))
        query = (
            f"INSERT INTO {table} (key, flag, link, payload) VALUES (?, ?, ?, ?) "  # noqa: S608
            "ON CONFLICT (key) DO UPDATE SET flag = excluded.flag, link = excluded.link, "
            "payload = excluded.payload"
        )
        with _clear_errors():
            self._connection.execute(query, (key, flag, name, sealed))

    def _delete(self, table: Table, key: bytes) -> None:
        with _clear_errors():
            self._connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))  # noqa: S608

    def _delete_where(self, table: Table, condition: str, value: int) -> None:
        with _clear_errors():
            self._connection.execute(f"DELETE FROM {table} WHERE {condition}", (value,))  # noqa: S608


def _context(table: Table, key: bytes, flag: int, link: bytes) -> bytes:
    parts = (table.encode(), key, flag.to_bytes(2, "big"), link)
    return b"tallystick/wallet/1" + b"".join(len(part).to_bytes(2, "big") + part for part in parts)
