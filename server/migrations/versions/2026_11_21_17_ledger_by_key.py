"""The ledger's functions on PostgreSQL read by key whatever the planner believes of the tables."""

from alembic import op

from server.ledger.schema.postgresql_guards import FUNCTIONS

revision = "0017_ledger_by_key"
down_revision = "0016_papers"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for statement in FUNCTIONS:
        replaced = statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
        connection.exec_driver_sql(replaced)
