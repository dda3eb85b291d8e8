"""Accounts, entries, postings, holds and the chain, with the guards of each database."""

import sqlalchemy as sa
from alembic import op

from server.kit.money import ASSETS
from server.ledger import schema_postgresql, schema_sqlite

revision = "0002_ledger"
down_revision = "0001_kit"


def upgrade() -> None:
    connection = op.get_bind()
    schema = schema_postgresql if connection.dialect.name == "postgresql" else schema_sqlite
    for statement in schema.STATEMENTS:
        connection.exec_driver_sql(statement)
    asset = sa.table("asset", sa.column("code"), sa.column("scale"), sa.column("name"))
    op.bulk_insert(
        asset,
        [{"code": a.code, "scale": a.scale, "name": a.name} for a in ASSETS.values()],
    )
