"""Transfers between people, requests for money, schedules."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, UtcTime

revision = "0011_transfers"
down_revision = "0010_events"


def upgrade() -> None:
    _transfers()
    _requests()
    _schedules()


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _id(name: str = "id") -> sa.Column[object]:
    return sa.Column(name, Id, primary_key=True)


def _transfers() -> None:
    op.create_table(
        "transfer",
        _tenant(),
        _id(),
        sa.Column("sender_id", Id, nullable=False),
        sa.Column("receiver_id", Id),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("received_amount", sa.BigInteger, nullable=False),
        sa.Column("received_currency", sa.String(10), nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("address_hint", sa.String(64)),
        sa.Column("note_sealed", sa.LargeBinary),
        sa.Column("quote_id", Id),
        sa.Column("request_id", Id),
        sa.Column("schedule_id", Id),
        sa.Column("refund_of", Id),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("settled_at", UtcTime),
        sa.CheckConstraint("amount > 0 AND received_amount > 0", name="amount"),
        sa.CheckConstraint("refunded >= 0 AND refunded <= received_amount", name="refunded"),
    )
    op.create_index("ix_transfer_sender", "transfer", ["tenant", "sender_id", "id"])
    op.create_index("ix_transfer_receiver", "transfer", ["tenant", "receiver_id", "id"])
    op.create_table(
        "pending_transfer",
        _tenant(),
        _id("transfer_id"),
        sa.Column("sender_id", Id, nullable=False),
        sa.Column("address_kind", sa.String(8), nullable=False),
        sa.Column("address_index", sa.LargeBinary(32), nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("check_at", UtcTime, nullable=False),
        sa.Column("checks", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("ix_pending_transfer_check_at", "pending_transfer", ["tenant", "check_at"])
    op.create_index("ix_pending_transfer_sender", "pending_transfer", ["tenant", "sender_id"])
    op.create_index(
        "ix_pending_transfer_address",
        "pending_transfer",
        ["tenant", "address_kind", "address_index"],
    )


def _requests() -> None:
    op.create_table(
        "money_request",
        _tenant(),
        _id(),
        sa.Column("requester_id", Id, nullable=False),
        sa.Column("payer_id", Id),
        sa.Column("amount", sa.BigInteger),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("via", sa.String(8)),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("note_sealed", sa.LargeBinary),
        sa.Column("transfer_id", Id),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("settled_at", UtcTime),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("(state = 'paid') = (transfer_id IS NOT NULL)", name="paid"),
    )
    op.create_index("ix_money_request_requester", "money_request", ["tenant", "requester_id", "id"])
    op.create_index("ix_money_request_payer", "money_request", ["tenant", "payer_id", "id"])
    op.create_index(
        "ix_money_request_expires_at", "money_request", ["tenant", "state", "expires_at"]
    )


def _schedules() -> None:
    op.create_table(
        "transfer_schedule",
        _tenant(),
        _id(),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("receiver_id", Id, nullable=False),
        sa.Column("via", sa.String(8), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(10), nullable=False),
        sa.Column("note_sealed", sa.LargeBinary),
        sa.Column("every", sa.String(7), nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date),
        sa.Column("at_time", sa.String(5), nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("state", sa.String(7), nullable=False),
        sa.Column("occurrence", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("try_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_transfer_schedule_user", "transfer_schedule", ["tenant", "user_id", "id"])
    op.create_index(
        "ix_transfer_schedule_try_at", "transfer_schedule", ["tenant", "state", "try_at"]
    )
    op.create_table(
        "transfer_schedule_run",
        _tenant(),
        _id("schedule_id"),
        sa.Column("occurrence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("result", sa.String(7), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("transfer_id", Id),
        sa.Column("reason", sa.String(64)),
        sa.Column("at", UtcTime, nullable=False),
    )
