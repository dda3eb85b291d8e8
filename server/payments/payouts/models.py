"""Tables of withdrawals, private to this slice."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime


class WithdrawalRow(Base):
    """The intention to pay somebody's money out, written together with its hold."""

    __tablename__ = "withdrawal"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("fee >= 0", name="fee"),
        Index("ix_withdrawal_user", "tenant", "user_id", "id"),
        Index("ix_withdrawal_due", "tenant", "state", "look_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    """The idempotency key outside."""
    user_id: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    fee: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    bank_account: Mapped[UUID] = mapped_column(Id)
    bank_account_label: Mapped[str] = mapped_column(String(64))
    """What its owner recognises it by; never the whole number."""
    rail: Mapped[str] = mapped_column(String(32))
    destination: Mapped[str] = mapped_column(String(96))
    source_kind: Mapped[str] = mapped_column(String(32))
    source_owner: Mapped[UUID | None] = mapped_column(Id)
    """Kind and owner of the ledger account that mirrors the money the rail pays from."""
    state: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(64))
    external_id: Mapped[str | None] = mapped_column(String(128))
    calls: Mapped[int]
    """How often the outside was called, counted before each call."""
    called_at: Mapped[datetime | None] = mapped_column(UtcTime)
    look_at: Mapped[datetime] = mapped_column(UtcTime)
    """When the background job next makes sure that a workflow drives this."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    sending_at: Mapped[datetime | None] = mapped_column(UtcTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    returned_at: Mapped[datetime | None] = mapped_column(UtcTime)
    stuck_at: Mapped[datetime | None] = mapped_column(UtcTime)
    stuck_reason: Mapped[str | None] = mapped_column(String(200))
    given_up_by: Mapped[UUID | None] = mapped_column(Id)
    """Who proposed to give it up although the rail cannot say what became of it."""
    given_up_reason: Mapped[str | None] = mapped_column(String(500))


class WithdrawalTermsRow(Base):
    """Terms that an operator set for a currency, instead of the built-in ones."""

    __tablename__ = "withdrawal_terms"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    currency: Mapped[str] = mapped_column(String(10), primary_key=True)
    minimum: Mapped[int] = mapped_column(BigInteger)
    maximum: Mapped[int] = mapped_column(BigInteger)
    fee: Mapped[int] = mapped_column(BigInteger)
    set_at: Mapped[datetime] = mapped_column(UtcTime)
