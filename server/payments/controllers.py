"""HTTP of the payments room."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, IdempotencyConflict, NotFound, Unauthenticated
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import UnitOfWork
from server.payments import history, top_ups
from server.payments.errors import PhoneUnconfirmed, TopUpTooLarge
from server.payments.gateway import CardGateway
from server.payments.models import TopUpRow
from server.payments.schemas import HistoryItem, TopUpCreate, TopUpView

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]


@post(
    "/top-ups",
    summary="Add money from a card",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        PhoneUnconfirmed,
        IdempotencyConflict,
        TopUpTooLarge,
        UnknownCurrency,
    ),
)
async def create_top_up(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cards: NamedDependency[CardGateway],
    data: JSONBody[TopUpCreate],
    idempotency_key: IdempotencyKey = None,
) -> TopUpView:
    """Charge a card and credit your available balance, once for each Idempotency-Key.

    ``pending`` means that the card company's answer was lost; ask again, or wait for it.
    """
    key = check_key(idempotency_key)
    return _view(await top_ups.top_up(uow, cards, caller, data, key=key))


@get(
    "/top-ups/{top_up_id:uuid}",
    summary="Look up a top-up",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_top_up(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], top_up_id: FromPath[UUID]
) -> TopUpView:
    """Say what became of one of your top-ups."""
    return _view(await uow.read(lambda tx: top_ups.find_top_up(tx, caller, top_up_id)))


@get(
    "/history",
    summary="What changed your available balance, newest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_history(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Annotated[str | None, QueryParameter(max_length=512)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> Page[HistoryItem]:
    """List changes in all your currencies; ``next_cursor`` fetches the ones before."""
    return await uow.read(lambda tx: history.page(tx, caller, cursor=cursor, limit=limit))


def _view(row: TopUpRow) -> TopUpView:
    return msgspec.convert(row, TopUpView, from_attributes=True)


PAYMENT_ROUTES = [
    Router(
        "/v1",
        route_handlers=[create_top_up, show_top_up, show_history],
        guards=[may("own_money")],
        tags=["Payments"],
    )
]
