"""HTTP of balances that are shown. Nothing here decides about money, so a cache may be asked."""

from datetime import datetime, timedelta
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter, SkipValidation

from server.identity import may
from server.kit.auth import Caller
from server.kit.cache import BALANCE_TTL, Cache
from server.kit.documentation import refusals
from server.kit.errors import Forbidden, Unauthenticated
from server.kit.schema import in_utc
from server.kit.unit_of_work import UnitOfWork
from server.ledger import Times
from server.offline import queries
from server.offline.schemas import BalanceList

MaxAge = Annotated[int, QueryParameter(ge=0, le=int(BALANCE_TTL.total_seconds()))]


@get(
    "/balances",
    summary="Your money, online and offline",
    guards=[may("own_money")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_balances(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cache: NamedDependency[SkipValidation[Cache]],
    at: FromQuery[datetime | None] = None,
    by: FromQuery[Times] = Times.RECORDED,
    max_age_s: MaxAge = 0,
) -> BalanceList:
    """List your balance in every currency; ``offline`` is what your open vouchers still back.

    With ``at`` it is what you had at that instant: by the time at which movements were recorded, or
    by the time at which they took effect. With ``max_age_s``, for screens that ask often, it may be
    so many seconds old; ``as_of`` says when it was true.
    """
    if at is not None:
        when = in_utc(at, field="at")
        return await uow.read(lambda tx: queries.balances_then(tx, caller, when, by))
    if not max_age_s:
        return await uow.read(lambda tx: queries.balances(tx, caller))
    shown = await cache.cached(
        f"balances/{caller.tenant}/{caller.user_id}",
        timedelta(seconds=max_age_s),
        lambda: uow.read(lambda tx: queries.balances(tx, caller)),
        BalanceList,
    )
    return shown.value
