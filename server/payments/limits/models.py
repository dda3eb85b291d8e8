"""Tables of the limits, private to them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime


class LimitUsedRow(Base):
    """What a user has used in the last day and month in which they used anything."""

    __tablename__ = "limit_used"
    __table_args__ = (
        CheckConstraint("day_used >= 0", name="day_used"),
        CheckConstraint("month_used >= 0", name="month_used"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    unit: Mapped[str] = mapped_column(String(11), primary_key=True)
    day: Mapped[int]
    day_used: Mapped[int] = mapped_column(BigInteger)
    month: Mapped[int]
    month_used: Mapped[int] = mapped_column(BigInteger)


class UserLevelRow(Base):
    """The level that somebody was given, in versions; the greatest one holds."""

    __tablename__ = "user_level"
    __table_args__ = (CheckConstraint("level BETWEEN 0 AND 3", name="level"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    level: Mapped[int]
    reason: Mapped[str] = mapped_column(Text)
    set_by: Mapped[str] = mapped_column(String(64))
    set_at: Mapped[datetime] = mapped_column(UtcTime)
