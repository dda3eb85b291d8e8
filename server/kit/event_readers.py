"""Who has read the event log how far, and who reads for it at the moment.

A reader has a name and a position. One process at a time works for it: it holds a lease that it
renews with each step, and that another takes over when it has run out. Should the first one wake up
again, it cannot move the position any more.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, String, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime
from server.kit.event_log import StreamRow
from server.kit.schema import Schema
from server.kit.unit_of_work import Tx

LEASE = timedelta(seconds=20)
READER_MAX = 64


class ReaderRow(Base):
    __tablename__ = "event_reader"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(READER_MAX), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    """The number of the last event that is done."""
    holder: Mapped[UUID | None] = mapped_column(Id)
    held_until: Mapped[datetime | None] = mapped_column(UtcTime)
    moved_at: Mapped[datetime] = mapped_column(UtcTime)


class ReaderView(Schema):
    """How far a reader is."""

    name: str
    sequence: int
    behind: int
    """Events that it has not seen, of all topics."""
    moved_at: datetime


async def add_reader(tx: Tx, tenant: int, name: str, *, seq: int = 0) -> None:
    """Make a reader that begins after a number; one that exists keeps its position."""
    insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
    row = insert(ReaderRow).values(tenant=tenant, name=name, seq=seq, moved_at=tx.now)
    await tx.connection.execute(row.on_conflict_do_nothing())


async def has_news(tx: Tx, tenant: int, name: str) -> bool:
    """Return whether there are events after a reader's position; one without a row is at 0."""
    position = await tx.session.scalar(
        select(ReaderRow.seq).where(ReaderRow.tenant == tenant, ReaderRow.name == name)
    )
    last = await tx.session.scalar(select(StreamRow.last_seq).where(StreamRow.tenant == tenant))
    return (position or 0) < (last or 0)


async def hold_reader(tx: Tx, tenant: int, name: str, holder: UUID) -> int | None:
    """Take or renew the lease; return the position, or None while another holds it."""
    free = or_(
        ReaderRow.holder.is_(None), ReaderRow.holder == holder, ReaderRow.held_until <= tx.now
    )
    held = await tx.connection.execute(
        update(ReaderRow)
        .where(ReaderRow.tenant == tenant, ReaderRow.name == name, free)
        .values(holder=holder, held_until=tx.now + LEASE)
        .returning(ReaderRow.seq)
    )
    return held.scalar_one_or_none()


async def move_reader(tx: Tx, tenant: int, name: str, holder: UUID, seq: int) -> bool:
    """Set the position and renew the lease; say whether it was still held."""
    moved = await tx.connection.execute(
        update(ReaderRow)
        .where(
            ReaderRow.tenant == tenant,
            ReaderRow.name == name,
            ReaderRow.holder == holder,
            ReaderRow.seq <= seq,
        )
        .values(seq=seq, held_until=tx.now + LEASE, moved_at=tx.now)
    )
    return moved.rowcount == 1


async def release_reader(tx: Tx, tenant: int, name: str, holder: UUID) -> None:
    """Let another process go on at once."""
    await tx.connection.execute(
        update(ReaderRow)
        .where(ReaderRow.tenant == tenant, ReaderRow.name == name, ReaderRow.holder == holder)
        .values(holder=None, held_until=None)
    )


async def forget_reader(tx: Tx, tenant: int, name: str) -> bool:
    """Remove a reader that will not come back, so that old events need not wait for it."""
    gone = await tx.connection.execute(
        delete(ReaderRow).where(ReaderRow.tenant == tenant, ReaderRow.name == name)
    )
    return gone.rowcount == 1


async def read_by_all(tx: Tx, tenant: int) -> int:
    """Return the number up to which every reader has read: all, when there is no reader."""
    slowest = await tx.session.scalar(
        select(func.min(ReaderRow.seq)).where(ReaderRow.tenant == tenant)
    )
    if slowest is not None:
        return slowest
    return (
        await tx.session.scalar(select(StreamRow.last_seq).where(StreamRow.tenant == tenant)) or 0
    )


async def readers(tx: Tx, tenant: int) -> list[ReaderView]:
    """Return every reader, by name."""
    last = await tx.session.scalar(select(StreamRow.last_seq).where(StreamRow.tenant == tenant))
    rows = await tx.session.scalars(
        select(ReaderRow).where(ReaderRow.tenant == tenant).order_by(ReaderRow.name)
    )
    return [
        ReaderView(
            name=row.name,
            sequence=row.seq,
            behind=max(0, (last or 0) - row.seq),
            moved_at=row.moved_at,
        )
        for row in rows
    ]
