"""The event log: what was committed, numbered so that nobody who reads on can miss anything.

Sequences of a database number rows when they are inserted, and transactions commit in another
order: who has read number 9 would never see a 7 that commits later. So `number_events` numbers rows
that are committed already, one call at a time under the lock of the tenant's stream. A number
appears when the transaction that gave it commits, and the next one is given after that. So numbers
appear in their order and without a gap, and "all after N" is a safe question.

Within a call rows are numbered by their place in the outbox. Of two transactions that exclude each
other the later one inserts when the earlier one is committed, so it has the greater place, and
whoever sees its rows sees the earlier ones too: their order is that of their commits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Index, String, Text, func, select, text
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, from_microseconds, to_microseconds
from server.kit.outbox import KEY_MAX, NAME_MAX, OutboxRow
from server.kit.unit_of_work import Tx, UnitOfWork

NUMBERED_AT_ONCE = 1_000
_SEQUENCE_DIGITS = 19
_CONTENT = "id, topic, type, version, key, body, at"


class StreamRow(Base):
    """The last number that was given to an event of a tenant."""

    __tablename__ = "event_stream"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    removed_seq: Mapped[int] = mapped_column(BigInteger)
    """Events up to this number are not kept any more."""


class LoggedEventRow(Base):
    """An event with its number."""

    __tablename__ = "event_log"
    __table_args__ = (Index("ix_event_log_at", "tenant", "at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id)
    topic: Mapped[str] = mapped_column(String(NAME_MAX))
    type: Mapped[str] = mapped_column(String(NAME_MAX))
    version: Mapped[int]
    key: Mapped[str] = mapped_column(String(KEY_MAX))
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Told:
    """An event as readers get it."""

    tenant: int
    seq: int
    id: UUID
    topic: str
    type: str
    version: int
    key: str
    body: str
    """The event's fields as JSON."""
    at: datetime

    def data(self) -> dict[str, Any]:
        """Return the event's fields."""
        fields: dict[str, Any] = msgspec.json.decode(self.body)
        return fields

    def as_json(self) -> bytes:
        """Return the message that brokers carry: CloudEvents 1.0, structured mode."""
        return msgspec.json.encode(
            _CloudEvent(
                id=str(self.id),
                source=f"/tallystick/{self.tenant}",
                type=self.type,
                subject=self.key,
                time=self.at,
                dataschema=schema_name(self.type, self.version),
                sequence=str(self.seq).zfill(_SEQUENCE_DIGITS),
                partitionkey=self.key,
                topic=self.topic,
                data=msgspec.Raw(self.body.encode()),
            )
        )

    @classmethod
    def from_json(cls, message: bytes) -> "Told":
        """Read what `as_json` wrote.

        Raises:
            msgspec.DecodeError: it is something else.
            ValueError: it calls itself an event, and is none of ours.
        """
        event = msgspec.json.decode(message, type=_CloudEvent)
        _, house, tenant = event.source.split("/")
        *_, kind, version = event.dataschema.split(":")
        if house != "tallystick" or kind != event.type:
            raise ValueError("the event comes from somewhere else")
        return cls(
            tenant=int(tenant),
            seq=int(event.sequence),
            id=UUID(event.id),
            topic=event.topic,
            type=event.type,
            version=int(version),
            key=event.partitionkey,
            body=bytes(event.data).decode(),
            at=event.time,
        )


class _CloudEvent(msgspec.Struct, kw_only=True):
    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    dataschema: str
    sequence: str
    """Extension "sequence": digits with leading zeros, so that texts compare as numbers do."""
    partitionkey: str
    """Extension "partitioning"."""
    topic: str
    data: msgspec.Raw


def schema_name(kind: str, version: int) -> str:
    """Return what names the schema of an event's fields."""
    return f"urn:tallystick:event:{kind}:{version}"


async def number_events(uow: UnitOfWork, tenant: int, *, limit: int = NUMBERED_AT_ONCE) -> int:
    """Move committed events from the outbox into the log; return how many.

    Several processes may call it: one works, the others return 0 at once.
    """
    if not await uow.read(lambda tx: _waiting(tx, tenant)):
        return 0
    return await uow.run(lambda tx: _number(tx, tenant, limit))


async def _waiting(tx: Tx, tenant: int) -> bool:
    query = select(OutboxRow.place).where(OutboxRow.tenant == tenant).limit(1)
    return await tx.session.scalar(query) is not None


async def _number(tx: Tx, tenant: int, limit: int) -> int:
    stream = await _locked_stream(tx, tenant)
    if stream is None:
        return 0
    # A statement of its own: under READ COMMITTED it sees all that was committed before it began,
    # and the one with the lock began before the lock was had.
    count = await (_move_on_postgres if tx.dialect == "postgresql" else _move_on_sqlite)(
        tx, tenant, stream.last_seq, limit
    )
    stream.last_seq += count
    await tx.session.flush()
    return count


async def _locked_stream(tx: Tx, tenant: int) -> StreamRow | None:
    """Return the stream, or None when somebody else has its lock."""
    mine = select(StreamRow).where(StreamRow.tenant == tenant).with_for_update(skip_locked=True)
    stream = await tx.session.scalar(mine)
    if stream is None:
        insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
        first = insert(StreamRow).values(tenant=tenant, last_seq=0, removed_seq=0)
        await tx.connection.execute(first.on_conflict_do_nothing())
        stream = await tx.session.scalar(mine)
    return stream


async def _move_on_postgres(tx: Tx, tenant: int, last_seq: int, limit: int) -> int:
    moved = await tx.connection.execute(
        text(
            "WITH due AS MATERIALIZED (SELECT place FROM outbox "  # noqa: S608 - constants
            "WHERE tenant = :tenant "
            "ORDER BY place LIMIT :limit), "
            "gone AS (DELETE FROM outbox USING due WHERE outbox.place = due.place "
            f"RETURNING outbox.place, {_CONTENT}) "
            f"INSERT INTO event_log (tenant, seq, {_CONTENT}) "
            f"SELECT :tenant, :last + row_number() OVER (ORDER BY place), {_CONTENT} FROM gone"
        ),
        {"tenant": tenant, "last": last_seq, "limit": limit},
    )
    return moved.rowcount


async def _move_on_sqlite(tx: Tx, tenant: int, last_seq: int, limit: int) -> int:
    # The only writer is this transaction, so both statements see the same rows.
    due = "SELECT place FROM outbox WHERE tenant = :tenant ORDER BY place LIMIT :limit"
    values = {"tenant": tenant, "last": last_seq, "limit": limit}
    moved = await tx.connection.execute(
        text(
            f"INSERT INTO event_log (tenant, seq, {_CONTENT}) "  # noqa: S608 - constants
            f"SELECT tenant, :last + row_number() OVER (ORDER BY place), {_CONTENT} "
            f"FROM outbox WHERE place IN ({due})"
        ),
        values,
    )
    await tx.connection.execute(
        text(f"DELETE FROM outbox WHERE place IN ({due})"),  # noqa: S608 - constants
        {"tenant": tenant, "limit": limit},
    )
    return moved.rowcount


async def events_after(
    tx: Tx,
    tenant: int,
    seq: int,
    *,
    until: int | None = None,
    topics: Collection[str] = (),
    since: datetime | None = None,
    limit: int = 100,
) -> list[Told]:
    """Return the next events after a number, oldest first; of some topics, or of all."""
    row = LoggedEventRow
    query = select(
        row.tenant, row.seq, row.id, row.topic, row.type, row.version, row.key, row.body, row.at
    ).where(row.tenant == tenant, row.seq > seq)
    if until is not None:
        query = query.where(row.seq <= until)
    if topics:
        query = query.where(row.topic.in_(sorted(topics)))
    if since is not None:
        query = query.where(row.at >= to_microseconds(since))
    found = await tx.connection.execute(query.order_by(row.seq).limit(limit))
    return [Told(*columns[:-1], at=from_microseconds(columns[-1])) for columns in found]


async def last_seq(tx: Tx, tenant: int) -> int:
    """Return the greatest number given so far, 0 when none was."""
    return (
        await tx.session.scalar(select(StreamRow.last_seq).where(StreamRow.tenant == tenant)) or 0
    )


async def seq_before(tx: Tx, tenant: int, moment: datetime) -> int:
    """Return the number after which everything stands that happened at a moment or later.

    Events that happened before it may stand there as well: transactions end in another order than
    they begin.
    """
    first = await tx.session.scalar(
        select(func.min(LoggedEventRow.seq)).where(
            LoggedEventRow.tenant == tenant, LoggedEventRow.at >= to_microseconds(moment)
        )
    )
    return await last_seq(tx, tenant) if first is None else first - 1


async def remove_old_events(
    tx: Tx, tenant: int, *, keep: timedelta, read_by_all: int, limit: int = 5_000
) -> int:
    """Remove events that are older than ``keep`` and that every reader has read.

    Returns how many were removed; numbers never come back.
    """
    row = LoggedEventRow
    horizon = to_microseconds(tx.now - keep)
    oldest: Sequence[tuple[int, int]] = [
        (seq, at)
        for seq, at in await tx.connection.execute(
            select(row.seq, row.at)
            .where(row.tenant == tenant, row.seq <= read_by_all)
            .order_by(row.seq)
            .limit(limit)
        )
    ]
    # Up to the first one that is kept, so that what is left has no hole.
    end = 0
    for seq, at in oldest:
        if at >= horizon:
            break
        end = seq
    if not end:
        return 0
    removed = await tx.connection.execute(
        text("DELETE FROM event_log WHERE tenant = :tenant AND seq <= :end"),
        {"tenant": tenant, "end": end},
    )
    await tx.connection.execute(
        text("UPDATE event_stream SET removed_seq = :end WHERE tenant = :tenant"),
        {"tenant": tenant, "end": end},
    )
    return removed.rowcount
