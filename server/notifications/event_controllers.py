"""HTTP for operators: events, who has read them how far, what failed, telling them once more."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from server.identity import may
from server.kit.auth import Caller
from server.kit.dead_letters import DeadLetterView, dead_letters, drop_letter, try_again
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Conflict, Forbidden, NotFound, Unauthenticated
from server.kit.event_log import Told, events_after, seq_before
from server.kit.event_readers import ReaderView, forget_reader, readers
from server.kit.event_replays import ReplayGone, ReplayView, ask_for_replay, replays
from server.kit.schema import PAGE_MAX, Page, Schema
from server.kit.unit_of_work import Tx, UnitOfWork

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
_Consumer = Annotated[str, msgspec.Meta(max_length=64, examples=["webhooks"])]
_Number = Annotated[int, msgspec.Meta(ge=1, le=2**62, examples=[1200])]
_Moment = Annotated[datetime, msgspec.Meta(tz=True, examples=["2026-03-01T00:00:00Z"])]
_READ = refusals(Unauthenticated, Forbidden)


class EventView(Schema):
    """An event of the log."""

    sequence: int
    id: UUID
    topic: str
    type: str
    version: int
    key: str
    at: datetime
    data: dict[str, msgspec.Raw]


class LettersAgain(Schema):
    """Which dead events a consumer tries again; no ids means all of them."""

    consumer: _Consumer
    event_ids: Annotated[
        list[UUID],
        msgspec.Meta(max_length=1000, examples=[["01890a5d-ac96-774b-bcce-b302099a8057"]]),
    ] = []


class Counted(Schema):
    count: int


class ReplayCreate(Schema):
    """What to tell the broker once more: from a number on, and from a moment on."""

    reason: Annotated[
        str, msgspec.Meta(min_length=3, max_length=500, examples=["reporting lost its database"])
    ]
    from_sequence: _Number = 1
    from_time: _Moment | None = None
    until_sequence: _Number | None = None
    topics: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=64)]],
        msgspec.Meta(max_length=20, examples=[["payments"]]),
    ] = []


@get("/", summary="The event log", responses=_READ)
async def list_events(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    after: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0,
    topic: Annotated[str | None, QueryParameter(max_length=64)] = None,
    limit: Limit = 50,
) -> Page[EventView]:
    """List events after a number, the oldest first; ``next_cursor`` is the next ``after``."""
    found = await uow.read(
        lambda tx: events_after(
            tx, caller.tenant, after, topics=[topic] if topic else [], limit=limit + 1
        )
    )
    more = len(found) > limit
    return Page(
        items=[_view(told) for told in found[:limit]],
        next_cursor=str(found[limit - 1].seq) if more else None,
    )


@get("/readers", summary="Who has read the events how far", responses=_READ)
async def list_readers(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> list[ReaderView]:
    """List the broker and our own consumers; old events stay until all have read them."""
    return await uow.read(lambda tx: readers(tx, caller.tenant))


@delete(
    "/readers/{name:str}",
    summary="Forget a reader that will not come back",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def remove_reader(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], name: FromPath[str]
) -> None:
    """Remove its position; should it come back, it begins with the oldest event that is kept."""
    if not await uow.run(lambda tx: forget_reader(tx, caller.tenant, name)):
        raise NotFound("There is no such reader.")


@get("/dead-letters", summary="Events that a consumer could not deal with", responses=_READ)
async def list_dead_letters(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    consumer: Annotated[str | None, QueryParameter(max_length=64)] = None,
    after: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0,
    limit: Limit = 50,
) -> list[DeadLetterView]:
    """List what waits for its next attempt or is dead, in the order of the events."""
    return await uow.read(
        lambda tx: dead_letters(tx, caller.tenant, consumer=consumer, after=after, limit=limit)
    )


@post(
    "/dead-letters/replays",
    summary="Try dead events again",
    status_code=HTTP_200_OK,
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden),
)
async def replay_dead_letters(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[LettersAgain],
) -> Counted:
    """Have a consumer try dead events again, with as many attempts as the first time."""
    count = await uow.run(
        lambda tx: try_again(tx, caller.tenant, data.consumer, event_ids=data.event_ids)
    )
    return Counted(count=count)


@delete(
    "/dead-letters/{consumer:str}/{event_id:uuid}",
    summary="Give a dead event up",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def remove_dead_letter(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    consumer: FromPath[str],
    event_id: FromPath[UUID],
) -> None:
    """Drop an event for one consumer, so that those behind it go on."""
    if not await uow.run(lambda tx: drop_letter(tx, caller.tenant, consumer, event_id)):
        raise NotFound("There is no such event.")


@get("/replays", summary="What was told once more", responses=_READ)
async def list_replays(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], limit: Limit = 50
) -> list[ReplayView]:
    """List replays to the broker, the newest first."""
    return await uow.read(lambda tx: replays(tx, caller.tenant, limit=limit))


@post(
    "/replays",
    summary="Tell the broker events once more",
    status_code=HTTP_202_ACCEPTED,
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, Conflict, ReplayGone),
)
async def create_replay(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[ReplayCreate],
) -> ReplayView:
    """Tell events once more, under their ids; readers that keep ids leave out what they have."""
    return await uow.run(lambda tx: _replay(tx, caller, data))


async def _replay(tx: Tx, caller: Caller, data: ReplayCreate) -> ReplayView:
    after = data.from_sequence - 1
    if data.from_time is not None:
        after = max(after, await seq_before(tx, caller.tenant, data.from_time))
    return await ask_for_replay(
        tx,
        caller.tenant,
        after=after,
        until=data.until_sequence,
        topics=data.topics,
        asked_by=caller.user_id,
        reason=data.reason,
    )


def _view(told: Told) -> EventView:
    return EventView(
        sequence=told.seq,
        id=told.id,
        topic=told.topic,
        type=told.type,
        version=told.version,
        key=told.key,
        at=told.at,
        data=msgspec.json.decode(told.body, type=dict[str, msgspec.Raw]),
    )


EVENT_ROUTES = [
    Router(
        "/v1/events",
        route_handlers=[
            list_events,
            list_readers,
            remove_reader,
            list_dead_letters,
            replay_dead_letters,
            remove_dead_letter,
            list_replays,
            create_replay,
        ],
        guards=[may("operate_events")],
        tags=["Events"],
    )
]
