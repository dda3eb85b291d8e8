"""Tables of the banks slice, private to it."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime


class BankRow(Base):
    """A partner bank. ``accounts`` holds our own account there by currency."""

    __tablename__ = "bank"
    __table_args__ = (Index("uq_bank_name", "tenant", "name", unique=True),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    country: Mapped[str] = mapped_column(String(2))
    bic: Mapped[str | None] = mapped_column(String(11))
    holder: Mapped[str] = mapped_column(String(70))
    """Whom our accounts there name as their owner."""
    accounts: Mapped[dict[str, str]] = mapped_column(Json)
    rail: Mapped[str] = mapped_column(String(8))
    api_url: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(9))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    suspended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankSecretRow(Base):
    """A secret that a bank and we share. Taken until ``ends_at``; ours from ``signs_from`` on."""

    __tablename__ = "bank_secret"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bank: Mapped[UUID] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    signs_from: Mapped[datetime] = mapped_column(UtcTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankReferenceRow(Base):
    """What one user writes on transfers in one currency to one bank."""

    __tablename__ = "bank_reference"
    __table_args__ = (Index("uq_bank_reference_reference", "tenant", "reference", unique=True),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bank: Mapped[UUID] = mapped_column(Id, primary_key=True)
    currency: Mapped[str] = mapped_column(String(10), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    reference: Mapped[str] = mapped_column(String(16))
    made_at: Mapped[datetime] = mapped_column(UtcTime)


class BankDeliveryRow(Base):
    """A notice that a bank delivered, and what we answered: the list of replays."""

    __tablename__ = "bank_delivery"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bank: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    outcome: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime] = mapped_column(UtcTime)


class BankDepositRow(Base):
    """Money that came in at a bank, once for each of its transaction ids."""

    __tablename__ = "bank_deposit"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("taken_back >= 0 AND taken_back <= amount", name="taken_back"),
        Index("uq_bank_deposit_id", "tenant", "id", unique=True),
        Index("ix_bank_deposit_state", "tenant", "state", "received_at"),
        Index("ix_bank_deposit_user", "tenant", "user_id", "received_at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bank: Mapped[UUID] = mapped_column(Id, primary_key=True)
    transaction_id: Mapped[str] = mapped_column(String(35), primary_key=True)
    id: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    booked_on: Mapped[date] = mapped_column(Date)
    reference: Mapped[str] = mapped_column(Text)
    payer_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of what the bank said of the transaction."""
    state: Mapped[str] = mapped_column(String(10))
    cause: Mapped[str | None] = mapped_column(String(32))
    """Why its owner is not known, a stable word."""
    over_limit: Mapped[bool]
    user_id: Mapped[UUID | None] = mapped_column(Id)
    taken_back: Mapped[int] = mapped_column(BigInteger)
    """What of it the bank took back, in minor units."""
    round: Mapped[int]
    """How often somebody began to return it."""
    proposal: Mapped[dict[str, Any] | None] = mapped_column(Json)
    proposed_by: Mapped[UUID | None] = mapped_column(Id)
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankReversalRow(Base):
    """Money of a deposit that the bank took back, once for each of its transaction ids."""

    __tablename__ = "bank_reversal"
    __table_args__ = (CheckConstraint("amount > 0", name="amount"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    bank: Mapped[UUID] = mapped_column(Id, primary_key=True)
    transaction_id: Mapped[str] = mapped_column(String(35), primary_key=True)
    original: Mapped[str] = mapped_column(String(35))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    recovered: Mapped[int] = mapped_column(BigInteger)
    """What the user still had of it; the rest became a debt."""
    at: Mapped[datetime] = mapped_column(UtcTime)


class BankBreakRow(Base):
    """Something that a bank said and that does not fit what we know, for an officer to look at."""

    __tablename__ = "bank_break"
    __table_args__ = (Index("ix_bank_break_state", "tenant", "state", "at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    bank: Mapped[UUID] = mapped_column(Id)
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[str] = mapped_column(String(8))
    note: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankAccountRow(Base):
    """A user's own bank account. Its number is sealed; ``number_index`` finds it."""

    __tablename__ = "bank_account"
    __table_args__ = (
        Index("uq_bank_account_slot", "tenant", "user_id", "slot", unique=True),
        Index(
            "uq_bank_account_number", "tenant", "user_id", "currency", "number_index", unique=True
        ),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    slot: Mapped[int | None]
    """Its place among the user's accounts, none when it was removed: so there are only so many."""
    currency: Mapped[str] = mapped_column(String(10))
    country: Mapped[str] = mapped_column(String(2))
    bank_name: Mapped[str | None] = mapped_column(String(140))
    bic: Mapped[str | None] = mapped_column(String(11))
    masked: Mapped[str] = mapped_column(String(42))
    number_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    number_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(10))
    code_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    attempts: Mapped[int]
    """Codes that may still be tried."""
    round: Mapped[int]
    """How many verification payments were ordered."""
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    verified_at: Mapped[datetime | None] = mapped_column(UtcTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankOrderRow(Base):
    """A payment that a bank is to make for us, written before anybody asks it to."""

    __tablename__ = "bank_order"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_bank_order_due", "tenant", "state", "retry_at"),
        Index("ix_bank_order_file", "tenant", "file"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    bank: Mapped[UUID] = mapped_column(Id)
    purpose: Mapped[str] = mapped_column(String(12))
    subject: Mapped[UUID] = mapped_column(Id)
    """The user's bank account, or the deposit that goes back."""
    user_id: Mapped[UUID | None] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    content_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    """Payee and reference, which may hold a code."""
    state: Mapped[str] = mapped_column(String(8))
    external_id: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(64))
    file: Mapped[UUID | None] = mapped_column(Id)
    attempts: Mapped[int]
    retry_at: Mapped[datetime] = mapped_column(UtcTime)
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankFileRow(Base):
    """A file of payment orders (pain.001), sealed, for a person to hand over to the bank."""

    __tablename__ = "bank_file"
    __table_args__ = (
        Index("uq_bank_file_number", "tenant", "bank", "currency", "day", "number", unique=True),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    bank: Mapped[UUID] = mapped_column(Id)
    currency: Mapped[str] = mapped_column(String(10))
    day: Mapped[date] = mapped_column(Date)
    number: Mapped[int]
    orders: Mapped[int]
    amount: Mapped[int] = mapped_column(BigInteger)
    content_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    handed_over_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BankDeedRow(Base):
    """What people decided about banks and their money; kept for ever."""

    __tablename__ = "bank_deed"
    __table_args__ = (Index("ix_bank_deed_subject", "tenant", "subject", "at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[UUID | None] = mapped_column(Id)
    actor_name: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(96))
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(Json)
