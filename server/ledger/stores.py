"""The store of each database."""

from server.kit.unit_of_work import Tx
from server.ledger.store import Store
from server.ledger.store_postgresql import PostgresStore
from server.ledger.store_sqlite import SqliteStore


def store_of(tx: Tx, tenant: int) -> Store:
    kind = PostgresStore if tx.dialect == "postgresql" else SqliteStore
    return kind(tx.connection, tenant)
