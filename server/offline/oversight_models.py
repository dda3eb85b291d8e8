"""Tables behind the decisions of people: policy, tiers, links, fund, disputes, and what they did.

Private to the room, like `models`. What somebody decided is never overwritten without a row of
``offline_audit`` in the same transaction; that table only grows, and the database sees to it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime
from server.offline.models import ID_BYTES


class AuditRow(Base):
    """Who did what, when and why."""

    __tablename__ = "offline_audit"
    __table_args__ = (Index("ix_offline_audit_subject", "tenant", "subject", "seq"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime)
    actor: Mapped[UUID | None] = mapped_column(Id)
    """Empty for the operator's command line and for the server itself."""
    actor_name: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(96))
    """What it was done to: a kind, a slash, an id."""
    reason: Mapped[str] = mapped_column(Text)
    detail: Mapped[Any] = mapped_column(Json)


class PolicyRow(Base):
    """One version of the tenant's policy. The greatest that has begun is in force."""

    __tablename__ = "offline_policy"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    effective_at: Mapped[datetime] = mapped_column(UtcTime)
    document: Mapped[str] = mapped_column(Text)
    """JSON in one spelling (see `policy_documents`)."""
    reason: Mapped[str] = mapped_column(Text)
    changed_by: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime] = mapped_column(UtcTime)


class TierRow(Base):
    """The payee tier that a risk officer gave an account; without a row it follows the role."""

    __tablename__ = "offline_tier"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    tier: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    set_by: Mapped[str] = mapped_column(String(64))
    set_at: Mapped[datetime] = mapped_column(UtcTime)


class LinkRow(Base):
    """Two accounts that belong together: neither is paid in good faith when the other cheats."""

    __tablename__ = "offline_link"
    __table_args__ = (
        CheckConstraint("first <> second", name="two"),
        Index("ix_offline_link_first", "tenant", "first"),
        Index("ix_offline_link_second", "tenant", "second"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    first: Mapped[UUID] = mapped_column(Id)
    second: Mapped[UUID] = mapped_column(Id)
    reason: Mapped[str] = mapped_column(Text)
    linked_by: Mapped[str] = mapped_column(String(64))
    linked_at: Mapped[datetime] = mapped_column(UtcTime)
    ended_by: Mapped[str | None] = mapped_column(String(64))
    end_reason: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(UtcTime)


class FrozenLinkRow(Base):
    """A link that was in force at the claim-by of a root, between two who had part in it."""

    __tablename__ = "offline_frozen_link"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    root: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    link: Mapped[UUID] = mapped_column(Id, primary_key=True)
    first: Mapped[UUID] = mapped_column(Id)
    second: Mapped[UUID] = mapped_column(Id)


class PledgeRow(Base):
    """Collateral without which a voucher would not have been issued; bound until it is closed."""

    __tablename__ = "offline_pledge"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_offline_pledge_user", "tenant", "user_id", "currency"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    voucher: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    currency: Mapped[str] = mapped_column(String(10))
    amount: Mapped[int] = mapped_column(BigInteger)


class FundGrantRow(Base):
    """What the guarantee fund promised at one moment for one cheat."""

    __tablename__ = "offline_fund_grant"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("ix_offline_fund_grant_at", "tenant", "currency", "at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    currency: Mapped[str] = mapped_column(String(10))
    user_id: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)


class DisputeRow(Base):
    """An accused owner's contest of a conflict, and what became of it."""

    __tablename__ = "offline_dispute"
    __table_args__ = (Index("ix_offline_dispute_state", "tenant", "state", "opened_at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    conflict: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    state: Mapped[str] = mapped_column(String(10))
    statement: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime] = mapped_column(UtcTime)
    parent: Mapped[bytes] = mapped_column(LargeBinary(ID_BYTES))
    """What the two transfers both spend: the fork whose cost somebody bears."""
    verdict: Mapped[str | None] = mapped_column(String(10))
    """Upheld or overturned; while the state is ``proposed``, what one officer wants."""
    bearer: Mapped[str | None] = mapped_column(String(10))
    """Who bears the cost of an overturned fork: the fund or the issuer."""
    cause: Mapped[str | None] = mapped_column(String(32))
    reason: Mapped[str | None] = mapped_column(Text)
    amount: Mapped[int | None] = mapped_column(BigInteger)
    """What the fork cost when the verdict was given; more victims may come until claim-by."""
    proposed_by: Mapped[UUID | None] = mapped_column(Id)
    proposed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    decided_by: Mapped[UUID | None] = mapped_column(Id)
    decided_at: Mapped[datetime | None] = mapped_column(UtcTime)


class BookRow(Base):
    """What must agree whenever a transaction commits, in one currency of one tenant.

    Triggers keep the figures; deferred foreign keys of the row to itself compare them: the float
    in the ledger with what open vouchers still back, and clearing with zero.
    """

    __tablename__ = "offline_book"
    __table_args__ = (
        CheckConstraint("zero = 0", name="zero"),
        UniqueConstraint("tenant", "currency", "float_posted", name="uq_offline_book_float"),
        UniqueConstraint("tenant", "currency", "zero", name="uq_offline_book_zero"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    currency: Mapped[str] = mapped_column(String(10), primary_key=True)
    open_vouchers: Mapped[int] = mapped_column(BigInteger, server_default="0")
    float_posted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    clearing: Mapped[int] = mapped_column(BigInteger, server_default="0")
    zero: Mapped[int] = mapped_column(BigInteger, server_default="0")


class CheckRow(Base):
    """The result of one full check of the room's books."""

    __tablename__ = "offline_check"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime, primary_key=True)
    sound: Mapped[bool] = mapped_column(Boolean)
    findings: Mapped[Any] = mapped_column(Json)
