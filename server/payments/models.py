"""Tables of the payments room, private to it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime


class TopUpRow(Base):
    """The intention to add money from a card, written before the card is charged."""

    __tablename__ = "top_up"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_top_up_due", "status", "retry_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    card: Mapped[str] = mapped_column(String(64))
    """The gateway's name for the card, never its number."""
    status: Mapped[str] = mapped_column(String(9))
    reason: Mapped[str | None] = mapped_column(String(64))
    gateway_id: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int]
    retry_at: Mapped[datetime] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)
