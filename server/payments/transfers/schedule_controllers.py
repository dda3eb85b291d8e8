"""HTTP of schedules."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import (
    Forbidden,
    IdempotencyConflict,
    NotFound,
    TooManyRequests,
    Unauthenticated,
)
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import Page
from server.payments.transfers import scheduling
from server.payments.transfers.controllers import Cursor, IdempotencyKey, Limit
from server.payments.transfers.errors import (
    NoteInvalid,
    PayCodeInvalid,
    RecipientUnknown,
    ScheduleClosed,
    ScheduleInvalid,
    SelfTransfer,
)
from server.payments.transfers.schemas import ScheduleCreate, ScheduleRunView, ScheduleView
from server.payments.transfers.service import Transfers


@post(
    "/transfer-schedules",
    summary="Send money on a date, or again and again",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        IdempotencyConflict,
        NoteInvalid,
        PayCodeInvalid,
        RecipientUnknown,
        ScheduleInvalid,
        SelfTransfer,
        TooManyRequests,
        UnknownCurrency,
    ),
)
async def create_schedule(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    data: JSONBody[ScheduleCreate],
    idempotency_key: IdempotencyKey = None,
) -> ScheduleView:
    """Plan transfers to somebody who is registered, once for each key."""
    return await transfers.schedule(caller, data, key=check_key(idempotency_key))


@get(
    "/transfer-schedules",
    summary="Your schedules, newest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_schedules(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[ScheduleView]:
    """List schedules, those that have ended too."""
    return await transfers.uow.read(
        lambda tx: scheduling.page(tx, transfers.desk, caller.user_id, cursor=cursor, limit=limit)
    )


@get(
    "/transfer-schedules/{schedule_id:uuid}",
    summary="Look up a schedule",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_schedule(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    schedule_id: FromPath[UUID],
) -> ScheduleView:
    """Show a schedule, and when it pays next."""
    return await transfers.uow.read(
        lambda tx: scheduling.show(tx, transfers.desk, caller.user_id, schedule_id)
    )


@get(
    "/transfer-schedules/{schedule_id:uuid}/runs",
    summary="What became of a schedule's payments",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def list_schedule_runs(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    schedule_id: FromPath[UUID],
    before: Annotated[int | None, QueryParameter(ge=0)] = None,
) -> list[ScheduleRunView]:
    """List the last hundred payments, or the hundred before an occurrence."""
    return await transfers.uow.read(
        lambda tx: scheduling.runs(tx, transfers.desk, caller.user_id, schedule_id, before=before)
    )


@post(
    "/transfer-schedules/{schedule_id:uuid}/{change:str}",
    summary="Pause, resume or end a schedule",
    responses=refusals(Unauthenticated, Forbidden, NotFound, ScheduleClosed),
    status_code=200,
)
async def change_schedule(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    schedule_id: FromPath[UUID],
    change: FromPath[Literal["pause", "resume", "end"]],
) -> ScheduleView:
    """Change what comes next. Resumed, a schedule leaves out what fell into the pause."""
    return await transfers.uow.run(
        lambda tx: scheduling.change(tx, transfers.desk, caller, schedule_id, change)
    )


SCHEDULE_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            create_schedule,
            list_schedules,
            show_schedule,
            list_schedule_runs,
            change_schedule,
        ],
        guards=[may("own_money")],
        tags=["Schedules"],
    )
]
