"""Our own readers of events: each effect happens once, with the note that it did.

A `Consumer` changes the database in the transaction in which its position moves (`consume`) or in
which the event's id is noted (`receive`), so a crash at any moment leaves both or neither. Effects
outside belong into a job that the consumer stores. What fails is set aside (`dead_letters`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Index, String, delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, UtcTime
from server.kit.dead_letters import (
    describe,
    done_with,
    failed_again,
    keys_behind,
    next_due,
    set_aside,
)
from server.kit.event_log import Told, events_after, last_seq
from server.kit.event_readers import READER_MAX, ReaderRow, add_reader, has_news
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork

BATCH_MAX = 500
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody in this house who wants to know."""

    name: str
    handle: Callable[[Tx, Told], Awaitable[None]]
    """Does what the event asks for, in the transaction that it is given and nowhere else."""
    topics: frozenset[str] = frozenset()
    """Empty means all."""
    handle_many: Callable[[Tx, Sequence[Told]], Awaitable[None]] | None = None
    """The same for many at once, where that is cheaper. When it fails they come one by one."""
    ordered: bool = True
    """Whether events must wait while an earlier one with the same topic and key is set aside."""


class SeenEventRow(Base):
    """A consumer has dealt with an event that a broker brought."""

    __tablename__ = "event_seen"
    __table_args__ = (Index("ix_event_seen_at", "tenant", "at"),)

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    consumer: Mapped[str] = mapped_column(String(READER_MAX), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcTime)


@dataclass(slots=True)
class _Progress:
    """What an attempt at a batch came to, for after it was rolled back."""

    together: bool = False
    done: int = 0
    current: Told | None = field(default=None)


async def consume(uow: UnitOfWork, tenant: int, consumer: Consumer) -> int:
    """Do the next events of the log, and what is due again; return how many were dealt with.

    Any number of processes may call it: one works for a consumer, the others return 0.
    """
    if not await uow.read(lambda tx: has_news(tx, tenant, consumer.name)):
        return await retry(uow, tenant, consumer)
    limit, together = BATCH_MAX, consumer.handle_many is not None
    while True:
        progress = _Progress(together)
        try:
            done = await uow.run(
                lambda tx, n=limit, p=progress: _batch(tx, tenant, consumer, n, p)  # type: ignore[misc]
            )
            return done + await retry(uow, tenant, consumer)
        except Exception as error:
            if together:
                together = False
                continue
            failed = progress.current
            if failed is None:
                raise
            if progress.done:
                # First those before it, which are as good as ever.
                limit = progress.done
                continue
            _log.warning("event_failed", consumer=consumer.name, error=type(error).__name__)
            await uow.run(
                lambda tx, told=failed, e=error: _skip(tx, consumer, told, describe(e))  # type: ignore[misc]
            )
            return 1


async def receive(uow: UnitOfWork, consumer: Consumer, message: bytes) -> bool:
    """Deal with an event that a broker brought; say whether it was new.

    When this returns, acknowledge the message. What failed is set aside here, and tried again by
    `retry`; the broker need not bring it a second time.

    Raises:
        msgspec.DecodeError, ValueError: the message is no event.
    """
    told = Told.from_json(message)
    try:
        return await uow.run(lambda tx: _once(tx, consumer, told))
    except Exception as error:  # noqa: BLE001 - whatever it is, the event is kept
        _log.warning("event_failed", consumer=consumer.name, error=type(error).__name__)
        problem = describe(error)
        return await uow.run(lambda tx: _note(tx, consumer, told, problem))


async def retry(uow: UnitOfWork, tenant: int, consumer: Consumer) -> int:
    """Try what was set aside and is due, the earliest first; return how many succeeded."""
    succeeded = 0
    if not await uow.read(lambda tx: _has_due(tx, tenant, consumer)):
        return 0
    for _ in range(BATCH_MAX):
        progress = _Progress()
        try:
            if not await uow.run(lambda tx, p=progress: _again(tx, tenant, consumer, p)):  # type: ignore[misc]
                break
            succeeded += 1
        except Exception as error:
            failed = progress.current
            if failed is None:
                raise
            await uow.run(
                lambda tx, told=failed, e=error: failed_again(  # type: ignore[misc]
                    tx, tenant, consumer.name, told.id, describe(e)
                )
            )
    return succeeded


async def forget_seen(tx: Tx, tenant: int, *, keep: timedelta) -> None:
    """Remove notes of events that no broker brings a second time any more."""
    await tx.session.execute(
        delete(SeenEventRow).where(SeenEventRow.tenant == tenant, SeenEventRow.at < tx.now - keep)
    )


async def _has_due(tx: Tx, tenant: int, consumer: Consumer) -> bool:
    due = await next_due(tx, tenant, consumer.name, ordered=consumer.ordered, lock=False)
    return due is not None


async def _batch(tx: Tx, tenant: int, consumer: Consumer, limit: int, progress: _Progress) -> int:
    progress.done, progress.current = 0, None
    reader = await _locked(tx, tenant, consumer)
    if reader is None:
        return 0
    end = await last_seq(tx, tenant)
    events = await events_after(
        tx, tenant, reader.seq, until=end, topics=consumer.topics, limit=limit
    )
    behind = await keys_behind(tx, tenant, consumer.name) if consumer.ordered else set()
    free = [told for told in events if (told.topic, told.key) not in behind]
    if progress.together and consumer.handle_many is not None and free:
        await consumer.handle_many(tx, free)
    for told in events:
        progress.current = told
        if (told.topic, told.key) in behind:
            await set_aside(tx, consumer.name, told, error="waits for an earlier one", attempts=0)
        elif not progress.together:
            await consumer.handle(tx, told)
            await tx.session.flush()
        progress.done += 1
    progress.current = None
    reader.seq = events[-1].seq if len(events) == limit else end
    reader.moved_at = tx.now
    await tx.session.flush()
    return len(events)


async def _skip(tx: Tx, consumer: Consumer, told: Told, error: str) -> None:
    reader = await _locked(tx, told.tenant, consumer)
    # Another process may have been faster, and luckier.
    if reader is None or reader.seq >= told.seq:
        return
    await set_aside(tx, consumer.name, told, error=error, attempts=1)
    reader.seq = told.seq
    reader.moved_at = tx.now
    await tx.session.flush()


async def _locked(tx: Tx, tenant: int, consumer: Consumer) -> ReaderRow | None:
    """Return the reader's row, or None while another process works for the consumer."""
    mine = (
        select(ReaderRow)
        .where(ReaderRow.tenant == tenant, ReaderRow.name == consumer.name)
        .with_for_update(skip_locked=True)
    )
    row = await tx.session.scalar(mine)
    if row is None:
        await add_reader(tx, tenant, consumer.name)
        row = await tx.session.scalar(mine)
    return row


async def _once(tx: Tx, consumer: Consumer, told: Told) -> bool:
    if not await _mark_seen(tx, consumer, told):
        return False
    behind = await keys_behind(tx, told.tenant, consumer.name) if consumer.ordered else set()
    if (told.topic, told.key) in behind:
        await set_aside(tx, consumer.name, told, error="waits for an earlier one", attempts=0)
    else:
        await consumer.handle(tx, told)
    return True


async def _note(tx: Tx, consumer: Consumer, told: Told, error: str) -> bool:
    if not await _mark_seen(tx, consumer, told):
        return False
    await set_aside(tx, consumer.name, told, error=error, attempts=1)
    return True


async def _mark_seen(tx: Tx, consumer: Consumer, told: Told) -> bool:
    # Waits for another transaction with the same event, and then knows how it ended.
    insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
    noted = await tx.connection.execute(
        insert(SeenEventRow)
        .values(tenant=told.tenant, consumer=consumer.name, event_id=told.id, at=tx.now)
        .on_conflict_do_nothing()
    )
    return noted.rowcount == 1


async def _again(tx: Tx, tenant: int, consumer: Consumer, progress: _Progress) -> bool:
    progress.current = None
    row = await next_due(tx, tenant, consumer.name, ordered=consumer.ordered)
    if row is None:
        return False
    progress.current = Told.from_json(row.message.encode())
    await consumer.handle(tx, progress.current)
    await done_with(tx, tenant, consumer.name, row.event_id)
    return True
