"""HTTP for officers who look after card money, and for the card company itself."""

from typing import Annotated, Any

from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, JSONBody
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import (
    BodyTooLarge,
    Forbidden,
    IdempotencyConflict,
    NotFound,
    Unauthenticated,
)
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import Page
from server.kit.unit_of_work import UnitOfWork
from server.payments.cards import payees, queries, webhooks
from server.payments.cards.errors import PayeeTaken, WebhookUnsigned
from server.payments.cards.schemas import (
    CardDebtView,
    CardDisputeView,
    CardPayeeCreate,
    CardPayeeView,
    DebtWriteOff,
    WebhookAnswer,
)
from server.payments.gateway import CardGateway
from server.settings import Settings

WEBHOOK_BYTES_MAX = 262_144
IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
StripeSignature = Annotated[str | None, HeaderParameter(name="Stripe-Signature", max_length=4_096)]


@get(
    "/disputes",
    summary="All contested card payments",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_disputes(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Page[CardDisputeView]:
    """List them, the newest first, with the day by which evidence is due at the gateway."""
    return Page(items=await uow.read(lambda tx: queries.disputes_of(tx, caller.tenant)))


@get(
    "/debts",
    summary="Who owes after card money was taken back",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_debts(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Page[CardDebtView]:
    """List debtors, the largest debts first."""
    return Page(items=await uow.read(lambda tx: queries.debts_of(tx, caller.tenant)))


@post(
    "/debts/write-off",
    summary="Give up a card debt",
    status_code=HTTP_200_OK,
    responses=refusals(
        *BODY_REFUSALS, Unauthenticated, Forbidden, NotFound, IdempotencyConflict, UnknownCurrency
    ),
)
async def write_off_debt(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[DebtWriteOff],
    idempotency_key: IdempotencyKey = None,
) -> CardDebtView:
    """Book what a user still owes in a currency as the house's loss."""
    key = check_key(idempotency_key)
    return await uow.run(lambda tx: queries.write_off(tx, caller, data, key=key))


@post(
    "/payees",
    summary="Note whose a connected account is",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        PayeeTaken,
        IdempotencyConflict,
        UnknownCurrency,
    ),
)
async def add_payee(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    data: JSONBody[CardPayeeCreate],
    idempotency_key: IdempotencyKey = None,
) -> CardPayeeView:
    """Let a user withdraw to the bank account of their own account at the card company."""
    key = check_key(idempotency_key)
    return await uow.run(lambda tx: payees.add_payee(tx, caller, data, key=key))


@post(
    "/webhooks/stripe",
    summary="Events of the card company",
    opt={OPEN_ROUTE: True},
    status_code=HTTP_200_OK,
    request_max_body_size=WEBHOOK_BYTES_MAX,
    responses=refusals(WebhookUnsigned, NotFound, BodyTooLarge),
)
async def receive_webhook(
    request: Request[Any, Any, Any],
    uow: NamedDependency[UnitOfWork],
    cards: NamedDependency[CardGateway],
    settings: NamedDependency[Settings],
    stripe_signature: StripeSignature = None,
) -> WebhookAnswer:
    """Take in a signed event. The same event again is taken in again, and changes nothing."""
    await webhooks.take_webhook(
        uow,
        cards,
        tenant=settings.tenant,
        body=await request.body(),
        signature=stripe_signature,
    )
    return WebhookAnswer()


CARD_DESK_ROUTES = [
    Router(
        "/v1/card-desk",
        route_handlers=[list_disputes, list_debts, write_off_debt, add_payee],
        guards=[may("oversee_cards")],
        tags=["Cards"],
    ),
    Router("/v1", route_handlers=[receive_webhook], tags=["Cards"]),
]
