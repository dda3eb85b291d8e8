"""HTTP of card money for its owners: top-ups, refunds, disputes, debts, payees."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import (
    Forbidden,
    IdempotencyConflict,
    NotFound,
    Unauthenticated,
)
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import Page
from server.kit.unit_of_work import UnitOfWork
from server.ledger import InsufficientFunds
from server.payments.cards import payees, queries, refunds, top_ups
from server.payments.cards.desk_controllers import CARD_DESK_ROUTES
from server.payments.cards.errors import (
    AmountNotPayable,
    RefundTooLarge,
    TopUpTooLarge,
    TopUpUnsettled,
)
from server.payments.cards.schemas import (
    CardDebtView,
    CardDisputeView,
    CardPayeeView,
    RefundCreate,
    RefundView,
    TopUpCreate,
    TopUpView,
)
from server.payments.errors import PhoneUnconfirmed
from server.payments.gateway import CardGateway
from server.payments.limits import LimitExceeded, LimitRateUnknown

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
        AmountNotPayable,
        UnknownCurrency,
        LimitExceeded,
        LimitRateUnknown,
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
    ``requires_action`` means that you enter or confirm the card there, with the client secret.
    """
    key = check_key(idempotency_key)
    return await top_ups.top_up(uow, cards, caller, data, key=key)


@get(
    "/top-ups/{top_up_id:uuid}",
    summary="Look up a top-up",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_top_up(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cards: NamedDependency[CardGateway],
    top_up_id: FromPath[UUID],
) -> TopUpView:
    """Say what became of one of your top-ups."""
    return await top_ups.find_top_up(uow, cards, caller, top_up_id)


@post(
    "/top-ups/{top_up_id:uuid}/refunds",
    summary="Give a top-up back to its card",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        IdempotencyConflict,
        TopUpUnsettled,
        RefundTooLarge,
        InsufficientFunds,
    ),
)
async def create_refund(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cards: NamedDependency[CardGateway],
    top_up_id: FromPath[UUID],
    data: JSONBody[RefundCreate],
    idempotency_key: IdempotencyKey = None,
) -> RefundView:
    """Give part or all of it back, once for each Idempotency-Key, in as many parts as you like.

    The money is set aside at once, leaves when the card company has sent it, and is yours again if
    that fails, even weeks later.
    """
    key = check_key(idempotency_key)
    row = await refunds.refund_top_up(uow, cards, caller, top_up_id, data, key=key)
    return queries.refund_view(row)


@get(
    "/top-ups/{top_up_id:uuid}/refunds",
    summary="What was given back of a top-up",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def list_refunds(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], top_up_id: FromPath[UUID]
) -> Page[RefundView]:
    """List the refunds of one of your top-ups, the oldest first."""
    rows = await uow.read(lambda tx: refunds.refunds_of(tx, caller, top_up_id))
    return Page(items=[queries.refund_view(row) for row in rows])


@get(
    "/card-disputes",
    summary="Your card payments that are contested at the bank",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_own_disputes(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Page[CardDisputeView]:
    """List them, the newest first, each with what is set aside until it is decided."""
    found = await uow.read(lambda tx: queries.disputes_of(tx, caller.tenant, caller.user_id))
    return Page(items=found)


@get(
    "/card-debts",
    summary="What you owe after card money was taken back",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_own_debts(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Page[CardDebtView]:
    """List your card debts by currency. What you receive pays them first."""
    found = await uow.read(lambda tx: queries.debts_of(tx, caller.tenant, caller.user_id))
    return Page(items=found)


@get(
    "/card-payees",
    summary="Your bank accounts that are paid through the card company",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_own_payees(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Page[CardPayeeView]:
    """List them. A withdrawal names one by its id, like any other bank account."""
    return Page(items=await uow.read(lambda tx: payees.payees_of(tx, caller)))


CARD_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            create_top_up,
            show_top_up,
            create_refund,
            list_refunds,
            list_own_disputes,
            list_own_debts,
            list_own_payees,
        ],
        guards=[may("own_money")],
        tags=["Cards"],
    ),
    *CARD_DESK_ROUTES,
]
