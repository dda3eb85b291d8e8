"""The language of a person, and the keys that sign documents."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id

revision = "0016_papers"
down_revision = "0015_payouts"


def upgrade() -> None:
    op.add_column("identity_user", sa.Column("language", sa.String(8)))
    op.create_table(
        "document_key",
        sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Id, primary_key=True),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("key_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
    )
