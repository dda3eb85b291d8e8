"""HTTP of the limits."""

from typing import Annotated

from litestar import Router, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from server.identity import find_user, may
from server.identity.errors import UsernameInvalid
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.documents import DocumentChanged
from server.kit.errors import Conflict, Forbidden, NotFound, Unauthenticated
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.limits import officers
from server.payments.limits.errors import LimitsInvalid
from server.payments.limits.schemas import (
    LevelSet,
    LevelView,
    LimitsView,
    RulesChange,
    RulesVersion,
)
from server.payments.limits.views import limits_view


@get(
    "/limits",
    summary="Your limits, and what is left of them",
    guards=[may("own_money")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_limits(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> LimitsView:
    """List the limits of your level by kind of movement, for the day and for the month."""
    return await uow.read(lambda tx: limits_view(tx, caller.tenant, caller.user_id))


@get(
    "/limits/rules",
    summary="The limits of all levels",
    guards=[may("set_limits")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_rules(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> RulesVersion:
    """Return the limits in force; version 0 is the built-in one."""
    return await uow.read(lambda tx: officers.rules_now(tx, caller.tenant))


@get(
    "/limits/rules/versions",
    summary="All limits that were ever set",
    guards=[may("set_limits")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_rules(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    before: Annotated[int | None, QueryParameter(ge=1, le=2**31 - 1)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> Page[RulesVersion]:
    """List stored versions, the newest first; ``next_cursor`` is the next page's ``before``."""
    return await uow.read(
        lambda tx: officers.rules_page(tx, caller.tenant, before=before, limit=limit)
    )


@put(
    "/limits/rules",
    summary="Change the limits",
    guards=[may("set_limits")],
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, DocumentChanged, LimitsInvalid),
)
async def change_rules(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[RulesChange],
) -> RulesVersion:
    """Store a new version of all limits; what was used so far stays counted."""

    async def command(tx: Tx) -> RulesVersion:
        by = (await find_user(tx, caller.tenant, caller.user_id)).username
        return await officers.change_rules(tx, caller.tenant, data, by=by)

    return await uow.run(command)


@put(
    "/limits/levels/{username:str}",
    summary="Give a person a level",
    guards=[may("set_limits")],
    responses=refusals(
        *BODY_REFUSALS, Unauthenticated, Forbidden, NotFound, Conflict, UsernameInvalid
    ),
)
async def set_level(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    username: FromPath[str],
    data: JSONBody[LevelSet],
) -> LevelView:
    """Give a person a level from now on; who had which level, and why, stays on record."""

    async def command(tx: Tx) -> LevelView:
        by = (await find_user(tx, caller.tenant, caller.user_id)).username
        return await officers.give_level(tx, caller.tenant, username, data, by=by)

    return await uow.run(command)


LIMIT_ROUTES = [
    Router(
        "/v1",
        route_handlers=[show_limits, show_rules, list_rules, change_rules, set_level],
        tags=["Limits"],
    )
]
