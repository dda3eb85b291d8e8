"""Versions of the wallet file: numbered steps, each run once, in one transaction."""

import sqlite3
from collections.abc import Sequence
from importlib import resources
from typing import Final

from client_sdk.errors import StoreTooNew

STEPS: Final[tuple[str, ...]] = ("schema.sql",)
"""File names beside this module; step i brings a file from version i to version i + 1."""


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


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
