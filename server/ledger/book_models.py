"""Tables of the books: closed days, limits, proofs of liabilities, reconciliation.

A day is a number: whole days since 1970-01-01, in UTC.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime


class DayCutoffRow(Base):
    """From its time on, nothing may take effect before the end of the day."""

    __tablename__ = "day_cutoff"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcTime)


class ClosedDayRow(Base):
    __tablename__ = "closed_day"
    __table_args__ = (
        CheckConstraint("(public_key IS NULL) = (signature IS NULL)", name="signature_with_key"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    accounts: Mapped[int] = mapped_column(BigInteger)
    postings: Mapped[int] = mapped_column(BigInteger)
    covered: Mapped[int] = mapped_column(BigInteger)
    """Every leaf up to this position took effect on this day or before."""
    seal: Mapped[int] = mapped_column(BigInteger)
    seal_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    totals: Mapped[bytes] = mapped_column(LargeBinary(32))
    previous: Mapped[bytes] = mapped_column(LargeBinary(32))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    at: Mapped[datetime] = mapped_column(UtcTime)
    public_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    signature: Mapped[bytes | None] = mapped_column(LargeBinary)


class DayBalanceRow(Base):
    """What an account had at the end of a day on which it changed."""

    __tablename__ = "day_balance"
    __table_args__ = (Index("ix_day_balance_day", "tenant", "day", "account"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    postings: Mapped[int] = mapped_column(BigInteger)
    debits: Mapped[int] = mapped_column(BigInteger)
    credits: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)


class DayTotalRow(Base):
    """The sum over all accounts of a kind, changed or not, at the end of a day."""

    __tablename__ = "day_total"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    asset: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    accounts: Mapped[int] = mapped_column(BigInteger)
    debits: Mapped[int] = mapped_column(BigInteger)
    credits: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)


class ExternalReferenceRow(Base):
    """Which entry of a mirror account books an outside fact."""

    __tablename__ = "external_reference"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    external_id: Mapped[str] = mapped_column(Text, primary_key=True)
    entry: Mapped[UUID] = mapped_column(Id)


class AccountLimitRow(Base):
    __tablename__ = "account_limit"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    floor: Mapped[int | None] = mapped_column(BigInteger)
    ceiling: Mapped[int | None] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    set_by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime)


class AccountNoteRow(Base):
    """Something noted about an account; a name's newest note counts."""

    __tablename__ = "account_note"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(64))
    value: Mapped[Any | None] = mapped_column(Json)
    set_by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime)


class LiabilityRoundRow(Base):
    """What was published about one asset. ``total`` is big-endian, 16 bytes."""

    __tablename__ = "liability_round"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    asset: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[int]
    day_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    leaves: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[bytes] = mapped_column(LargeBinary(16))
    root: Mapped[bytes] = mapped_column(LargeBinary(32))
    below_zero: Mapped[int] = mapped_column(BigInteger)
    below_zero_sum: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)


class LiabilityLeafRow(Base):
    __tablename__ = "liability_leaf"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    asset: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[UUID] = mapped_column(Id, primary_key=True)
    place: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)
    salt: Mapped[bytes] = mapped_column(LargeBinary(32))


class LiabilityNodeRow(Base):
    """A node of the tree; level 0 has the leaves."""

    __tablename__ = "liability_node"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    asset: Mapped[str] = mapped_column(Text, primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    total: Mapped[bytes] = mapped_column(LargeBinary(16))
    hash: Mapped[bytes] = mapped_column(LargeBinary(32))


class OutsideStatementRow(Base):
    """A statement of an outside party that was compared with its mirror account.

    Every posting up to version ``compared_to`` is on some statement, or is a break.
    """

    __tablename__ = "outside_statement"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(32))
    first_day: Mapped[int]
    last_day: Mapped[int]
    lines: Mapped[int]
    matched: Mapped[int]
    closing_balance: Mapped[int | None] = mapped_column(BigInteger)
    balance_here: Mapped[int] = mapped_column(BigInteger)
    compared_to: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcTime)


class OutsideLineRow(Base):
    __tablename__ = "outside_line"
    __table_args__ = (Index("ix_outside_line_id", "tenant", "account", "external_id"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    account: Mapped[UUID] = mapped_column(Id, primary_key=True)
    statement: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    external_id: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    day: Mapped[int]
    text: Mapped[str] = mapped_column(Text)


class ReconciliationBreakRow(Base):
    """A difference. Amounts are as the outside party sees them: above zero is more for us."""

    __tablename__ = "reconciliation_break"
    __table_args__ = (
        CheckConstraint("state IN ('open', 'explained', 'closed')", name="state"),
        Index("ix_reconciliation_break_state", "tenant", "state"),
        Index("ix_reconciliation_break_account", "tenant", "account", "entry"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    account: Mapped[UUID] = mapped_column(Id)
    statement: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(20))
    external_id: Mapped[str | None] = mapped_column(Text)
    entry: Mapped[UUID | None] = mapped_column(Id)
    here: Mapped[int | None] = mapped_column(BigInteger)
    there: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(9))
    at: Mapped[datetime] = mapped_column(UtcTime)


class ReconciliationEventRow(Base):
    __tablename__ = "reconciliation_event"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject: Mapped[UUID] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(9))
    reason: Mapped[str] = mapped_column(Text)
    set_by: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcTime)
