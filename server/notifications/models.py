"""Tables of this room."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime


class WebhookEndpointRow(Base):
    """An address of a customer's server."""

    __tablename__ = "webhook_endpoint"
    __table_args__ = (Index("ix_webhook_endpoint_user", "tenant", "user_id"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    url: Mapped[str] = mapped_column(String(500))
    description: Mapped[str] = mapped_column(String(200))
    types: Mapped[list[str]] = mapped_column(Json)
    """Types of events; empty means all."""
    state: Mapped[str] = mapped_column(String(8))
    secret_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    old_secret_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcTime)
    failing_since: Mapped[datetime | None] = mapped_column(UtcTime)
    """Of attempts without a single success between them, when the first was."""
    not_before: Mapped[datetime] = mapped_column(UtcTime)
    """A server that does not answer is left alone for a while."""
    pauses: Mapped[int]
    """Failures in a row."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class WebhookDeliveryRow(Base):
    """A message to an address, from the first attempt to the last."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        UniqueConstraint("tenant", "endpoint_id", "event_id", name="uq_webhook_delivery_event"),
        Index("ix_webhook_delivery_due_at", "tenant", "state", "due_at"),
        Index("ix_webhook_delivery_endpoint", "tenant", "endpoint_id", "id"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    endpoint_id: Mapped[UUID] = mapped_column(Id)
    event_id: Mapped[UUID] = mapped_column(Id)
    """Also the message's own id, the same in every attempt."""
    type: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(9))
    attempts: Mapped[int]
    """Since it was last asked for; they decide about the next pause."""
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    done_at: Mapped[datetime | None] = mapped_column(UtcTime)


class WebhookAttemptRow(Base):
    """One attempt, and what the receiver said."""

    __tablename__ = "webhook_attempt"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    delivery_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    status: Mapped[int | None]
    latency_ms: Mapped[int]
    answer: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(String(200))
