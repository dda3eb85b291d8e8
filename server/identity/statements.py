"""SQL that both databases speak, but that each calls by its own name."""

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from server.kit.db import Base
from server.kit.unit_of_work import Tx


def upsert(tx: Tx, row: type[Base]) -> Any:
    """Return an INSERT that knows ON CONFLICT."""
    if tx.dialect == "postgresql":
        return postgresql.insert(row)
    return sqlite.insert(row)


async def insert_once(tx: Tx, row: type[Base], **values: object) -> bool:
    """Insert unless a unique key is taken; return whether it was inserted.

    Waits for another transaction that is inserting the same key.
    """
    statement = upsert(tx, row).values(**values).on_conflict_do_nothing()
    return bool((await tx.connection.execute(statement)).rowcount)
