"""Sends what is due to customers' servers, and comes again for days.

A message is leased, sent with no transaction open, and then noted; a crash between the two sends it
twice, under the same id. One address gets at most ``AT_ONCE_EACH`` messages at a time, and is left
alone for a while after each failure, so that a server that hangs holds up nobody but itself.
"""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Row, func, select

from server.identity import write_to_user
from server.kit.crypto import Vault
from server.kit.outbox import emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.notifications.destinations import Courier, Sent
from server.notifications.endpoints import hold_messages, secrets_of
from server.notifications.events import WebhookSwitchedOff
from server.notifications.models import (
    WebhookAttemptRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)
from server.notifications.signing import signed_headers

AT_ONCE: Final = 32
AT_ONCE_EACH: Final = 4
SWITCH_OFF_AFTER: Final = timedelta(days=5)
PAUSES: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400)
)
"""Between the attempts to send a message; after the last one, three days, it is given up."""
_ENDPOINT_PAUSE_MAX: Final = timedelta(minutes=10)
_LEASE: Final = timedelta(minutes=1)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """A message that is to be sent now, with all that is needed for it."""

    delivery_id: UUID
    endpoint_id: UUID
    event_id: UUID
    url: str
    body: bytes
    secrets: list[bytes]
    at: datetime


async def send_webhooks(uow: UnitOfWork, courier: Courier, vault: Vault, *, tenant: int) -> int:
    """Send what is due, once; return how many messages were tried."""
    if not await uow.read(lambda tx: _candidates(tx, tenant)):
        return 0
    due = await uow.run(lambda tx: _lease(tx, vault, tenant))

    async def deliver(message: _Due) -> None:
        headers = signed_headers(str(message.event_id), message.at, message.body, message.secrets)
        sent = await courier.send(message.url, headers, message.body)
        await uow.run(lambda tx: _note(tx, vault, tenant, message, sent))

    # All to their end: a message that could not be noted must not cut off the others.
    ended = await asyncio.gather(*map(deliver, due), return_exceptions=True)
    for error in ended:
        if error is not None:
            raise error
    return len(due)


async def _candidates(tx: Tx, tenant: int) -> list[UUID]:
    """Return what may be sent: of each address the messages that are due first."""
    delivery, endpoint = WebhookDeliveryRow, WebhookEndpointRow
    place = func.row_number().over(
        partition_by=delivery.endpoint_id, order_by=(delivery.due_at, delivery.id)
    )
    due = (
        select(delivery.id, delivery.due_at, place.label("place"))
        .join(
            endpoint,
            (endpoint.tenant == delivery.tenant) & (endpoint.id == delivery.endpoint_id),
        )
        .where(
            delivery.tenant == tenant,
            delivery.state == "waiting",
            delivery.due_at <= tx.now,
            endpoint.state == "active",
            endpoint.not_before <= tx.now,
        )
        .subquery()
    )
    query = (
        select(due.c.id).where(due.c.place <= AT_ONCE_EACH).order_by(due.c.due_at).limit(AT_ONCE)
    )
    return list((await tx.session.scalars(query)).all())


async def _lease(tx: Tx, vault: Vault, tenant: int) -> list[_Due]:
    candidates = await _candidates(tx, tenant)
    rows = await tx.session.execute(
        select(WebhookDeliveryRow, WebhookEndpointRow)
        .join(
            WebhookEndpointRow,
            (WebhookEndpointRow.tenant == WebhookDeliveryRow.tenant)
            & (WebhookEndpointRow.id == WebhookDeliveryRow.endpoint_id),
        )
        .where(
            WebhookDeliveryRow.tenant == tenant,
            WebhookDeliveryRow.id.in_(candidates),
            # Somebody else may have been faster since.
            WebhookDeliveryRow.state == "waiting",
            WebhookDeliveryRow.due_at <= tx.now,
        )
        .with_for_update(skip_locked=True, of=WebhookDeliveryRow)
    )
    return [_leased(tx, vault, row) for row in rows]


def _leased(tx: Tx, vault: Vault, row: Row[WebhookDeliveryRow, WebhookEndpointRow]) -> _Due:
    delivery, endpoint = row
    delivery.due_at = tx.now + _LEASE
    return _Due(
        delivery_id=delivery.id,
        endpoint_id=endpoint.id,
        event_id=delivery.event_id,
        url=endpoint.url,
        body=delivery.body.encode(),
        secrets=secrets_of(tx, vault, endpoint),
        at=tx.now,
    )


async def _note(tx: Tx, vault: Vault, tenant: int, message: _Due, sent: Sent) -> None:
    """Store what came of an attempt, and what follows from it."""
    endpoint = await tx.session.get(
        WebhookEndpointRow, (tenant, message.endpoint_id), with_for_update=True
    )
    delivery = await tx.session.get(
        WebhookDeliveryRow, (tenant, message.delivery_id), with_for_update=True
    )
    if endpoint is None or delivery is None:
        return
    tx.session.add(
        WebhookAttemptRow(
            tenant=tenant,
            delivery_id=delivery.id,
            id=tx.ids.uuid(),
            at=message.at,
            status=sent.status,
            latency_ms=sent.latency_ms,
            answer=sent.answer,
            error=sent.error,
        )
    )
    delivery.attempts += 1
    if sent.delivered:
        delivery.state, delivery.due_at, delivery.done_at = "delivered", tx.now, tx.now
        endpoint.failing_since, endpoint.pauses, endpoint.not_before = None, 0, tx.now
        return
    _postpone(tx, delivery, endpoint)
    reason = _reason_to_switch_off(tx, endpoint, sent)
    if endpoint.state == "active" and reason is not None:
        await _switch_off(tx, vault, endpoint, reason)


def _postpone(tx: Tx, delivery: WebhookDeliveryRow, endpoint: WebhookEndpointRow) -> None:
    if delivery.attempts > len(PAUSES):
        delivery.state, delivery.due_at, delivery.done_at = "failed", tx.now, tx.now
    else:
        delivery.due_at = tx.now + _jittered(PAUSES[delivery.attempts - 1])
    endpoint.failing_since = endpoint.failing_since or tx.now
    endpoint.not_before = tx.now + _jittered(
        min(_ENDPOINT_PAUSE_MAX, timedelta(seconds=1) * 2 ** min(endpoint.pauses, 20))
    )
    endpoint.pauses += 1


def _jittered(pause: timedelta) -> timedelta:
    """Spread a pause by a fifth to either side: those who failed together come back apart."""
    return pause * random.uniform(0.8, 1.2)  # noqa: S311


def _reason_to_switch_off(tx: Tx, endpoint: WebhookEndpointRow, sent: Sent) -> str | None:
    if sent.gone:
        return "gone"
    since = endpoint.failing_since
    return "failing" if since is not None and tx.now - since >= SWITCH_OFF_AFTER else None


async def _switch_off(tx: Tx, vault: Vault, endpoint: WebhookEndpointRow, reason: str) -> None:
    endpoint.state = "disabled"
    await hold_messages(tx, endpoint)
    event = WebhookSwitchedOff(endpoint_id=endpoint.id, user_id=endpoint.user_id, reason=reason)
    await emit(tx, event, tenant=endpoint.tenant)
    _log.warning("webhook_switched_off", endpoint_id=str(endpoint.id), reason=reason)
    why = "asked not to be told any more" if reason == "gone" else "has not taken them for days"
    await write_to_user(
        tx,
        vault,
        endpoint.user_id,
        tenant=endpoint.tenant,
        subject="Your webhook address was switched off",
        text=f"Messages to {endpoint.url} were switched off: the server {why}.\n\nWhat happens "
        "from now on is kept for 30 days. Switch the address on again and have the messages sent "
        "again: PATCH /v1/webhook-endpoints, then POST its replays.",
    )
