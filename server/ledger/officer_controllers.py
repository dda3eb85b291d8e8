"""HTTP of the ledger for officers: reconciliation, trial balance, days, limits, closing."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import find_user, may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, NotFound, Unauthenticated
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import views
from server.ledger.account_books import limit_account, limits_of
from server.ledger.book_errors import BreakFinal, DayNotClosed, LimitUnfit
from server.ledger.breaks import Break, BreakState, break_by_id, decide_break, events_of
from server.ledger.breaks import list_breaks as find_breaks
from server.ledger.closing import close_account
from server.ledger.days import number_of
from server.ledger.errors import AccountInUse
from server.ledger.past import Times
from server.ledger.schemas import (
    AccountView,
    BreakDecision,
    BreakEventView,
    BreakHistory,
    BreakView,
    ClosedDayView,
    LimitChange,
    LimitHistory,
    LimitHistoryItem,
    Mirrors,
    TrialBalanceView,
)

_READS = [may("reconcile")]
_KEEPS = [may("keep_books")]


@get(
    "/reconciliation",
    summary="Mirror accounts and their last statements",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_mirrors(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Mirrors:
    """List what outside parties keep for us, and how their last statements compare with it."""
    return Mirrors(items=await uow.read(lambda tx: views.mirror_views(tx, caller.tenant)))


@get(
    "/reconciliation/breaks",
    summary="Differences between statements and books",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_breaks(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    breaks_state: Annotated[BreakState | None, QueryParameter(name="state")] = None,
    cursor: Annotated[UUID | None, QueryParameter()] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 50,
) -> Page[BreakView]:
    """List breaks of all mirror accounts, the oldest first."""
    found = await uow.read(
        lambda tx: find_breaks(tx, caller.tenant, state=breaks_state, after=cursor, limit=limit + 1)
    )
    return Page(
        items=[_break_view(each) for each in found[:limit]],
        next_cursor=str(found[limit - 1].id) if len(found) > limit else None,
    )


@get(
    "/reconciliation/breaks/{break_id:uuid}",
    summary="A difference and what became of it",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_break(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], break_id: FromPath[UUID]
) -> BreakHistory:
    """Show a break with every decision about it."""
    return await uow.read(lambda tx: _history(tx, caller.tenant, break_id))


@post(
    "/reconciliation/breaks/{break_id:uuid}/decisions",
    summary="Explain or close a difference",
    status_code=HTTP_200_OK,
    guards=_READS,
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, NotFound, BreakFinal),
)
async def decide(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    break_id: FromPath[UUID],
    data: JSONBody[BreakDecision],
) -> BreakHistory:
    """Decide about a break. It moves no money; the reason stays for ever."""

    async def command(tx: Tx) -> BreakHistory:
        by = (await find_user(tx, caller.tenant, caller.user_id)).username
        wanted = BreakState(data.state)
        await decide_break(tx, caller.tenant, break_id, wanted, reason=data.reason, by=by)
        return await _history(tx, caller.tenant, break_id)

    return await uow.run(command)


@get(
    "/ledger/trial-balance",
    summary="The sums of all accounts by kind",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden, DayNotClosed),
)
async def show_trial_balance(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    at: FromQuery[datetime | None] = None,
    by: FromQuery[Times] = Times.RECORDED,
    day: FromQuery[date | None] = None,
) -> TrialBalanceView:
    """Return the trial balance now, at an instant, or as a day was closed.

    ``by`` says which time counts at an instant: when movements were recorded, or took effect.
    """
    return await uow.read(
        lambda tx: views.trial_balance_view(tx, caller.tenant, at=at, by=by, day=day)
    )


@get(
    "/ledger/days",
    summary="Closed days",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_days(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    before: FromQuery[date | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 31,
) -> Page[ClosedDayView]:
    """List closed days, the newest first; ``next_cursor`` is the next page's ``before``."""
    number = None if before is None else number_of(before)
    found = await uow.read(
        lambda tx: views.closed_days(tx, caller.tenant, before=number, limit=limit + 1)
    )
    return Page(
        items=found[:limit],
        next_cursor=str(found[limit - 1].day) if len(found) > limit else None,
    )


@get(
    "/ledger/accounts/{account_id:uuid}",
    summary="An account of the ledger",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_account(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], account_id: FromPath[UUID]
) -> AccountView:
    """Show an account by its id, as entries and breaks name it."""
    return await uow.read(lambda tx: views.account_view(tx, caller.tenant, account_id))


@get(
    "/ledger/accounts/{account_id:uuid}/limits",
    summary="Every limit of an account",
    guards=_READS,
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def list_limits(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], account_id: FromPath[UUID]
) -> LimitHistory:
    """List the limits that were ever set for an account, the newest first."""
    return await uow.read(lambda tx: _limits(tx, caller.tenant, account_id))


@put(
    "/ledger/accounts/{account_id:uuid}/limits",
    summary="Set how low and how high an account may go",
    guards=_KEEPS,
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, NotFound, LimitUnfit),
)
async def set_limit(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    account_id: FromPath[UUID],
    data: JSONBody[LimitChange],
) -> LimitHistory:
    """Set floor and ceiling: a floor above zero is a reserve, one below zero a credit line.

    The database keeps to both.
    """

    async def command(tx: Tx) -> LimitHistory:
        ref = await views.named_account(tx, caller.tenant, account_id)
        by = (await find_user(tx, caller.tenant, caller.user_id)).username
        await limit_account(
            tx, ref, floor=data.floor, ceiling=data.ceiling, reason=data.reason, by=by
        )
        return await _limits(tx, caller.tenant, account_id)

    return await uow.run(command)


@post(
    "/ledger/accounts/{account_id:uuid}/close",
    summary="Close an empty account",
    status_code=HTTP_200_OK,
    guards=_KEEPS,
    responses=refusals(Unauthenticated, Forbidden, NotFound, AccountInUse),
)
async def close(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], account_id: FromPath[UUID]
) -> AccountView:
    """Close an account for good. It must hold no money; closing it twice is no error."""

    async def command(tx: Tx) -> AccountView:
        await close_account(tx, await views.named_account(tx, caller.tenant, account_id))
        return await views.account_view(tx, caller.tenant, account_id)

    return await uow.run(command)


async def _history(tx: Tx, tenant: int, id_: UUID) -> BreakHistory:
    subject = await break_by_id(tx, tenant, id_)
    events = await events_of(tx, tenant, id_)
    return BreakHistory(
        subject=_break_view(subject),
        events=[msgspec.convert(event, BreakEventView, from_attributes=True) for event in events],
    )


async def _limits(tx: Tx, tenant: int, account: UUID) -> LimitHistory:
    limits = await limits_of(tx, await views.named_account(tx, tenant, account))
    return LimitHistory(
        items=[msgspec.convert(each, LimitHistoryItem, from_attributes=True) for each in limits]
    )


def _break_view(found: Break) -> BreakView:
    return msgspec.convert(found, BreakView, from_attributes=True)


OFFICER_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            list_mirrors,
            list_breaks,
            show_break,
            decide,
            show_trial_balance,
            list_days,
            show_account,
            list_limits,
            set_limit,
            close,
        ],
        tags=["Books"],
    )
]
