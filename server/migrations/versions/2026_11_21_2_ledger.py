"""Accounts, entries, postings, holds and the chain, with the guards of each database."""

import sqlalchemy as sa
from alembic import op

from server.kit.money import ASSETS
from server.ledger.schema import STATEMENTS

revision = "0002_ledger"
down_revision = "0001_kit"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in STATEMENTS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
    asset = sa.table("asset", sa.column("code"), sa.column("scale"), sa.column("name"))
    op.bulk_insert(
        asset,
        [{"code": a.code, "scale": a.scale, "name": a.name} for a in ASSETS.values()],
    )
