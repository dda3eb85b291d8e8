"""What is heard about payments at the gateway, and which of them have to be asked about.

A webhook, an answer and a poll all end here as a hint. Hints are counted, so that an answer which
was fetched before the last hint does not silence it.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update

from server.kit.unit_of_work import Tx
from server.payments.cards.inserting import insert_into
from server.payments.cards.models import CardEventRow, CardPaymentRow
from server.payments.gateway import GatewayEvent

_FIRST_DELAY = timedelta(seconds=10)
_DELAY_MAX = timedelta(hours=6)
_BATCH_MAX = 50
_EVENTS_MAX = 500


async def keep_events(tx: Tx, tenant: int, events: Iterable[GatewayEvent]) -> int:
    """Store events that are new, by their ids; return how many there were."""
    fresh = 0
    for event in events:
        statement = insert_into(tx, CardEventRow).values(
            tenant=tenant,
            id=event.id,
            type=event.type,
            object_id=event.object_id,
            payment=event.payment,
            created_at=event.created_at,
            received_at=tx.now,
            # What is about no payment is kept, and asks for nothing.
            processed_at=None if event.payment else tx.now,
        )
        fresh += (await tx.connection.execute(statement.on_conflict_do_nothing())).rowcount
    return fresh


async def take_up_events(tx: Tx, tenant: int) -> int:
    """Turn stored events into hints; return how many."""
    query = (
        select(CardEventRow)
        .where(CardEventRow.tenant == tenant, CardEventRow.processed_at.is_(None))
        .order_by(CardEventRow.received_at)
        .limit(_EVENTS_MAX)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.session.scalars(query)).all()
    for payment in sorted({row.payment for row in rows if row.payment}):
        await hint(tx, tenant, payment)
    for row in rows:
        row.processed_at = tx.now
    await tx.session.flush()
    return len(rows)


async def hint(
    tx: Tx,
    tenant: int,
    payment: str,
    *,
    top_up: UUID | None = None,
    within: timedelta = timedelta(),
) -> None:
    """Say that something about a payment has changed, or will have after some time."""
    due = tx.now + within
    statement = insert_into(tx, CardPaymentRow).values(
        tenant=tenant, id=payment, top_up=top_up, hints=1, attempts=0, due_at=due
    )
    known = CardPaymentRow.__table__.c
    changed = {"hints": known.hints + 1, "attempts": 0, "due_at": due}
    if top_up is not None:
        changed["top_up"] = top_up
    await tx.connection.execute(
        statement.on_conflict_do_update(index_elements=["tenant", "id"], set_=changed)
    )


async def lease_payments(tx: Tx, tenant: int) -> list[tuple[str, int]]:
    """Return payments to ask about, each with its hints so far; they come again if nobody does."""
    due = (
        select(CardPaymentRow)
        .where(CardPaymentRow.tenant == tenant, CardPaymentRow.due_at <= tx.now)
        .order_by(CardPaymentRow.due_at)
        .limit(_BATCH_MAX)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.session.scalars(due)).all()
    for row in rows:
        row.due_at = tx.now + min(_FIRST_DELAY * 2 ** min(row.attempts, 12), _DELAY_MAX)
        row.attempts += 1
    await tx.session.flush()
    return [(row.id, row.hints) for row in rows]


async def heard(
    tx: Tx, tenant: int, payment: str, hints: int, *, again_at: datetime | None
) -> None:
    """Say that a payment was asked about when it had so many hints, and when to ask again."""
    changed = update(CardPaymentRow).where(
        CardPaymentRow.tenant == tenant, CardPaymentRow.id == payment, CardPaymentRow.hints == hints
    )
    if again_at is None:
        changed = changed.values(due_at=None, attempts=0)
    else:
        changed = changed.values(due_at=again_at)
    await tx.session.execute(changed.execution_options(synchronize_session=False))
