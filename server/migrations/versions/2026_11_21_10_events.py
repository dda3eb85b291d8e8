"""Events for others: the outbox and who read how far; webhooks of customers."""

import sqlalchemy as sa
from alembic import op

from server.kit.db import Id, Json, UtcTime

revision = "0010_events"
down_revision = "0009_ledger_days"


def upgrade() -> None:
    _events()
    _readers()
    _webhooks()


def _events() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "place",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("tenant", sa.Integer, nullable=False),
        *_content(),
    )
    op.create_table(
        "event_stream",
        _tenant(),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("removed_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "event_log",
        _tenant(),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        *_content(),
    )
    op.create_index("ix_event_log_at", "event_log", ["tenant", "at"])


def _readers() -> None:
    op.create_table(
        "event_reader",
        _tenant(),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("holder", Id),
        sa.Column("held_until", UtcTime),
        sa.Column("moved_at", UtcTime, nullable=False),
    )
    op.create_table(
        "event_dead_letter",
        _tenant(),
        sa.Column("consumer", sa.String(64), primary_key=True),
        sa.Column("event_id", Id, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.String(200), nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_index(
        "ix_event_dead_letter_due_at",
        "event_dead_letter",
        ["tenant", "consumer", "state", "due_at"],
    )
    op.create_index(
        "ix_event_dead_letter_key",
        "event_dead_letter",
        ["tenant", "consumer", "topic", "key", "seq"],
    )
    op.create_table(
        "event_seen",
        _tenant(),
        sa.Column("consumer", sa.String(64), primary_key=True),
        sa.Column("event_id", Id, primary_key=True),
        sa.Column("at", UtcTime, nullable=False),
    )
    op.create_index("ix_event_seen_at", "event_seen", ["tenant", "at"])
    op.create_table(
        "event_replay",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("until_seq", sa.BigInteger, nullable=False),
        sa.Column("topics", Json, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("asked_by", Id, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", UtcTime, nullable=False),
    )


def _webhooks() -> None:
    op.create_table(
        "webhook_endpoint",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("types", Json, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("old_secret_sealed", sa.LargeBinary),
        sa.Column("old_secret_until", UtcTime),
        sa.Column("failing_since", UtcTime),
        sa.Column("not_before", UtcTime, nullable=False),
        sa.Column("pauses", sa.Integer, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
    op.create_index("ix_webhook_endpoint_user", "webhook_endpoint", ["tenant", "user_id"])
    op.create_table(
        "webhook_delivery",
        _tenant(),
        sa.Column("id", Id, primary_key=True),
        sa.Column("endpoint_id", Id, nullable=False),
        sa.Column("event_id", Id, nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", UtcTime, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("done_at", UtcTime),
        sa.UniqueConstraint("tenant", "endpoint_id", "event_id", name="uq_webhook_delivery_event"),
    )
    op.create_index("ix_webhook_delivery_due_at", "webhook_delivery", ["tenant", "state", "due_at"])
    op.create_index(
        "ix_webhook_delivery_endpoint", "webhook_delivery", ["tenant", "endpoint_id", "id"]
    )
    op.create_table(
        "webhook_attempt",
        _tenant(),
        sa.Column("delivery_id", Id, primary_key=True),
        sa.Column("id", Id, primary_key=True),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("latency_ms", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("error", sa.String(200)),
    )


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant", sa.Integer, primary_key=True, autoincrement=False)


def _content() -> list[sa.Column[object]]:
    return [
        sa.Column("id", Id, nullable=False),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    ]
