"""Tables of transfers, private to this slice."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime


class TransferRow(Base):
    """Money that went, or waits to go, from one person to another."""

    __tablename__ = "transfer"
    __table_args__ = (
        CheckConstraint("amount > 0 AND received_amount > 0", name="amount"),
        CheckConstraint("refunded >= 0 AND refunded <= received_amount", name="refunded"),
        Index("ix_transfer_sender", "tenant", "sender_id", "id"),
        Index("ix_transfer_receiver", "tenant", "receiver_id", "id"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sender_id: Mapped[UUID] = mapped_column(Id)
    receiver_id: Mapped[UUID | None] = mapped_column(Id)
    """None until somebody has claimed it."""
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    received_amount: Mapped[int] = mapped_column(BigInteger)
    received_currency: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(9))
    via: Mapped[str] = mapped_column(String(8))
    address_hint: Mapped[str | None] = mapped_column(String(64))
    """The address it was sent to, mostly hidden; only of those that had to wait."""
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    quote_id: Mapped[UUID | None] = mapped_column(Id)
    request_id: Mapped[UUID | None] = mapped_column(Id)
    schedule_id: Mapped[UUID | None] = mapped_column(Id)
    refund_of: Mapped[UUID | None] = mapped_column(Id)
    refunded: Mapped[int] = mapped_column(BigInteger)
    """How much of what was received has gone back."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)


class PendingTransferRow(Base):
    """A transfer that waits for somebody to register. Who deletes the row decides about it."""

    __tablename__ = "pending_transfer"
    __table_args__ = (
        Index("ix_pending_transfer_check_at", "tenant", "check_at"),
        Index("ix_pending_transfer_sender", "tenant", "sender_id"),
        Index("ix_pending_transfer_address", "tenant", "address_kind", "address_index"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    transfer_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sender_id: Mapped[UUID] = mapped_column(Id)
    address_kind: Mapped[str] = mapped_column(String(8))
    address_index: Mapped[bytes] = mapped_column(LargeBinary(32))
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    check_at: Mapped[datetime] = mapped_column(UtcTime)
    """When to look next whether somebody has confirmed the address; never after the expiry."""
    checks: Mapped[int]
    attempts: Mapped[int]
    """Movements that the ledger refused."""


class MoneyRequestRow(Base):
    """Somebody asks somebody, or whoever is shown the code, for money. Paid at most once."""

    __tablename__ = "money_request"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(state = 'paid') = (transfer_id IS NOT NULL)", name="paid"),
        Index("ix_money_request_requester", "tenant", "requester_id", "id"),
        Index("ix_money_request_payer", "tenant", "payer_id", "id"),
        Index("ix_money_request_expires_at", "tenant", "state", "expires_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    requester_id: Mapped[UUID] = mapped_column(Id)
    payer_id: Mapped[UUID | None] = mapped_column(Id)
    """Who is asked, or who has paid."""
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """None lets the payer choose."""
    currency: Mapped[str] = mapped_column(String(10))
    via: Mapped[str | None] = mapped_column(String(8))
    """How the payer was named; None where whoever has the code may pay."""
    state: Mapped[str] = mapped_column(String(9))
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    transfer_id: Mapped[UUID | None] = mapped_column(Id)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)


class ScheduleRow(Base):
    """A transfer that repeats. ``occurrence`` is the number of the next one, from 0."""

    __tablename__ = "transfer_schedule"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_transfer_schedule_user", "tenant", "user_id", "id"),
        Index("ix_transfer_schedule_try_at", "tenant", "state", "try_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    receiver_id: Mapped[UUID] = mapped_column(Id)
    via: Mapped[str] = mapped_column(String(8))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    note_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    every: Mapped[str] = mapped_column(String(7))
    starts_on: Mapped[date] = mapped_column(Date)
    ends_on: Mapped[date | None] = mapped_column(Date)
    at_time: Mapped[str] = mapped_column(String(5))
    time_zone: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(7))
    occurrence: Mapped[int]
    attempts: Mapped[int]
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    """When the next occurrence is due."""
    try_at: Mapped[datetime] = mapped_column(UtcTime)
    """When to try it, again perhaps."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)


class ScheduleRunRow(Base):
    """What became of one occurrence; there is never a second row for it."""

    __tablename__ = "transfer_schedule_run"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    schedule_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    occurrence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    result: Mapped[str] = mapped_column(String(7))
    attempts: Mapped[int]
    transfer_id: Mapped[UUID | None] = mapped_column(Id)
    reason: Mapped[str | None] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime)
