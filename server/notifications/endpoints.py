"""Addresses of customers' servers, and their secrets."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from msgspec import UNSET, convert
from sqlalchemy import delete, func, select, update

from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.errors import NotFound
from server.kit.outbox import told_to_users
from server.kit.unit_of_work import Tx
from server.notifications.destinations import check_address
from server.notifications.errors import TooManyWebhooks, UnknownEventType
from server.notifications.models import (
    WebhookAttemptRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)
from server.notifications.schemas import (
    WebhookChange,
    WebhookCreate,
    WebhookMade,
    WebhookSecret,
    WebhookView,
)
from server.notifications.signing import SECRET_BYTES, shown_secret

ENDPOINTS_MAX: Final = 10
OLD_SECRET_LIFE: Final = timedelta(hours=24)
_NONCE_BYTES: Final = 24


async def make_endpoint(
    tx: Tx, caller: Caller, data: WebhookCreate, *, vault: Vault, private: bool
) -> WebhookMade:
    """Register an address and make its secret.

    Raises:
        WebhookAddressRefused: webhooks do not go there.
        UnknownEventType: a type does not exist, or is not for users.
        TooManyWebhooks: the caller has ``ENDPOINTS_MAX`` already.
    """
    check_address(data.url, private=private)
    _check_types(data.types)
    count = await tx.session.scalar(
        select(func.count()).where(
            WebhookEndpointRow.tenant == caller.tenant,
            WebhookEndpointRow.user_id == caller.user_id,
        )
    )
    if (count or 0) >= ENDPOINTS_MAX:
        raise TooManyWebhooks(
            f"You have {ENDPOINTS_MAX} addresses.", fix="Remove one that you need no longer."
        )
    endpoint_id, secret = tx.ids.uuid(), tx.ids.token(SECRET_BYTES)
    row = WebhookEndpointRow(
        tenant=caller.tenant,
        id=endpoint_id,
        user_id=caller.user_id,
        url=data.url,
        description=data.description,
        types=sorted(set(data.types)),
        state="active",
        secret_sealed=_seal(tx, vault, caller.tenant, endpoint_id, secret),
        not_before=tx.now,
        pauses=0,
        created_at=tx.now,
    )
    tx.session.add(row)
    await tx.session.flush()
    return convert({**_fields(row), "secret": shown_secret(secret)}, WebhookMade)


async def endpoints_of(tx: Tx, caller: Caller) -> list[WebhookView]:
    rows = await tx.session.scalars(
        select(WebhookEndpointRow)
        .where(
            WebhookEndpointRow.tenant == caller.tenant,
            WebhookEndpointRow.user_id == caller.user_id,
        )
        .order_by(WebhookEndpointRow.id)
    )
    return [convert(_fields(row), WebhookView) for row in rows]


async def own_endpoint(
    tx: Tx, caller: Caller, endpoint_id: UUID, *, lock: bool = False
) -> WebhookEndpointRow:
    """Return an address of the caller.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    query = select(WebhookEndpointRow).where(
        WebhookEndpointRow.tenant == caller.tenant,
        WebhookEndpointRow.id == endpoint_id,
        WebhookEndpointRow.user_id == caller.user_id,
    )
    row = await tx.session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound("You have no such webhook address.")
    return row


async def change_endpoint(
    tx: Tx, caller: Caller, endpoint_id: UUID, data: WebhookChange, *, private: bool
) -> WebhookView:
    """Change what is given. Raises as `make_endpoint` and `own_endpoint` do."""
    row = await own_endpoint(tx, caller, endpoint_id, lock=True)
    if data.url is not UNSET:
        check_address(data.url, private=private)
        row.url = data.url
    if data.types is not UNSET:
        _check_types(data.types)
        row.types = sorted(set(data.types))
    if data.description is not UNSET:
        row.description = data.description
    if data.state is not UNSET:
        row.state = data.state
    if row.state == "disabled":
        await hold_messages(tx, row)
    else:
        row.failing_since, row.pauses, row.not_before = None, 0, tx.now
    await tx.session.flush()
    return convert(_fields(row), WebhookView)


async def hold_messages(tx: Tx, row: WebhookEndpointRow) -> None:
    """Keep what waits for an address that is off; it is sent when its owner asks for it."""
    await tx.session.execute(
        update(WebhookDeliveryRow)
        .where(
            WebhookDeliveryRow.tenant == row.tenant,
            WebhookDeliveryRow.endpoint_id == row.id,
            WebhookDeliveryRow.state == "waiting",
        )
        .values(state="held")
    )


async def replace_secret(
    tx: Tx, caller: Caller, endpoint_id: UUID, *, vault: Vault
) -> WebhookSecret:
    """Make a new secret; for ``OLD_SECRET_LIFE`` messages are signed with the old one too."""
    row = await own_endpoint(tx, caller, endpoint_id, lock=True)
    secret = tx.ids.token(SECRET_BYTES)
    row.old_secret_sealed = row.secret_sealed
    row.old_secret_until = tx.now + OLD_SECRET_LIFE
    row.secret_sealed = _seal(tx, vault, row.tenant, row.id, secret)
    await tx.session.flush()
    return WebhookSecret(secret=shown_secret(secret), old_secret_until=row.old_secret_until)


async def remove_endpoint(tx: Tx, caller: Caller, endpoint_id: UUID) -> None:
    """Remove an address, its messages and their log."""
    row = await own_endpoint(tx, caller, endpoint_id, lock=True)
    messages = select(WebhookDeliveryRow.id).where(
        WebhookDeliveryRow.tenant == row.tenant, WebhookDeliveryRow.endpoint_id == row.id
    )
    await tx.session.execute(
        delete(WebhookAttemptRow).where(
            WebhookAttemptRow.tenant == row.tenant, WebhookAttemptRow.delivery_id.in_(messages)
        )
    )
    await tx.session.execute(
        delete(WebhookDeliveryRow).where(
            WebhookDeliveryRow.tenant == row.tenant, WebhookDeliveryRow.endpoint_id == row.id
        )
    )
    await tx.session.delete(row)


def secrets_of(tx: Tx, vault: Vault, row: WebhookEndpointRow) -> list[bytes]:
    """Return the secrets that sign now, the newest first."""
    sealed = [row.secret_sealed]
    if row.old_secret_sealed and row.old_secret_until and tx.now < row.old_secret_until:
        sealed.append(row.old_secret_sealed)
    return [vault.open(value, _context(row.tenant, row.id)) for value in sealed]


def _check_types(types: list[str]) -> None:
    unknown = sorted(set(types) - told_to_users())
    if unknown:
        raise UnknownEventType(
            f"There is no event {unknown[0]!r} for you.",
            fix="The types are listed in the reference of events; leave them out to get all.",
            field="types",
        )


def _fields(row: WebhookEndpointRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in WebhookView.__struct_fields__}


def _seal(tx: Tx, vault: Vault, tenant: int, endpoint_id: UUID, secret: bytes) -> bytes:
    return vault.seal(secret, _context(tenant, endpoint_id), nonce=tx.ids.token(_NONCE_BYTES))


def _context(tenant: int, endpoint_id: UUID) -> str:
    return f"webhook_endpoint/{tenant}/{endpoint_id}"
