"""HTTP of transfers."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.datastructures import State as AppState
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter

from server.fx.errors import QuoteExpired, QuoteMismatch, QuoteTaken, QuoteUnknown
from server.identity import may
from server.kit.auth import Caller, caller_of
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import (
    Forbidden,
    IdempotencyConflict,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX, Page
from server.ledger import AccountClosed, InsufficientFunds
from server.payments.errors import PhoneUnconfirmed
from server.payments.limits import LimitExceeded, LimitRateUnknown
from server.payments.transfers import listing, pay_codes, recipients, refunding
from server.payments.transfers.errors import (
    NoteInvalid,
    PayCodeInvalid,
    RecipientUnknown,
    RefundRefused,
    SelfTransfer,
    TooManyPending,
    TransferDecided,
)
from server.payments.transfers.listing import Direction, State
from server.payments.transfers.schemas import (
    PayCode,
    RecipientLookup,
    RecipientView,
    RefundCreate,
    TransferCreate,
    TransferView,
)
from server.payments.transfers.service import Transfers
from server.payments.transfers.views import own_transfer

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]
Cursor = Annotated[str | None, QueryParameter(max_length=64)]
Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
Picture = Annotated[Literal["svg", "png"], QueryParameter(name="format")]
_MEDIA_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
MONEY_REFUSALS = (
    PhoneUnconfirmed,
    IdempotencyConflict,
    InsufficientFunds,
    AccountClosed,
    LimitExceeded,
    LimitRateUnknown,
    Unavailable,
)


@post(
    "/transfers",
    summary="Send money to somebody",
    responses=refusals(
        *BODY_REFUSALS,
        *MONEY_REFUSALS,
        Unauthenticated,
        Forbidden,
        RecipientUnknown,
        SelfTransfer,
        NoteInvalid,
        PayCodeInvalid,
        TooManyPending,
        UnknownCurrency,
        QuoteUnknown,
        QuoteTaken,
        QuoteExpired,
        QuoteMismatch,
    ),
)
async def create_transfer(
    request: Request[Caller, object, AppState],
    transfers: NamedDependency[Transfers],
    data: JSONBody[TransferCreate],
    idempotency_key: IdempotencyKey = None,
) -> TransferView:
    """Send money by phone number, e-mail address, username, id or QR code, once for each key.

    The answer under a key is final, also a refusal: to try again later, use a fresh key. Money to
    an address that nobody has confirmed waits there, and comes back when nobody registers.
    """
    # The busiest route: for two dependencies Litestar would start two tasks.
    return await transfers.send(caller_of(request), data, key=check_key(idempotency_key))


@get(
    "/transfers",
    summary="Your transfers, newest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_transfers(
    *,
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    direction: FromQuery[Direction | None] = None,
    transfer_state: Annotated[State | None, QueryParameter(name="state")] = None,
    currency: Annotated[str | None, QueryParameter(max_length=10)] = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Page[TransferView]:
    """List what you sent and received; ``until`` itself is not in it."""
    return await transfers.uow.read(
        lambda tx: listing.transfers_page(
            tx,
            transfers.desk,
            caller.user_id,
            direction=direction,
            state=transfer_state,
            currency=currency,
            since=listing.aware(since),
            until=listing.aware(until),
            cursor=cursor,
            limit=limit,
        )
    )


@get(
    "/transfers/{transfer_id:uuid}",
    summary="Look up a transfer",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_transfer(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    transfer_id: FromPath[UUID],
) -> TransferView:
    """Show a transfer that you sent or received."""
    return await transfers.uow.read(
        lambda tx: own_transfer(tx, transfers.desk, caller.user_id, transfer_id)
    )


@post(
    "/transfers/{transfer_id:uuid}/cancel",
    summary="Take back a transfer that waits for somebody to register",
    responses=refusals(Unauthenticated, Forbidden, NotFound, TransferDecided, AccountClosed),
    status_code=200,
)
async def cancel_transfer(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    transfer_id: FromPath[UUID],
) -> TransferView:
    """Give the money back to yourself, unless it was claimed meanwhile."""
    return await transfers.cancel(caller, transfer_id)


@post(
    "/transfers/{transfer_id:uuid}/refunds",
    summary="Give back part or all of a transfer",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        IdempotencyConflict,
        InsufficientFunds,
        AccountClosed,
        NoteInvalid,
        RefundRefused,
    ),
)
async def create_refund(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    transfer_id: FromPath[UUID],
    data: JSONBody[RefundCreate],
    idempotency_key: IdempotencyKey = None,
) -> TransferView:
    """Refund a transfer that you received, in the currency you received, once for each key."""
    key = check_key(idempotency_key)
    return await transfers.uow.run(
        lambda tx: refunding.refund(tx, transfers.desk, caller, transfer_id, data, key=key)
    )


@post(
    "/recipients",
    summary="Who would receive this?",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        RecipientUnknown,
        PayCodeInvalid,
        TooManyRequests,
    ),
    status_code=200,
)
async def find_recipient(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    data: JSONBody[RecipientLookup],
) -> RecipientView:
    """Show enough of a name to recognise a friend. Only a few lookups in an hour are answered."""
    return await recipients.resolve(transfers.uow, transfers.desk, caller.user_id, data.to)


@get(
    "/me/pay-code",
    summary="The text of your QR code",
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_pay_code(
    transfers: NamedDependency[Transfers], caller: NamedDependency[Caller]
) -> PayCode:
    """Show what somebody scans to send you money. It never changes."""
    return PayCode(pay_code=pay_codes.user_code(transfers.desk.vault, caller.user_id))


@get(
    "/me/qr",
    summary="Your QR code as a picture",
    responses=refusals(Unauthenticated, Forbidden),
    media_type="image/svg+xml",
)
async def show_own_qr(
    transfers: NamedDependency[Transfers],
    caller: NamedDependency[Caller],
    picture: Picture = "svg",
) -> Response[bytes]:
    """Draw the code that somebody scans to send you money."""
    return qr_response(pay_codes.user_code(transfers.desk.vault, caller.user_id), picture)


def qr_response(text: str, picture: Literal["svg", "png"]) -> Response[bytes]:
    return Response(pay_codes.picture(text, picture), media_type=_MEDIA_TYPES[picture])


TRANSFER_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            create_transfer,
            list_transfers,
            show_transfer,
            cancel_transfer,
            create_refund,
            find_recipient,
            show_pay_code,
            show_own_qr,
        ],
        guards=[may("own_money")],
        tags=["Transfers"],
    )
]
