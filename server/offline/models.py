"""Tables of the offline room, private to it.

Records (vouchers, transfers, receipts, certificates) only grow. What the ledger was told is kept
in ``offline_position`` and ``offline_account``, so that a settlement posts differences only.
Times inside signed objects are whole seconds since 1970, as they were signed.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime

ID_BYTES = 32


class TrustRow(Base):
    """What this room remembers of a device key beside what identity knows."""

    __tablename__ = "offline_device"
    __table_args__ = (Index("ix_offline_device_user", "tenant", "user_id"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    device_id: Mapped[UUID] = mapped_column(Id)
    convicted_at: Mapped[datetime | None] = mapped_column(UtcTime)
    refusal: Mapped[str | None] = mapped_column(String(32))
    """Why the last wish for a certificate was refused, so that it is told once."""
    synced_at: Mapped[datetime | None] = mapped_column(UtcTime)
    mark_shown: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    mark_given: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    """See `server.offline.history`."""


class SequenceRow(Base):
    """Up to which number a key has uploaded everything that it signed, or is forgiven for it."""

    __tablename__ = "offline_sequence"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    complete_to: Mapped[int] = mapped_column(BigInteger)


class CertificateRow(Base):
    __tablename__ = "offline_certificate"
    __table_args__ = (Index("ix_offline_certificate_key", "tenant", "key_id", "valid_to"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    key_id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    valid_from: Mapped[int] = mapped_column(BigInteger)
    valid_to: Mapped[int] = mapped_column(BigInteger)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class VoucherRow(Base):
    """A root: value that left a user's available balance for a device."""

    __tablename__ = "offline_voucher"
    __table_args__ = (
        CheckConstraint("value > 0", name="value"),
        CheckConstraint("unpaid >= 0 AND unpaid <= value", name="unpaid"),
        Index("ix_offline_voucher_due", "tenant", "closed", "claim_by"),
        Index("ix_offline_voucher_user", "tenant", "user_id", "closed"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    holder: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    currency: Mapped[str] = mapped_column(String(10))
    value: Mapped[int] = mapped_column(BigInteger)
    unpaid: Mapped[int] = mapped_column(BigInteger)
    """Value whose backing is still in the offline float."""
    issued_at: Mapped[int] = mapped_column(BigInteger)
    spend_by: Mapped[int] = mapped_column(BigInteger)
    claim_by: Mapped[int] = mapped_column(BigInteger)
    closed: Mapped[bool]
    revision: Mapped[int]
    """Counts the settlements that posted something; part of the ids of their entries."""
    records: Mapped[int] = mapped_column(default=0)
    """How many transfers are stored under it: while that stays, so does its tree."""
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class TransferRow(Base):
    """A transfer whose parent is here and which the rules found valid."""

    __tablename__ = "offline_transfer"
    __table_args__ = (
        CheckConstraint("lo >= 0 AND hi > lo", name="interval"),
        Index("ix_offline_transfer_root", "tenant", "root"),
        Index("ix_offline_transfer_signer", "tenant", "signer", "sequence"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    root: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    parent: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    lo: Mapped[int] = mapped_column(BigInteger)
    hi: Mapped[int] = mapped_column(BigInteger)
    signer: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    payee: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    kind: Mapped[str] = mapped_column(String(6))
    sequence: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[int] = mapped_column(BigInteger)
    late: Mapped[bool]
    """Arrived after claim-by: evidence, but it moves nothing."""
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class WaitingRow(Base):
    """A transfer whose parent has not been seen, so that nobody can say who signed it.

    Or a receipt; ``parent`` is then a transfer that it is about and that has not been seen.
    """

    __tablename__ = "offline_waiting"
    __table_args__ = (
        Index("ix_offline_waiting_parent", "tenant", "parent"),
        Index("ix_offline_waiting_uploader", "tenant", "uploader"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    envelope_id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    """Of the whole envelope: a bad signature must not stand in the way of the good one."""
    kind: Mapped[str] = mapped_column(String(8))
    parent: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    uploader: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class ReceiptRow(Base):
    __tablename__ = "offline_receipt"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    payee: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    received_at: Mapped[datetime] = mapped_column(UtcTime)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)


class PositionRow(Base):
    """One leg of what was posted for a root: a source, a credit or a debt."""

    __tablename__ = "offline_position"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("held >= 0 AND held <= amount", name="held"),
        Index("ix_offline_position_account", "tenant", "account", "leg"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    leg: Mapped[str] = mapped_column(String(10), primary_key=True)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    held: Mapped[int] = mapped_column(BigInteger)
    hold: Mapped[UUID | None] = mapped_column(Id)
    """The ledger's hold over ``held``, until claim-by."""
    promised: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Of a credit, what was guaranteed: a lower instant limit takes none of it back."""


class AccountRow(Base):
    """A user's standing in one currency: debts from double spending and what was recovered.

    ``instant_limit`` is that of the last settlement. ``fund_limit`` is what the guarantee fund has
    promised for this user's debts.
    """

    __tablename__ = "offline_account"
    __table_args__ = (
        CheckConstraint(
            "owed >= 0 AND recovered >= 0 AND recovered <= owed AND overdrawn >= 0", name="debt"
        ),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    currency: Mapped[str] = mapped_column(String(10), primary_key=True)
    owed: Mapped[int] = mapped_column(BigInteger)
    """For units signed away more than once, over all roots."""
    recovered: Mapped[int] = mapped_column(BigInteger)
    overdrawn: Mapped[int] = mapped_column(BigInteger)
    """Credit that had been spent online when it turned out not to be due."""
    secured: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The part of ``recovered`` that came from collateral."""
    cushioned: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Collateral that stands in for credit which was spent online and turned out not to be due."""
    collateral: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """What the user has set aside, the used part included."""
    written_off: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """The part of the debt that nobody expects to be paid."""
    instant_limit: Mapped[int] = mapped_column(BigInteger)
    fund_limit: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int]


class ConflictRow(Base):
    """Contradictory signatures of one key: a fork (with a debt) or a clone alarm (without)."""

    __tablename__ = "offline_conflict"
    __table_args__ = (
        Index("ix_offline_conflict_user", "tenant", "user_id"),
        Index("ix_offline_conflict_root", "tenant", "root"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    kind: Mapped[str] = mapped_column(String(5))
    key_id: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    user_id: Mapped[UUID] = mapped_column(Id)
    device_id: Mapped[UUID] = mapped_column(Id)
    root: Mapped[bytes | None] = mapped_column(LargeBinary(ID_BYTES))
    """Empty while the parent of the two transfers has not been seen."""
    currency: Mapped[str | None] = mapped_column(String(10))
    lo: Mapped[int] = mapped_column(BigInteger)
    hi: Mapped[int] = mapped_column(BigInteger)
    proof: Mapped[bytes] = mapped_column(LargeBinary)
    found_at: Mapped[datetime] = mapped_column(UtcTime)


class ConflictPartyRow(Base):
    """Who may read a conflict."""

    __tablename__ = "offline_conflict_party"
    __table_args__ = (Index("ix_offline_conflict_party_user", "tenant", "user_id"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    conflict: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    role: Mapped[str] = mapped_column(String(8))


class EventRow(Base):
    """Something to tell a user's devices at their next sync."""

    __tablename__ = "offline_event"
    __table_args__ = (Index("ix_offline_event_user", "tenant", "user_id", "seq"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(Id)
    device_key: Mapped[bytes | None] = mapped_column(LargeBinary(ID_BYTES))
    """Set when it concerns one device only."""
    type: Mapped[str] = mapped_column(String(24))
    body: Mapped[Any] = mapped_column(Json)
    transfer: Mapped[bytes | None] = mapped_column(LargeBinary(ID_BYTES))
    """The transfer that it tells of: its content is read from where it is stored."""
    at: Mapped[datetime] = mapped_column(UtcTime)
