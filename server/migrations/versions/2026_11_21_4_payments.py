"""Top-ups by card."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, UtcTime

revision = "0004_payments"
down_revision = "0003_identity"


def upgrade() -> None:
    op.create_table(
        "top_up",
        sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("card", sa.String(64), nullable=False),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("gateway_id", sa.String(64)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("settled_at", UtcTime),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_top_up_due", "top_up", ["status", "retry_at"])
