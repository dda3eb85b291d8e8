"""Inserts that yield to a row that is there, on both databases."""

from sqlalchemy.dialects import postgresql, sqlite

from server.kit.db import Base
from server.kit.unit_of_work import Tx


def insert_into(tx: Tx, row: type[Base]) -> postgresql.Insert:
    """Return an insert that knows ``ON CONFLICT``: both databases spell it alike."""
    if tx.dialect == "postgresql":
        return postgresql.insert(row)
    insert: postgresql.Insert = sqlite.insert(row)  # type: ignore[assignment]
    return insert
