"""HTTP for risk officers: the guarantee fund, links, tiers, debts, accounts, and the audit."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import (
    Forbidden,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from server.kit.idempotency import check_key
from server.kit.money import ASSETS, UnknownCurrency
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import UnitOfWork
from server.offline.debts import debts
from server.offline.deeds import deeds
from server.offline.errors import (
    AlreadyLinked,
    FundTooLow,
    NothingOwed,
    PolicyInvalid,
    SettlementUnsound,
)
from server.offline.links import links
from server.offline.oversight_schemas import (
    AccountOversight,
    DebtView,
    DeedView,
    FundChange,
    FundList,
    FundView,
    LinkCreate,
    LinkEnd,
    LinkView,
    StatementLine,
    TierChange,
    TierView,
    WriteOffCreate,
)
from server.offline.risk_service import RiskDesk
from server.offline.statements import statement_page

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
_READ = refusals(Unauthenticated, Forbidden)
_CHANGE = (*BODY_REFUSALS, Unauthenticated, Forbidden, Unavailable, SettlementUnsound)


@get(
    "/offline/fund",
    summary="The guarantee fund",
    guards=[may("oversee_offline")],
    responses=_READ,
)
async def show_fund(desk: NamedDependency[RiskDesk]) -> FundList:
    """Return balance, promises and what may be taken out, by currency."""
    return await desk.fund()


@post(
    "/offline/fund/endowments",
    summary="Put owners' money into the guarantee fund",
    guards=[may("offline_fund")],
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE, IdempotencyConflict, UnknownCurrency),
)
async def endow_fund(
    desk: NamedDependency[RiskDesk],
    data: JSONBody[FundChange],
    idempotency_key: IdempotencyKey = None,
) -> FundView:
    """Move an amount from the owners' capital into the fund, once for each Idempotency-Key."""
    return await desk.move_fund(data, sign=1, key=check_key(idempotency_key))


@post(
    "/offline/fund/withdrawals",
    summary="Take money out of the guarantee fund",
    guards=[may("offline_fund")],
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE, IdempotencyConflict, UnknownCurrency, FundTooLow),
)
async def withdraw_from_fund(
    desk: NamedDependency[RiskDesk],
    data: JSONBody[FundChange],
    idempotency_key: IdempotencyKey = None,
) -> FundView:
    """Move an amount back to the owners' capital; never what the fund has promised."""
    return await desk.move_fund(data, sign=-1, key=check_key(idempotency_key))


@get(
    "/offline/links",
    summary="Linked accounts",
    guards=[may("oversee_offline")],
    responses=_READ,
)
async def list_links(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Annotated[UUID | None, QueryParameter()] = None,
    limit: Limit = 50,
) -> Page[LinkView]:
    """List links, the ended ones too, in the order in which they were made."""
    found = await uow.read(lambda tx: links(tx, caller.tenant, after=cursor, limit=limit + 1))
    more = len(found) > limit
    return Page(items=found[:limit], next_cursor=str(found[limit - 1].id) if more else None)


@post(
    "/offline/links",
    summary="Link two accounts",
    guards=[may("offline_risk")],
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE, NotFound, AlreadyLinked),
)
async def create_link(desk: NamedDependency[RiskDesk], data: JSONBody[LinkCreate]) -> LinkView:
    """From now on neither is paid with what the other spends twice, in vouchers that are open."""
    return await desk.link(data)


@post(
    "/offline/links/{link_id:uuid}/end",
    summary="End a link",
    guards=[may("offline_risk")],
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE, NotFound),
)
async def close_link(
    desk: NamedDependency[RiskDesk], link_id: FromPath[UUID], data: JSONBody[LinkEnd]
) -> LinkView:
    """It stops to count in open vouchers; in closed ones it counts as it did at their claim-by."""
    return await desk.end_link(link_id, data.reason)


@get(
    "/offline/debts",
    summary="Who owes for double spending",
    guards=[may("oversee_offline")],
    responses=_READ,
)
async def list_debts(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Annotated[str | None, QueryParameter(max_length=64)] = None,
    limit: Limit = 50,
) -> Page[DebtView]:
    """List debts that are outstanding, by user and currency."""
    after = None if cursor is None else _debt_cursor(cursor)
    found = await uow.read(lambda tx: debts(tx, caller.tenant, after=after, limit=limit + 1))
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=found[:limit],
        next_cursor=None if last is None else f"{last.user_id}.{last.currency}",
    )


def _debt_cursor(cursor: str) -> tuple[UUID, str]:
    user, _, currency = cursor.partition(".")
    try:
        place = UUID(user), currency
    except ValueError:
        place = UUID(int=0), ""
    if place[1] not in ASSETS:
        raise InvalidRequest("The cursor is not one that this list gave.", field="cursor")
    return place


@get(
    "/offline/accounts/{user_id:uuid}",
    summary="What officers see of an account",
    guards=[may("oversee_offline")],
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_account(
    desk: NamedDependency[RiskDesk], user_id: FromPath[UUID]
) -> AccountOversight:
    """Return tier, debts, collateral, links and conflicts of an account."""
    return await desk.account(user_id)


@get(
    "/offline/accounts/{user_id:uuid}/statement",
    summary="The statement of an account, as its owner sees it",
    guards=[may("oversee_offline")],
    responses=_READ,
)
async def show_account_statement(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    user_id: FromPath[UUID],
    cursor: Annotated[str | None, QueryParameter(max_length=512)] = None,
    limit: Limit = 20,
) -> Page[StatementLine]:
    """List every step of somebody's offline money, the newest first."""
    return await uow.read(
        lambda tx: statement_page(tx, caller.tenant, user_id, cursor=cursor, limit=limit)
    )


@put(
    "/offline/accounts/{user_id:uuid}/tier",
    summary="Give an account a payee tier",
    guards=[may("offline_risk")],
    responses=refusals(*_CHANGE, NotFound, PolicyInvalid),
)
async def change_tier(
    desk: NamedDependency[RiskDesk], user_id: FromPath[UUID], data: JSONBody[TierChange]
) -> TierView:
    """The tier says how much of its credits is final at once, from its next credit on."""
    return await desk.give_tier(user_id, data)


@post(
    "/offline/accounts/{user_id:uuid}/write-offs",
    summary="Write a debt off",
    guards=[may("offline_risk")],
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE, NotFound, NothingOwed, UnknownCurrency, IdempotencyConflict),
)
async def create_write_off(
    desk: NamedDependency[RiskDesk],
    user_id: FromPath[UUID],
    data: JSONBody[WriteOffCreate],
    idempotency_key: IdempotencyKey = None,
) -> DebtView:
    """The books expect it no more. The user still owes it, and money that comes is still taken."""
    return await desk.write_off(user_id, data, key=check_key(idempotency_key))


@get(
    "/offline/audit",
    summary="Who decided what about offline money",
    guards=[may("oversee_offline")],
    responses=_READ,
)
async def list_deeds(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    before: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
    subject: Annotated[str | None, QueryParameter(max_length=96, pattern="^[!-~]*$")] = None,
    limit: Limit = 50,
) -> Page[DeedView]:
    """List deeds, the newest first; ``next_cursor`` is the next page's ``before``."""
    found = await uow.read(
        lambda tx: deeds(tx, caller.tenant, before=before, subject=subject, limit=limit + 1)
    )
    more = len(found) > limit
    return Page(items=found[:limit], next_cursor=str(found[limit - 1].seq) if more else None)


def _desk(uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]) -> RiskDesk:
    return RiskDesk(uow, caller)


RISK_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            show_fund,
            endow_fund,
            withdraw_from_fund,
            list_links,
            create_link,
            close_link,
            list_debts,
            show_account,
            show_account_statement,
            change_tier,
            create_write_off,
            list_deeds,
        ],
        dependencies={"desk": Provide(_desk, sync_to_thread=False)},
        tags=["Offline risk"],
    )
]
