"""Events that are told to the broker once more, because an operator asks for it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, String, Text, select
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, Id, Json, UtcTime
from server.kit.errors import Conflict
from server.kit.event_log import StreamRow
from server.kit.schema import Schema
from server.kit.unit_of_work import Tx

OPEN_MAX = 20


class ReplayRow(Base):
    __tablename__ = "event_replay"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    """The number of the last event that was told once more."""
    until_seq: Mapped[int] = mapped_column(BigInteger)
    topics: Mapped[list[str]] = mapped_column(Json)
    state: Mapped[str] = mapped_column(String(8))
    asked_by: Mapped[UUID] = mapped_column(Id)
    reason: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime] = mapped_column(UtcTime)


class ReplayView(Schema):
    """A replay and how far it is."""

    id: UUID
    sequence: int
    until_sequence: int
    topics: list[str]
    state: str
    reason: str
    asked_at: datetime


class ReplayGone(Conflict):
    """Some of the events are not kept any more."""

    code, title = "events_removed", "The events asked for are not kept any more"


async def ask_for_replay(
    tx: Tx,
    tenant: int,
    *,
    after: int,
    until: int | None,
    topics: Sequence[str],
    asked_by: UUID,
    reason: str,
) -> ReplayView:
    """Have the events after a number told again, up to another or to the last that there is.

    Raises:
        ReplayGone: some of them were removed.
        Conflict: too many replays are under way.
    """
    stream = await tx.session.scalar(select(StreamRow).where(StreamRow.tenant == tenant))
    removed, last = (0, 0) if stream is None else (stream.removed_seq, stream.last_seq)
    if after < removed:
        raise ReplayGone(
            f"Events up to number {removed} were removed.",
            fix="Begin later; what is older stands in the ledger and in backups.",
            first_kept=removed + 1,
        )
    under_way = await tx.session.scalars(
        select(ReplayRow.id).where(ReplayRow.tenant == tenant, ReplayRow.state == "open")
    )
    if len(under_way.all()) >= OPEN_MAX:
        raise Conflict("Too many replays are under way.", fix="Wait until one of them has ended.")
    row = ReplayRow(
        tenant=tenant,
        id=tx.ids.uuid(),
        seq=after,
        until_seq=last if until is None else min(until, last),
        topics=sorted(topics),
        state="open",
        asked_by=asked_by,
        reason=reason,
        asked_at=tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    return _view(row)


async def next_replay(tx: Tx, tenant: int) -> ReplayRow | None:
    """Return the oldest replay that has not ended."""
    return await tx.session.scalar(
        select(ReplayRow)
        .where(ReplayRow.tenant == tenant, ReplayRow.state == "open")
        .order_by(ReplayRow.id)
        .limit(1)
    )


async def replay_moved(tx: Tx, tenant: int, replay_id: UUID, seq: int | None) -> None:
    """Store how far a replay is; None: it has ended."""
    row = await tx.session.get(ReplayRow, (tenant, replay_id), with_for_update=True)
    if row is None:
        return
    row.seq = row.until_seq if seq is None else max(row.seq, seq)
    if row.seq >= row.until_seq:
        row.state = "done"


async def replays(tx: Tx, tenant: int, *, limit: int = 50) -> list[ReplayView]:
    """Return replays, the newest first."""
    rows = await tx.session.scalars(
        select(ReplayRow)
        .where(ReplayRow.tenant == tenant)
        .order_by(ReplayRow.id.desc())
        .limit(limit)
    )
    return [_view(row) for row in rows]


def _view(row: ReplayRow) -> ReplayView:
    return ReplayView(
        id=row.id,
        sequence=row.seq,
        until_sequence=row.until_seq,
        topics=list(row.topics),
        state=row.state,
        reason=row.reason,
        asked_at=row.asked_at,
    )
