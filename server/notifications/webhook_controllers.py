"""HTTP for customers: where their servers are told, what was sent, and sending it again."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from server.identity import may
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, NotFound, Unauthenticated
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import UnitOfWork
from server.notifications import deliveries, endpoints
from server.notifications.errors import (
    TooManyWebhooks,
    UnknownEventType,
    WebhookAddressRefused,
    WebhookDisabled,
)
from server.notifications.schemas import (
    DeliveryDetail,
    DeliveryView,
    WebhookChange,
    WebhookCreate,
    WebhookMade,
    WebhookReplay,
    WebhookReplayed,
    WebhookSecret,
    WebhookView,
)
from server.settings import Settings

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
_OWN = (Unauthenticated, Forbidden, NotFound)


@post(
    "/",
    summary="Have your server told",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        WebhookAddressRefused,
        UnknownEventType,
        TooManyWebhooks,
    ),
)
async def create_webhook(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    vault: NamedDependency[Vault],
    settings: NamedDependency[Settings],
    data: JSONBody[WebhookCreate],
) -> WebhookMade:
    """Register an address; the answer shows the secret for its signatures, this once."""
    return await uow.run(
        lambda tx: endpoints.make_endpoint(
            tx, caller, data, vault=vault, private=settings.webhook_private
        )
    )


@get("/", summary="Your webhook addresses", responses=refusals(Unauthenticated, Forbidden))
async def list_webhooks(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> Page[WebhookView]:
    """List your addresses; there are at most ten."""
    return Page(items=await uow.read(lambda tx: endpoints.endpoints_of(tx, caller)))


@patch(
    "/{endpoint_id:uuid}",
    summary="Change a webhook address",
    responses=refusals(*BODY_REFUSALS, *_OWN, WebhookAddressRefused, UnknownEventType),
)
async def change_webhook(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
    endpoint_id: FromPath[UUID],
    data: JSONBody[WebhookChange],
) -> WebhookView:
    """Change what is given, switch it off or on again."""
    return await uow.run(
        lambda tx: endpoints.change_endpoint(
            tx, caller, endpoint_id, data, private=settings.webhook_private
        )
    )


@delete("/{endpoint_id:uuid}", summary="Remove a webhook address", responses=refusals(*_OWN))
async def remove_webhook(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], endpoint_id: FromPath[UUID]
) -> None:
    """Remove an address with its messages and their log."""
    await uow.run(lambda tx: endpoints.remove_endpoint(tx, caller, endpoint_id))


@post(
    "/{endpoint_id:uuid}/secret",
    summary="Replace the secret of a webhook address",
    status_code=HTTP_200_OK,
    responses=refusals(*_OWN),
)
async def replace_secret(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    vault: NamedDependency[Vault],
    endpoint_id: FromPath[UUID],
) -> WebhookSecret:
    """Make a new secret; messages are signed with both for a day."""
    return await uow.run(lambda tx: endpoints.replace_secret(tx, caller, endpoint_id, vault=vault))


@post(
    "/{endpoint_id:uuid}/test",
    summary="Send a message that means nothing",
    status_code=HTTP_202_ACCEPTED,
    responses=refusals(*_OWN, WebhookDisabled),
)
async def test_webhook(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], endpoint_id: FromPath[UUID]
) -> DeliveryView:
    """Send a ``webhook.test``; look at its log for what your server answered."""
    return await uow.run(lambda tx: deliveries.send_test(tx, caller, endpoint_id))


@get(
    "/{endpoint_id:uuid}/deliveries",
    summary="What was sent to an address",
    responses=refusals(*_OWN),
)
async def list_deliveries(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    endpoint_id: FromPath[UUID],
    wanted: Annotated[
        Literal["waiting", "delivered", "failed", "held"] | None, QueryParameter(name="state")
    ] = None,
    cursor: Annotated[UUID | None, QueryParameter()] = None,
    limit: Limit = 50,
) -> Page[DeliveryView]:
    """List messages of the last 30 days, the newest first."""
    found = await uow.read(
        lambda tx: deliveries.deliveries_of(
            tx, caller, endpoint_id, state=wanted, before=cursor, limit=limit + 1
        )
    )
    more = len(found) > limit
    return Page(items=found[:limit], next_cursor=str(found[limit - 1].id) if more else None)


@get(
    "/{endpoint_id:uuid}/deliveries/{delivery_id:uuid}",
    summary="One message and every attempt to send it",
    responses=refusals(*_OWN),
)
async def show_delivery(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    endpoint_id: FromPath[UUID],
    delivery_id: FromPath[UUID],
) -> DeliveryDetail:
    """Show the message with status, duration and first bytes of each answer."""
    return await uow.read(
        lambda tx: deliveries.delivery_detail(tx, caller, endpoint_id, delivery_id)
    )


@post(
    "/{endpoint_id:uuid}/deliveries/{delivery_id:uuid}/replay",
    summary="Send a message again",
    status_code=HTTP_202_ACCEPTED,
    responses=refusals(*_OWN, WebhookDisabled),
)
async def replay_delivery(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    endpoint_id: FromPath[UUID],
    delivery_id: FromPath[UUID],
) -> DeliveryView:
    """Send it once more under the same ``webhook-id``, also when it was delivered."""
    return await uow.run(lambda tx: deliveries.send_again(tx, caller, endpoint_id, delivery_id))


@post(
    "/{endpoint_id:uuid}/replays",
    summary="Send the messages of a span of time again",
    status_code=HTTP_202_ACCEPTED,
    responses=refusals(*BODY_REFUSALS, *_OWN, WebhookDisabled),
)
async def replay_deliveries(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    endpoint_id: FromPath[UUID],
    data: JSONBody[WebhookReplay],
) -> WebhookReplayed:
    """Send again what failed or was held, or also what was delivered, from a moment to another."""
    count = await uow.run(lambda tx: deliveries.send_span_again(tx, caller, endpoint_id, data))
    return WebhookReplayed(count=count)


WEBHOOK_ROUTES = [
    Router(
        "/v1/webhook-endpoints",
        route_handlers=[
            create_webhook,
            list_webhooks,
            change_webhook,
            remove_webhook,
            replace_secret,
            test_webhook,
            list_deliveries,
            show_delivery,
            replay_delivery,
            replay_deliveries,
        ],
        guards=[may("own_money")],
        tags=["Webhooks"],
    )
]
