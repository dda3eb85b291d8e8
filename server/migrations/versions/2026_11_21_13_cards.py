"""Cards: payments, refunds, disputes, webhooks that came in."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime

revision = "0013_cards"
down_revision = "0012_fx"


def upgrade() -> None:
    op.add_column(
        "top_up", sa.Column("gateway", sa.String(16), nullable=False, server_default="sandbox")
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("top_up", "status", type_=sa.String(16))
    _news()
    _refunds()
    _disputes()


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _news() -> None:
    op.create_table(
        "card_event",
        _tenant(),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("object_id", sa.String(255)),
        sa.Column("payment", sa.String(255)),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("received_at", UtcTime, nullable=False),
        sa.Column("processed_at", UtcTime),
    )
    op.create_index("ix_card_event_open", "card_event", ["tenant", "processed_at", "received_at"])
    op.create_table(
        "card_cursor",
        _tenant(),
        sa.Column("gateway", sa.String(16), primary_key=True),
        sa.Column("read_up_to", UtcTime, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
    )
    op.create_table(
        "card_payment",
        _tenant(),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("top_up", Id),
        sa.Column("hints", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", UtcTime),
    )
    op.create_index("ix_card_payment_due", "card_payment", ["tenant", "due_at"])


def _refunds() -> None:
    op.create_table(
        "card_refund",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("top_up", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("gateway_id", sa.String(255)),
        sa.Column("is_foreign", sa.Boolean, nullable=False),
        sa.Column("captured", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("retry_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("settled_at", UtcTime),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_card_refund_due", "card_refund", ["status", "retry_at"])
    op.create_index("ix_card_refund_top_up", "card_refund", ["tenant", "top_up"])


def _disputes() -> None:
    op.create_table(
        "card_dispute",
        _tenant(),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("top_up", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("evidence_due_by", UtcTime),
        sa.Column("holds", Json, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("changed_at", UtcTime, nullable=False),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index(
        "ix_card_dispute_user", "card_dispute", ["tenant", "user_id", "currency", "status"]
    )
    op.create_table(
        "card_payee",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("destination", sa.String(96), nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("added_by", Id, nullable=False),
        sa.Column("added_at", UtcTime, nullable=False),
    )
    op.create_index(
        "ix_card_payee_account", "card_payee", ["tenant", "destination", "currency"], unique=True
    )
    op.create_table(
        "card_debtor",
        _tenant(),
        sa.Column("user_id", Id, primary_key=True),
        sa.Column("currency", sa.String(10), primary_key=True),
        sa.Column("owed", sa.BigInteger, nullable=False),
        sa.Column("short", sa.BigInteger, nullable=False),
        sa.CheckConstraint("owed >= 0 AND short >= 0", name="figures"),
    )
