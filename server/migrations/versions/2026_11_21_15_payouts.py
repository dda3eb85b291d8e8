"""Payouts and withdrawals, their steps and dead letters."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, UtcTime

revision = "0015_payouts"
down_revision = "0014_banks"


def upgrade() -> None:
    op.create_table(
        "workflow_executor",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("beat_at", UtcTime, nullable=False),
    )
    op.create_table(
        "withdrawal",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("fee", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("bank_account", Id, nullable=False),
        sa.Column("bank_account_label", sa.String(64), nullable=False),
        sa.Column("rail", sa.String(32), nullable=False),
        sa.Column("destination", sa.String(96), nullable=False),
        sa.Column("source_kind", sa.String(32), nullable=False),
        sa.Column("source_owner", Id),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("external_id", sa.String(128)),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("called_at", UtcTime),
        sa.Column("look_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("sending_at", UtcTime),
        sa.Column("sent_at", UtcTime),
        sa.Column("settled_at", UtcTime),
        sa.Column("returned_at", UtcTime),
        sa.Column("stuck_at", UtcTime),
        sa.Column("stuck_reason", sa.String(200)),
        sa.Column("given_up_by", Id),
        sa.Column("given_up_reason", sa.String(500)),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("fee >= 0", name="fee"),
    )
    op.create_index("ix_withdrawal_user", "withdrawal", ["tenant", "user_id", "id"])
    op.create_index("ix_withdrawal_due", "withdrawal", ["tenant", "state", "look_at"])
    op.create_table(
        "withdrawal_terms",
        _tenant(),
        sa.Column("currency", sa.String(10), primary_key=True),
        sa.Column("minimum", sa.BigInteger, nullable=False),
        sa.Column("maximum", sa.BigInteger, nullable=False),
        sa.Column("fee", sa.BigInteger, nullable=False),
        sa.Column("set_at", UtcTime, nullable=False),
    )


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)
