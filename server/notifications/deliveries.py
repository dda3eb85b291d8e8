"""Messages to customers' servers: made of events, listed, sent again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from server.kit.auth import Caller
from server.kit.consumers import Consumer
from server.kit.errors import NotFound
from server.kit.event_log import Told
from server.kit.outbox import PARTIES, told_to_users
from server.kit.unit_of_work import Tx
from server.notifications.endpoints import own_endpoint
from server.notifications.errors import WebhookDisabled
from server.notifications.models import (
    WebhookAttemptRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)
from server.notifications.schemas import (
    AttemptView,
    DeliveryDetail,
    DeliveryView,
    WebhookReplay,
)

TEST_TYPE: Final = "webhook.test"
KEPT: Final = timedelta(days=30)
_PURGED_AT_ONCE: Final = 1_000


def webhook_consumer() -> Consumer:
    """Return the reader of events that makes messages. They need no order among themselves."""
    types = told_to_users()

    async def make_many(tx: Tx, events: Sequence[Told]) -> None:
        await _make_messages(tx, [told for told in events if told.type in types])

    async def make(tx: Tx, told: Told) -> None:
        await make_many(tx, [told])

    return Consumer("webhooks", make, handle_many=make_many, ordered=False)


async def _make_messages(tx: Tx, events: Sequence[Told]) -> None:
    parties = {told.id: _parties(told) for told in events}
    users = set().union(*parties.values())
    if not users:
        return
    rows = await tx.session.scalars(
        select(WebhookEndpointRow)
        .where(WebhookEndpointRow.tenant == events[0].tenant, WebhookEndpointRow.user_id.in_(users))
        .order_by(WebhookEndpointRow.id)
    )
    endpoints = rows.all()
    messages = [
        _message(tx, endpoint, told.id, told.type, _body(told.type, told.at, told.body))
        for told in events
        for endpoint in endpoints
        if endpoint.user_id in parties[told.id]
        and (not endpoint.types or told.type in endpoint.types)
        # Who registered later was not meant.
        and endpoint.created_at <= told.at
    ]
    await _store(tx, messages)


def _parties(told: Told) -> set[UUID]:
    """Return the users whose own business an event is."""
    data = told.data()
    return {UUID(data[name]) for name in PARTIES if data.get(name)}


async def send_test(tx: Tx, caller: Caller, endpoint_id: UUID) -> DeliveryView:
    """Make a message that means nothing.

    Raises:
        NotFound, WebhookDisabled: the address is not there, or off.
    """
    endpoint = await own_endpoint(tx, caller, endpoint_id)
    _check_active(endpoint)
    event_id = tx.ids.uuid()
    body = _body(TEST_TYPE, tx.now, msgspec.json.encode({"endpoint_id": endpoint.id}).decode())
    await _store(tx, [_message(tx, endpoint, event_id, TEST_TYPE, body)])
    row = await tx.session.scalar(
        select(WebhookDeliveryRow).where(
            WebhookDeliveryRow.tenant == caller.tenant,
            WebhookDeliveryRow.endpoint_id == endpoint_id,
            WebhookDeliveryRow.event_id == event_id,
        )
    )
    assert row is not None
    return _view(row)


async def deliveries_of(
    tx: Tx,
    caller: Caller,
    endpoint_id: UUID,
    *,
    state: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[DeliveryView]:
    """Return messages, the newest first."""
    endpoint = await own_endpoint(tx, caller, endpoint_id)
    query = select(WebhookDeliveryRow).where(
        WebhookDeliveryRow.tenant == caller.tenant, WebhookDeliveryRow.endpoint_id == endpoint.id
    )
    if state is not None:
        query = query.where(WebhookDeliveryRow.state == state)
    if before is not None:
        query = query.where(WebhookDeliveryRow.id < before)
    rows = await tx.session.scalars(query.order_by(WebhookDeliveryRow.id.desc()).limit(limit))
    return [_view(row) for row in rows]


async def delivery_detail(
    tx: Tx, caller: Caller, endpoint_id: UUID, delivery_id: UUID
) -> DeliveryDetail:
    """Return a message with all attempts to send it. Raises NotFound."""
    row = await _own_delivery(tx, caller, endpoint_id, delivery_id)
    attempts = await tx.session.scalars(
        select(WebhookAttemptRow)
        .where(WebhookAttemptRow.tenant == row.tenant, WebhookAttemptRow.delivery_id == row.id)
        .order_by(WebhookAttemptRow.id)
    )
    log = [msgspec.convert(attempt, AttemptView, from_attributes=True) for attempt in attempts]
    return DeliveryDetail(**msgspec.structs.asdict(_view(row)), body=row.body, log=log)


async def send_again(tx: Tx, caller: Caller, endpoint_id: UUID, delivery_id: UUID) -> DeliveryView:
    """Send one message again, under the same id.

    Raises:
        NotFound, WebhookDisabled: it is not there, or its address is off.
    """
    _check_active(await own_endpoint(tx, caller, endpoint_id))
    row = await _own_delivery(tx, caller, endpoint_id, delivery_id, lock=True)
    row.state, row.attempts, row.due_at, row.done_at = "waiting", 0, tx.now, None
    await tx.session.flush()
    return _view(row)


async def send_span_again(tx: Tx, caller: Caller, endpoint_id: UUID, data: WebhookReplay) -> int:
    """Send again what was made in a span of time; return how many messages that are."""
    endpoint = await own_endpoint(tx, caller, endpoint_id)
    _check_active(endpoint)
    changed = await tx.session.execute(
        update(WebhookDeliveryRow)
        .where(
            WebhookDeliveryRow.tenant == caller.tenant,
            WebhookDeliveryRow.endpoint_id == endpoint.id,
            WebhookDeliveryRow.state.in_(data.states),
            WebhookDeliveryRow.created_at >= data.since,
            WebhookDeliveryRow.created_at < data.until,
        )
        .values(state="waiting", attempts=0, due_at=tx.now, done_at=None)
    )
    count: int = changed.rowcount  # type: ignore[attr-defined]
    return count


async def purge_deliveries(tx: Tx, tenant: int) -> int:
    """Remove messages that were done with ``KEPT`` ago, and their log."""
    old: Sequence[UUID] = (
        await tx.session.scalars(
            select(WebhookDeliveryRow.id)
            .where(
                WebhookDeliveryRow.tenant == tenant,
                WebhookDeliveryRow.state != "waiting",
                WebhookDeliveryRow.due_at < tx.now - KEPT,
            )
            .limit(_PURGED_AT_ONCE)
        )
    ).all()
    for table, column in (
        (WebhookAttemptRow, WebhookAttemptRow.delivery_id),
        (WebhookDeliveryRow, WebhookDeliveryRow.id),
    ):
        await tx.session.execute(delete(table).where(table.tenant == tenant, column.in_(old)))
    return len(old)


def _message(
    tx: Tx, endpoint: WebhookEndpointRow, event_id: UUID, kind: str, body: str
) -> dict[str, object]:
    return {
        "tenant": endpoint.tenant,
        "id": tx.ids.uuid(),
        "endpoint_id": endpoint.id,
        "event_id": event_id,
        "type": kind,
        "body": body,
        "state": "waiting" if endpoint.state == "active" else "held",
        "attempts": 0,
        "due_at": tx.now,
        "created_at": tx.now,
    }


async def _store(tx: Tx, messages: Sequence[dict[str, object]]) -> None:
    """Store messages; what an address has of an event already stays as it is."""
    if messages:
        insert = postgres_insert if tx.dialect == "postgresql" else sqlite_insert
        await tx.connection.execute(
            insert(WebhookDeliveryRow).on_conflict_do_nothing(), list(messages)
        )


async def _own_delivery(
    tx: Tx, caller: Caller, endpoint_id: UUID, delivery_id: UUID, *, lock: bool = False
) -> WebhookDeliveryRow:
    endpoint = await own_endpoint(tx, caller, endpoint_id)
    query = select(WebhookDeliveryRow).where(
        WebhookDeliveryRow.tenant == caller.tenant,
        WebhookDeliveryRow.id == delivery_id,
        WebhookDeliveryRow.endpoint_id == endpoint.id,
    )
    row = await tx.session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound("There is no such message to this address.")
    return row


def _check_active(endpoint: WebhookEndpointRow) -> None:
    if endpoint.state != "active":
        raise WebhookDisabled(
            "Nothing is sent to this address.", fix="Switch it on first (PATCH state: active)."
        )


def _body(kind: str, at: datetime, data: str) -> str:
    message = {"type": kind, "timestamp": at, "data": msgspec.Raw(data.encode())}
    return msgspec.json.encode(message).decode()


def _view(row: WebhookDeliveryRow) -> DeliveryView:
    return msgspec.convert(row, DeliveryView, from_attributes=True)
