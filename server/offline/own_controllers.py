"""HTTP of what users do with their own offline money beside spending it."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, IdempotencyConflict, Unauthenticated, Unavailable
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import InsufficientFunds
from server.offline import collateral
from server.offline.domain import DEFAULT_POLICY, OfflinePolicy
from server.offline.errors import CollateralBound, DebtOutstanding, SettlementUnsound
from server.offline.oversight_schemas import (
    CollateralChange,
    CollateralList,
    CollateralView,
    StatementLine,
)
from server.offline.policy import policy_in_force
from server.offline.statements import statement_page

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
_CHANGE_REFUSALS = (
    *BODY_REFUSALS,
    Unauthenticated,
    Forbidden,
    IdempotencyConflict,
    UnknownCurrency,
    Unavailable,
    SettlementUnsound,
)


@get(
    "/offline/collateral",
    summary="What you have set aside",
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_collateral(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> CollateralList:
    """List your collateral by currency, and what of it is free to come back."""

    async def look(tx: Tx) -> CollateralList:
        rules = await policy_in_force(tx, caller.tenant)
        found = await collateral.collateral_of(tx, caller.tenant, caller.user_id)
        return CollateralList(
            items=[
                collateral.view_of(
                    code, each, rules.limits(code).balance_with(each.set_aside - each.used)
                )
                for code, each in found.items()
            ]
        )

    return await uow.read(look)


@post(
    "/offline/collateral/deposits",
    summary="Set money aside",
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE_REFUSALS, DebtOutstanding, InsufficientFunds),
)
async def set_collateral_aside(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    policy: NamedDependency[OfflinePolicy],
    data: JSONBody[CollateralChange],
    idempotency_key: IdempotencyKey = None,
) -> CollateralView:
    """Move available money to your collateral, once for each Idempotency-Key.

    Your devices may then hold more. It pays your debts before anything else does.
    """
    key = check_key(idempotency_key)
    return await collateral.set_aside(uow, policy, caller, data, key=key)


@post(
    "/offline/collateral/withdrawals",
    summary="Take collateral back",
    status_code=HTTP_200_OK,
    responses=refusals(*_CHANGE_REFUSALS, CollateralBound),
)
async def take_collateral_back(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    policy: NamedDependency[OfflinePolicy],
    data: JSONBody[CollateralChange],
    idempotency_key: IdempotencyKey = None,
) -> CollateralView:
    """Move collateral that nothing depends on to your balance, once for each Idempotency-Key."""
    key = check_key(idempotency_key)
    return await collateral.take_back(uow, policy, caller, data, key=key)


@get(
    "/offline/statement",
    summary="Every step of your offline money, newest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_statement(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Annotated[str | None, QueryParameter(max_length=512)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> Page[StatementLine]:
    """List what was issued, paid, claimed, credited, reduced, contested and recovered.

    Each step names the ledger entries that moved money for it.
    """
    return await uow.read(
        lambda tx: statement_page(tx, caller.tenant, caller.user_id, cursor=cursor, limit=limit)
    )


def built_in_policy() -> OfflinePolicy:
    """Return the policy of tenants that have stored none."""
    return DEFAULT_POLICY


OWN_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            show_collateral,
            set_collateral_aside,
            take_collateral_back,
            show_statement,
        ],
        guards=[may("own_money")],
        dependencies={"policy": Provide(built_in_policy, sync_to_thread=False)},
        tags=["Offline money"],
    )
]
