"""One's own transfers, newest first."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, select

from server.kit.errors import InvalidRequest
from server.kit.schema import Page, from_base64url, to_base64url
from server.kit.unit_of_work import Tx
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.models import TransferRow
from server.payments.transfers.schemas import TransferView
from server.payments.transfers.views import views_of

Direction = Literal["sent", "received"]
State = Literal["completed", "pending", "cancelled", "returned"]
_ID_BYTES = 16


async def transfers_page(
    tx: Tx,
    desk: TransferDesk,
    viewer: UUID,
    *,
    direction: Direction | None,
    state: State | None,
    currency: str | None,
    since: datetime | None,
    until: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page[TransferView]:
    """Return the next transfers before a cursor. Each side is read from an index of its own.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    where: list[ColumnElement[bool]] = [TransferRow.tenant == desk.tenant]
    if state is not None:
        where.append(TransferRow.state == state)
    if since is not None:
        where.append(TransferRow.created_at >= since)
    if until is not None:
        where.append(TransferRow.created_at < until)
    if cursor is not None:
        where.append(TransferRow.id < read_cursor(cursor))
    sides = {
        "sent": (TransferRow.sender_id, TransferRow.currency),
        "received": (TransferRow.receiver_id, TransferRow.received_currency),
    }
    found: list[TransferRow] = []
    for name, (side, side_currency) in sides.items():
        if direction in {None, name}:
            query = select(TransferRow).where(side == viewer, *where)
            if currency is not None:
                query = query.where(side_currency == currency)
            rows = await tx.session.scalars(query.order_by(TransferRow.id.desc()).limit(limit + 1))
            found += rows.all()
    found.sort(key=lambda row: row.id, reverse=True)
    items = await views_of(tx, desk, viewer, found[:limit])
    return Page(items=items, next_cursor=make_cursor(items[-1].id) if len(found) > limit else None)


def make_cursor(identifier: UUID) -> str:
    return to_base64url(identifier.bytes)


def read_cursor(text: str) -> UUID:
    """Return the id at which a page ended.

    Raises:
        InvalidRequest: it is no cursor of ours.
    """
    data = from_base64url(text, field="cursor", size_max=_ID_BYTES)
    if len(data) != _ID_BYTES:
        raise InvalidRequest(
            "The cursor is not one that this list gave.",
            fix="Use next_cursor of the page before, or leave it out to begin.",
        )
    return UUID(bytes=data)


def aware(moment: datetime | None) -> datetime | None:
    """Return a time of a query; one without an offset is taken as UTC."""
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)
