"""HTTP of the emergency balance."""

from typing import Annotated

from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, IdempotencyConflict, Unauthenticated
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.unit_of_work import UnitOfWork
from server.ledger import InsufficientFunds
from server.payments.emergency.errors import SignInAgain
from server.payments.emergency.locking import lock_money, unlock_money
from server.payments.emergency.schemas import EmergencyMove, EmergencyView

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
_REFUSALS = (
    *BODY_REFUSALS,
    Unauthenticated,
    Forbidden,
    IdempotencyConflict,
    InsufficientFunds,
    UnknownCurrency,
)


@post(
    "/emergency-balance/lock",
    summary="Lock money away",
    status_code=HTTP_200_OK,
    responses=refusals(*_REFUSALS),
)
async def lock(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[EmergencyMove],
    idempotency_key: IdempotencyKey = None,
) -> EmergencyView:
    """Move money out of the reach of ordinary payments, once for each Idempotency-Key."""
    return await lock_money(uow, caller, data, key=check_key(idempotency_key))


@post(
    "/emergency-balance/unlock",
    summary="Unlock money",
    status_code=HTTP_200_OK,
    responses=refusals(*_REFUSALS, SignInAgain),
)
async def unlock(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[EmergencyMove],
    idempotency_key: IdempotencyKey = None,
) -> EmergencyView:
    """Make locked money available again, with a session that began in the last ten minutes."""
    return await unlock_money(uow, caller, data, key=check_key(idempotency_key))


EMERGENCY_ROUTES = [
    Router(
        "/v1", route_handlers=[lock, unlock], guards=[may("own_money")], tags=["Emergency balance"]
    )
]
