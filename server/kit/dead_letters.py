"""Events that a consumer could not deal with: tried again, then kept for an operator.

An event that fails is set aside and tried again with growing pauses, while others go on. For a
consumer that needs order, later events with the same topic and key are set aside behind it. After
``ATTEMPTS_MAX`` attempts it is dead: it waits until an operator has it tried again or drops it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Delete, Index, String, Text, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, aliased, mapped_column

from server.kit.db import Base, Id, UtcTime
from server.kit.errors import TallyError
from server.kit.event_log import Told
from server.kit.event_readers import READER_MAX
from server.kit.outbox import KEY_MAX, NAME_MAX
from server.kit.schema import Schema
from server.kit.unit_of_work import Tx

ATTEMPTS_MAX: Final = 8
_FIRST_PAUSE: Final = timedelta(seconds=2)
_ERROR_MAX: Final = 200


class LetterState(StrEnum):
    WAITING = "waiting"
    """It is tried again at ``due_at``, by itself."""
    DEAD = "dead"


class DeadLetterRow(Base):
    __tablename__ = "event_dead_letter"
    __table_args__ = (
        Index("ix_event_dead_letter_due_at", "tenant", "consumer", "state", "due_at"),
        Index("ix_event_dead_letter_key", "tenant", "consumer", "topic", "key", "seq"),
    )

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    consumer: Mapped[str] = mapped_column(String(READER_MAX), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    topic: Mapped[str] = mapped_column(String(NAME_MAX))
    type: Mapped[str] = mapped_column(String(NAME_MAX))
    key: Mapped[str] = mapped_column(String(KEY_MAX))
    message: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int]
    error: Mapped[str] = mapped_column(String(_ERROR_MAX))
    due_at: Mapped[datetime] = mapped_column(UtcTime)
    at: Mapped[datetime] = mapped_column(UtcTime)


class DeadLetterView(Schema):
    """An event that a consumer could not deal with."""

    consumer: str
    event_id: UUID
    sequence: int
    topic: str
    type: str
    key: str
    state: LetterState
    attempts: Annotated[int, msgspec.Meta(description="Attempts so far; 0: waits for others")]
    error: str
    due_at: datetime
    at: datetime


def describe(error: BaseException) -> str:
    """Return what may be stored of an error: its kind, and the text where it is ours.

    Texts of other libraries may hold what they worked with.
    """
    kind = type(error).__name__
    text = f"{kind}: {error.detail}" if isinstance(error, TallyError) else kind
    return text[:_ERROR_MAX]


async def set_aside(
    tx: Tx, consumer: str, told: Told, *, error: str, attempts: int, dead: bool = False
) -> None:
    """Store an event that was tried so many times; an event that is set aside already stays."""
    insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
    row = insert(DeadLetterRow).values(
        tenant=told.tenant,
        consumer=consumer,
        event_id=told.id,
        seq=told.seq,
        topic=told.topic,
        type=told.type,
        key=told.key,
        message=told.as_json().decode(),
        state=LetterState.DEAD if dead else LetterState.WAITING,
        attempts=attempts,
        error=error,
        due_at=tx.now + (_FIRST_PAUSE if attempts else timedelta(0)),
        at=tx.now,
    )
    await tx.connection.execute(row.on_conflict_do_nothing())


async def keys_behind(tx: Tx, tenant: int, consumer: str) -> set[tuple[str, str]]:
    """Return the (topic, key) of all that is set aside."""
    rows = await tx.session.execute(
        select(DeadLetterRow.topic, DeadLetterRow.key)
        .where(DeadLetterRow.tenant == tenant, DeadLetterRow.consumer == consumer)
        .distinct()
    )
    return {(topic, key) for topic, key in rows}


async def next_due(
    tx: Tx, tenant: int, consumer: str, *, ordered: bool, lock: bool = True
) -> DeadLetterRow | None:
    """Return what is to be tried now, and lock it: for an ordered consumer the first of its key."""
    row, earlier = DeadLetterRow, aliased(DeadLetterRow)
    query = select(row).where(
        row.tenant == tenant,
        row.consumer == consumer,
        row.state == LetterState.WAITING,
        row.due_at <= tx.now,
    )
    if ordered:
        query = query.where(
            ~exists().where(
                earlier.tenant == row.tenant,
                earlier.consumer == row.consumer,
                earlier.topic == row.topic,
                earlier.key == row.key,
                earlier.seq < row.seq,
            )
        )
    query = query.order_by(row.seq).limit(1)
    return await tx.session.scalar(query.with_for_update(skip_locked=True) if lock else query)


async def failed_again(tx: Tx, tenant: int, consumer: str, event_id: UUID, error: str) -> None:
    """Count an attempt; after the last one the event is dead."""
    row = await tx.session.get(DeadLetterRow, (tenant, consumer, event_id), with_for_update=True)
    if row is None:
        return
    row.attempts += 1
    row.error = error
    row.due_at = tx.now + _FIRST_PAUSE * 2**row.attempts
    if row.attempts >= ATTEMPTS_MAX:
        row.state = LetterState.DEAD


async def done_with(tx: Tx, tenant: int, consumer: str, event_id: UUID) -> None:
    await tx.session.execute(_one(tenant, consumer, event_id))


async def try_again(tx: Tx, tenant: int, consumer: str, *, event_ids: Sequence[UUID] = ()) -> int:
    """Have dead events tried again, these or all; return how many."""
    changed = update(DeadLetterRow).where(
        DeadLetterRow.tenant == tenant,
        DeadLetterRow.consumer == consumer,
        DeadLetterRow.state == LetterState.DEAD,
    )
    if event_ids:
        changed = changed.where(DeadLetterRow.event_id.in_(event_ids))
    done = await tx.session.execute(
        changed.values(state=LetterState.WAITING, attempts=0, due_at=tx.now)
    )
    count: int = done.rowcount  # type: ignore[attr-defined]
    return count


async def drop_letter(tx: Tx, tenant: int, consumer: str, event_id: UUID) -> bool:
    """Give an event up, so that those behind it go on; say whether there was one."""
    done = await tx.session.execute(_one(tenant, consumer, event_id))
    return bool(done.rowcount)  # type: ignore[attr-defined]


async def dead_letters(
    tx: Tx, tenant: int, *, consumer: str | None = None, after: int = 0, limit: int = 50
) -> list[DeadLetterView]:
    """Return what is set aside, in the order of the events' numbers."""
    query = select(DeadLetterRow).where(DeadLetterRow.tenant == tenant, DeadLetterRow.seq > after)
    if consumer is not None:
        query = query.where(DeadLetterRow.consumer == consumer)
    rows = await tx.session.scalars(query.order_by(DeadLetterRow.seq).limit(limit))
    return [
        DeadLetterView(
            consumer=row.consumer,
            event_id=row.event_id,
            sequence=row.seq,
            topic=row.topic,
            type=row.type,
            key=row.key,
            state=LetterState(row.state),
            attempts=row.attempts,
            error=row.error,
            due_at=row.due_at,
            at=row.at,
        )
        for row in rows
    ]


def _one(tenant: int, consumer: str, event_id: UUID) -> Delete:
    return delete(DeadLetterRow).where(
        DeadLetterRow.tenant == tenant,
        DeadLetterRow.consumer == consumer,
        DeadLetterRow.event_id == event_id,
    )
