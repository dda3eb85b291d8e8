"""Rows that are made once: whoever comes second waits for the first and then finds the row."""

from typing import Any

from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from server.kit.db import Base
from server.kit.unit_of_work import Tx


async def claim(tx: Tx, table: type[Base], values: dict[str, Any]) -> bool:
    """Insert a row; return whether it is ours and not one that was there."""
    insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
    done = await tx.connection.execute(insert(table).values(values).on_conflict_do_nothing())
    return done.rowcount == 1
