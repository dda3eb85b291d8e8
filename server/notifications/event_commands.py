"""The operator's commands for events, beneath the words of the command line."""

import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TextIO

from sqlalchemy import select

from server.kit.brokers import Publisher, publisher_of
from server.kit.errors import InvalidRequest
from server.kit.event_log import StreamRow, Told, events_after, last_seq, seq_before
from server.kit.event_replays import ReplayGone
from server.kit.unit_of_work import Tx, UnitOfWork

_AT_ONCE: Final = 500


class _Lines:
    """Writes events as JSON, one a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def publish(self, told: Told, *, copy: str = "") -> None:  # noqa: ARG002 - no broker
        self._stream.write(told.as_json().decode() + "\n")

    async def close(self) -> None:
        self._stream.flush()


async def replay_to(
    uow: UnitOfWork,
    tenant: int,
    *,
    start: str,
    until: int | None,
    topics: Sequence[str],
    target: str,
) -> int:
    """Tell events once more, one after the other; return how many.

    ``start`` is a number, or a moment in ISO 8601 (UTC when it names no zone); ``target`` is a
    broker's address, or ``-`` for lines of JSON.

    Raises:
        InvalidRequest: ``start`` is neither.
        ReplayGone: some of the events are not kept any more.
        BrokerUnsupported: the target is none.
    """
    position, end, copy = await uow.read(lambda tx: _span(tx, tenant, start, until))
    told = 0
    async with _open(target) as publisher:
        while events := await uow.read(
            lambda tx, after=position: events_after(  # type: ignore[misc]
                tx, tenant, after, until=end, topics=topics, limit=_AT_ONCE
            )
        ):
            for event in events:
                await publisher.publish(event, copy=copy)
            position = events[-1].seq
            told += len(events)
    return told


@asynccontextmanager
async def _open(target: str) -> AsyncIterator[Publisher]:
    publisher = _Lines(sys.stdout) if target == "-" else await publisher_of(target)()
    try:
        yield publisher
    finally:
        await publisher.close()


async def _span(tx: Tx, tenant: int, start: str, until: int | None) -> tuple[int, int, str]:
    """Return after which number to begin, at which to end, and what tells these messages apart."""
    if re.fullmatch(r"[0-9]{1,18}", start):
        after = max(0, int(start) - 1)
    else:
        after = await seq_before(tx, tenant, _moment(start))
    removed = await tx.session.scalar(
        select(StreamRow.removed_seq).where(StreamRow.tenant == tenant)
    )
    if after < (removed or 0):
        raise ReplayGone(
            f"Events up to number {removed} were removed.", fix=f"Begin with {(removed or 0) + 1}."
        )
    last = await last_seq(tx, tenant)
    return after, last if until is None else min(until, last), f":{tx.ids.uuid()}"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"{text!r} is neither the number of an event nor a moment.",
            fix="Give 1200, or 2026-03-02T09:00.",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
