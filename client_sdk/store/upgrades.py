"""Versions of the wallet file: numbered steps, each run once, in one transaction."""

import sqlite3
from collections.abc import Sequence
from importlib import resources
from typing import Final

from client_sdk.errors import NotAWallet, StoreCorrupt, StoreTooNew

STEPS: Final[tuple[str, ...]] = ("schema.sql", "version_2.sql", "version_3.sql")
"""File names beside this module; step i brings a file from version i to version i + 1."""
NEWEST: Final = len(STEPS)

APPLICATION_ID: Final = 1_415_664_500
"""Set from version 2 on; the first version had none."""
_UNNAMED_VERSION: Final = 1
_OURS: Final = frozenset({"header", "single", "holding", "exchange"})
"""Tables of every version."""


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_foreign(connection: sqlite3.Connection) -> None:
    """Look whose database this is, without writing to it. An empty one is nobody's yet.

    Raises:
        NotAWallet: it belongs to another program.
        StoreCorrupt: it is a wallet, but not one that any release has written.
    """
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = version_of(connection)
    try:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise StoreCorrupt(f"The head of the file is damaged: {error}.") from error
    if application == 0 and version == 0 and not names:
        return
    named = application == APPLICATION_ID and version > _UNNAMED_VERSION
    unnamed = application == 0 and version == _UNNAMED_VERSION
    if names >= _OURS and (named or unnamed):
        return
    if names >= _OURS or named:
        raise StoreCorrupt("The wallet file is damaged: its head does not fit its tables.")
    raise NotAWallet("The file is a database of another program.")


def upgrade(connection: sqlite3.Connection, scripts: Sequence[str] | None = None) -> None:
    """Bring the open transaction's database to the newest version.

    Args:
        connection: inside a write transaction, so that an interrupted upgrade leaves no trace.
        scripts: SQL of every step; the ones shipped with this package if left out.

    Raises:
        StoreTooNew: a later release wrote this file.
    """
    folder = resources.files(__package__)
    steps = scripts or [folder.joinpath(name).read_text(encoding="utf-8") for name in STEPS]
    version = version_of(connection)
    if version > len(steps):
        raise StoreTooNew(
            f"The wallet file has version {version}; this release knows {len(steps)}."
        )
    for script in steps[version:]:
        # executescript would commit first; statements end at a semicolon at the end of a line.
        for statement in script.split(";\n"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(steps)}")
