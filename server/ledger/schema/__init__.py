"""The ledger's schema: tables and guards of both databases, applied by the migration."""

from server.ledger.schema import (
    postgresql_guards,
    postgresql_tables,
    sqlite_guards,
    sqlite_tables,
)

STATEMENTS = {
    "postgresql": (*postgresql_tables.TABLES, *postgresql_guards.GUARDS),
    "sqlite": (*sqlite_tables.TABLES, *sqlite_guards.GUARDS),
}
