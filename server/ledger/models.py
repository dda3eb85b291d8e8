"""The ledger's tables as reads and sealing see them. `schema_*` creates them, guards included."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime


class AssetRow(Base):
    __tablename__ = "asset"

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    scale: Mapped[int]
    name: Mapped[str] = mapped_column(Text)


class AccountRow(Base):
    __tablename__ = "account"
    __table_args__ = (
        Index("ix_account_owner", "tenant", "owner", postgresql_where=text("owner IS NOT NULL")),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    asset: Mapped[str] = mapped_column(Text)
    owner: Mapped[UUID | None] = mapped_column(Id)
    floor: Mapped[int | None] = mapped_column(BigInteger)
    posted: Mapped[int] = mapped_column(BigInteger)
    held: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)
    opened_at: Mapped[datetime] = mapped_column(UtcTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcTime)
    ceiling: Mapped[int | None] = mapped_column(BigInteger)


class EntryRow(Base):
    __tablename__ = "entry"
    __table_args__ = (
        Index("ix_entry_hold", "tenant", "hold", postgresql_where=text("hold IS NOT NULL")),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    operation: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    debit: Mapped[UUID] = mapped_column(Id)
    credit: Mapped[UUID] = mapped_column(Id)
    asset: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    debit_version: Mapped[int | None] = mapped_column(BigInteger)
    credit_version: Mapped[int | None] = mapped_column(BigInteger)
    hold: Mapped[UUID | None] = mapped_column(Id)
    chain: Mapped[UUID | None] = mapped_column(Id)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    effective_at: Mapped[datetime] = mapped_column(UtcTime)
    at: Mapped[datetime] = mapped_column(UtcTime)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    memo: Mapped[str | None] = mapped_column(Text)


class PostingRow(Base):
    __tablename__ = "posting"
    __table_args__ = (
        # Postings that took effect at another time than they were recorded: few.
        Index(
            "ix_posting_dated",
            "tenant",
            "account",
            "effective_at",
            postgresql_where=text("effective_at <> at"),
        ),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry: Mapped[UUID] = mapped_column(Id)
    leg: Mapped[str] = mapped_column(Text)
    delta: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)
    effective_at: Mapped[datetime] = mapped_column(UtcTime)


class HoldRow(Base):
    __tablename__ = "hold"
    __table_args__ = (
        Index("ix_hold_open", "tenant", "debit", postgresql_where=text("state = 'open'")),
        Index("ix_hold_expiry", "tenant", "expires_at", postgresql_where=text("state = 'open'")),
        Index("ix_hold_debit", "tenant", "debit", "at"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    debit: Mapped[UUID] = mapped_column(Id)
    credit: Mapped[UUID] = mapped_column(Id)
    amount: Mapped[int] = mapped_column(BigInteger)
    taken: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime | None] = mapped_column(UtcTime)
    at: Mapped[datetime] = mapped_column(UtcTime)


class UnsealedRow(Base):
    """The queue of entries that the next seal will take."""

    __tablename__ = "unsealed"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime, primary_key=True)
    entry: Mapped[UUID] = mapped_column(Id, primary_key=True)


class LeafRow(Base):
    __tablename__ = "leaf"
    __table_args__ = (UniqueConstraint("tenant", "entry", name="uq_leaf_entry"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry: Mapped[UUID] = mapped_column(Id)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    blind: Mapped[bytes | None] = mapped_column(LargeBinary)
    """32 random bytes, so that nobody guesses the hidden parts of a leaf; None in old leaves."""


class SealRow(Base):
    __tablename__ = "seal"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_position: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(UtcTime)
    public_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)
