"""HTTP of requests for money."""

from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get, post
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
from server.payments.transfers import pay_codes, paying, request_views
from server.payments.transfers.controllers import (
    MONEY_REFUSALS,
    Cursor,
    IdempotencyKey,
    Limit,
    Picture,
    qr_response,
)
from server.payments.transfers.errors import (
    NoteInvalid,
    PayCodeInvalid,
    RecipientUnknown,
    RequestAmount,
    RequestClosed,
    SelfTransfer,
    TooManyRequested,
)
from server.payments.transfers.request_views import Role
from server.payments.transfers.schemas import (
    MoneyRequestCreate,
    MoneyRequestPayment,
    MoneyRequestView,
    TransferView,
)
from server.payments.transfers.service import Transfers


@post(
    "/money-requests",
    summary="Ask for money",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        IdempotencyConflict,
        NoteInvalid,
        PayCodeInvalid,
        RecipientUnknown,
        SelfTransfer,
        TooManyRequested,
        TooManyRequests,
        UnknownCurrency,
    ),
)
async def create_money_request(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    data: JSONBody[MoneyRequestCreate],
    idempotency_key: IdempotencyKey = None,
) -> MoneyRequestView:
    """Ask somebody, or whoever is shown the QR code, once for each key. It is paid at most once."""
    return await transfers.ask(caller, data, key=check_key(idempotency_key))


@get(
    "/money-requests",
    summary="Requests that you made or got, newest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_money_requests(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    role: Annotated[Role, QueryParameter()] = "payer",
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[MoneyRequestView]:
    """List requests; as ``payer`` those that you got or paid."""
    return await transfers.uow.read(
        lambda tx: request_views.page(
            tx, transfers.desk, caller.user_id, role=role, cursor=cursor, limit=limit
        )
    )


@get(
    "/money-requests/{request_id:uuid}",
    summary="Look up a request for money",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_money_request(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    request_id: FromPath[UUID],
) -> MoneyRequestView:
    """Show a request that you made or got, or whose code you were shown."""
    return await transfers.uow.read(
        lambda tx: request_views.show(tx, transfers.desk, caller.user_id, request_id)
    )


@get(
    "/money-requests/scanned/{pay_code:str}",
    summary="The request that a QR code is of",
    responses=refusals(Unauthenticated, Forbidden, NotFound, PayCodeInvalid),
)
async def show_scanned_request(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    pay_code: FromPath[str],
) -> MoneyRequestView:
    """Show what to pay before paying it."""
    request_id = request_views.scanned(transfers.desk, pay_code)
    return await transfers.uow.read(
        lambda tx: request_views.show(tx, transfers.desk, caller.user_id, request_id)
    )


@get(
    "/money-requests/{request_id:uuid}/qr",
    summary="The QR code of a request, as a picture",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
    media_type="image/svg+xml",
)
async def show_request_qr(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    request_id: FromPath[UUID],
    picture: Picture = "svg",
) -> Response[bytes]:
    """Draw the code that somebody scans to pay the request."""
    found = await transfers.uow.read(
        lambda tx: request_views.show(tx, transfers.desk, caller.user_id, request_id)
    )
    return qr_response(pay_codes.request_code(transfers.desk.vault, found.id), picture)


@post(
    "/money-requests/{request_id:uuid}/pay",
    summary="Pay a request",
    responses=refusals(
        *BODY_REFUSALS,
        *MONEY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        NoteInvalid,
        RecipientUnknown,
        RequestAmount,
        RequestClosed,
        SelfTransfer,
    ),
)
async def pay_money_request(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    request_id: FromPath[UUID],
    data: JSONBody[MoneyRequestPayment],
    idempotency_key: IdempotencyKey = None,
) -> TransferView:
    """Send the money that was asked for. A request is paid once, whoever tries how often."""
    key = check_key(idempotency_key)
    return await transfers.uow.run(
        lambda tx: paying.pay(tx, transfers.desk, caller, request_id, data, key=key)
    )


@post(
    "/money-requests/{request_id:uuid}/decline",
    summary="Decline a request that you got",
    responses=refusals(Unauthenticated, Forbidden, NotFound, RequestClosed),
    status_code=200,
)
async def decline_money_request(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    request_id: FromPath[UUID],
) -> MoneyRequestView:
    """Say no; the request is closed."""
    return await transfers.uow.run(
        lambda tx: paying.close(tx, transfers.desk, caller, request_id, role="payer")
    )


@post(
    "/money-requests/{request_id:uuid}/cancel",
    summary="Cancel a request that you made",
    responses=refusals(Unauthenticated, Forbidden, NotFound, RequestClosed),
    status_code=200,
)
async def cancel_money_request(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    request_id: FromPath[UUID],
) -> MoneyRequestView:
    """Take the request back; nobody can pay it any longer."""
    return await transfers.uow.run(
        lambda tx: paying.close(tx, transfers.desk, caller, request_id, role="requester")
    )


REQUEST_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            create_money_request,
            list_money_requests,
            show_money_request,
            show_scanned_request,
            show_request_qr,
            pay_money_request,
            decline_money_request,
            cancel_money_request,
        ],
        guards=[may("own_money")],
        tags=["Requests for money"],
    )
]
