"""Tables of the card slice, private to it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime


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
    """The gateway's name for the card, never its number; empty when the payer enters one there."""
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    gateway_id: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int]
    retry_at: Mapped[datetime] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    gateway: Mapped[str] = mapped_column(String(16), server_default="sandbox")


class CardEventRow(Base):
    """What a gateway told us, once for each of its ids; without the body, for it is only a hint."""

    __tablename__ = "card_event"
    __table_args__ = (Index("ix_card_event_open", "tenant", "processed_at", "received_at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    type: Mapped[str] = mapped_column(String(64))
    object_id: Mapped[str | None] = mapped_column(String(255))
    payment: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    processed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class CardCursorRow(Base):
    """Up to when a gateway's list of events was read; by ``NAME/days``, its statement."""

    __tablename__ = "card_cursor"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    gateway: Mapped[str] = mapped_column(String(16), primary_key=True)
    read_up_to: Mapped[datetime] = mapped_column(UtcTime)
    due_at: Mapped[datetime] = mapped_column(UtcTime)


class CardPaymentRow(Base):
    """A payment at the gateway, and whether it has to be asked about again.

    ``hints`` counts what was heard of it: an answer that was asked for before the last hint does
    not clear ``due_at``.
    """

    __tablename__ = "card_payment"
    __table_args__ = (Index("ix_card_payment_due", "tenant", "due_at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    top_up: Mapped[UUID | None] = mapped_column(Id)
    hints: Mapped[int]
    attempts: Mapped[int]
    due_at: Mapped[datetime | None] = mapped_column(UtcTime)


class CardRefundRow(Base):
    """Money on its way back to a card: ours, or made at the gateway by hand (``foreign``)."""

    __tablename__ = "card_refund"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_card_refund_due", "status", "retry_at"),
        Index("ix_card_refund_top_up", "tenant", "top_up"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    top_up: Mapped[UUID] = mapped_column(Id)
    user_id: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    gateway_id: Mapped[str | None] = mapped_column(String(255))
    foreign: Mapped[bool] = mapped_column(name="is_foreign")
    captured: Mapped[bool]
    """Whether the money has left the user's account, be it only to come back."""
    attempts: Mapped[int]
    retry_at: Mapped[datetime] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)


class CardDisputeRow(Base):
    """A payment that the card's owner contests at the bank."""

    __tablename__ = "card_dispute"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_card_dispute_user", "tenant", "user_id", "currency", "status"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    top_up: Mapped[UUID] = mapped_column(Id)
    user_id: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(64))
    evidence_due_by: Mapped[datetime | None] = mapped_column(UtcTime)
    holds: Mapped[list[Any]] = mapped_column(Json)
    """Ids and amounts of the holds that are open for it."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    changed_at: Mapped[datetime] = mapped_column(UtcTime)


class CardPayeeRow(Base):
    """A user's account at the gateway, connected to ours, from which their bank is paid."""

    __tablename__ = "card_payee"
    __table_args__ = (
        Index("ix_card_payee_account", "tenant", "destination", "currency", unique=True),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    destination: Mapped[str] = mapped_column(String(96))
    currency: Mapped[str] = mapped_column(String(10))
    label: Mapped[str] = mapped_column(String(64))
    added_by: Mapped[UUID] = mapped_column(Id)
    added_at: Mapped[datetime] = mapped_column(UtcTime)


class CardDebtorRow(Base):
    """Somebody from whom card money was taken back, locked while their part is worked out.

    ``owed`` is the balance of their card debt in the ledger, ``short`` what open disputes could not
    set aside for want of money.
    """

    __tablename__ = "card_debtor"
    __table_args__ = (CheckConstraint("owed >= 0 AND short >= 0", name="figures"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    currency: Mapped[str] = mapped_column(String(10), primary_key=True)
    owed: Mapped[int] = mapped_column(BigInteger)
    short: Mapped[int] = mapped_column(BigInteger)
