"""Idempotency keys and outgoing messages."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, UtcTime

revision = "0001_kit"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "idempotency",
        sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", Id, primary_key=True),
        sa.Column("operation", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_table(
        "outgoing_message",
        sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", Id, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_index("ix_outgoing_message_due_at", "outgoing_message", ["state", "due_at"])
