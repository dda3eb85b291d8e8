"""What a gateway tells by itself: taken in at once, understood later.

A webhook is stored by the event's id and answered; a job turns what is stored into hints. Whoever
missed some reads the gateway's own list of events, from where the last reading ended.
"""

from datetime import datetime, timedelta

from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.cards.errors import WebhookUnsigned
from server.payments.cards.models import CardCursorRow
from server.payments.cards.news import keep_events, take_up_events
from server.payments.gateway import (
    CardGateway,
    GatewayUnavailable,
    WebhookReader,
    WebhookRefused,
)

POLL_EVERY = timedelta(minutes=5)
SPAN = timedelta(hours=1)
OVERLAP = timedelta(minutes=5)
"""Read again at each poll: a list may show an event a little after its time."""


async def take_webhook(
    uow: UnitOfWork, gateway: CardGateway, *, tenant: int, body: bytes, signature: str | None
) -> bool:
    """Store the event in a webhook; return whether it was new.

    Raises:
        NotFound: the gateway in use sends none.
        WebhookUnsigned: it does not come from the gateway, or is too old, or is no event.
    """
    if not isinstance(gateway, WebhookReader):
        raise NotFound("The card gateway in use sends no webhooks.")
    reader = gateway

    async def command(tx: Tx) -> int:
        try:
            event = reader.read_webhook(body, signature, tx.now)
        except WebhookRefused as refusal:
            raise WebhookUnsigned(
                f"{refusal}.", fix="Compare the endpoint's signing secret with the settings."
            ) from refusal
        return await keep_events(tx, tenant, [event])

    return await uow.run(command) == 1


async def poll_events(uow: UnitOfWork, gateway: CardGateway, *, tenant: int = 1) -> int | None:
    """Read what the gateway says has happened, when it is time; return how much was new.

    The first time it begins at that moment: what was before concerned nobody here. What happened
    in a long absence is read hour by hour.
    """
    leased = await uow.run(lambda tx: _lease(tx, tenant, gateway.name))
    if leased is None:
        return None
    since, until = leased
    try:
        events = await gateway.recent_events(since - OVERLAP, until)
    except GatewayUnavailable:
        return None

    async def keep(tx: Tx) -> int:
        row = await tx.session.get_one(CardCursorRow, (tenant, gateway.name), with_for_update=True)
        fresh = await keep_events(tx, tenant, events)
        if until is None:
            row.read_up_to = max([row.read_up_to, *(event.created_at for event in events)])
        else:
            row.read_up_to, row.due_at = max(row.read_up_to, until), tx.now
        return fresh

    return await uow.run(keep)


async def process_events(uow: UnitOfWork, *, tenant: int = 1) -> int:
    """Turn stored events into hints; return how many."""
    return await uow.run(lambda tx: take_up_events(tx, tenant))


async def _lease(tx: Tx, tenant: int, gateway: str) -> tuple[datetime, datetime | None] | None:
    """Return the span to read when it is time, without an end when it is the last one."""
    row = await tx.session.get(CardCursorRow, (tenant, gateway), with_for_update=True)
    if row is None:
        row = CardCursorRow(tenant=tenant, gateway=gateway, read_up_to=tx.now, due_at=tx.now)
        tx.session.add(row)
    elif row.due_at > tx.now:
        return None
    row.due_at = tx.now + POLL_EVERY
    await tx.session.flush()
    until = row.read_up_to + SPAN
    return row.read_up_to, until if until < tx.now else None
