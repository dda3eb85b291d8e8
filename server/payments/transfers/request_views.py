"""Requests for money as the two sides see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import select

from server.identity import Payee, find_payees
from server.kit.errors import NotFound
from server.kit.schema import Page
from server.kit.unit_of_work import Tx
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Via
from server.payments.transfers.errors import PayCodeInvalid
from server.payments.transfers.listing import make_cursor, read_cursor
from server.payments.transfers.models import MoneyRequestRow
from server.payments.transfers.notes import open_note
from server.payments.transfers.pay_codes import read_code, request_code
from server.payments.transfers.schemas import MoneyRequestView
from server.payments.transfers.views import shown_person

Role = Literal["requester", "payer"]
State = Literal["open", "paid", "declined", "cancelled", "expired"]


async def show(tx: Tx, desk: TransferDesk, viewer: UUID, request_id: UUID) -> MoneyRequestView:
    """Return a request; one without a payer is shown to whoever knows its id.

    Raises:
        NotFound: there is none with this id, or it is other people's.
    """
    row = await tx.session.get(MoneyRequestRow, (desk.tenant, request_id))
    if row is None or not (row.via is None or viewer in {row.requester_id, row.payer_id}):
        raise NotFound("You have no request with this id.")
    (view,) = await _views(tx, desk, viewer, [row])
    return view


def scanned(desk: TransferDesk, text: str) -> UUID:
    """Return the id of the request that a code is of.

    Raises:
        PayCodeInvalid: it is damaged or foreign, or names a person.
    """
    meant = read_code(desk.vault, text)
    if meant.request_id is None:
        raise PayCodeInvalid(
            "This code names a person and no request.",
            fix="Pay it with POST /v1/transfers.",
        )
    return meant.request_id


async def page(
    tx: Tx, desk: TransferDesk, viewer: UUID, *, role: Role, cursor: str | None, limit: int
) -> Page[MoneyRequestView]:
    """Return the requests that somebody made or got, newest first.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    side = MoneyRequestRow.requester_id if role == "requester" else MoneyRequestRow.payer_id
    query = select(MoneyRequestRow).where(MoneyRequestRow.tenant == desk.tenant, side == viewer)
    if cursor is not None:
        query = query.where(MoneyRequestRow.id < read_cursor(cursor))
    rows = await tx.session.scalars(query.order_by(MoneyRequestRow.id.desc()).limit(limit + 1))
    found = rows.all()
    items = await _views(tx, desk, viewer, found[:limit])
    return Page(items=items, next_cursor=make_cursor(items[-1].id) if len(found) > limit else None)


def state_of(row: MoneyRequestRow, now: datetime) -> State:
    if row.state == "open" and row.expires_at <= now:
        return "expired"
    state: State = row.state  # type: ignore[assignment]
    return state


async def _views(
    tx: Tx, desk: TransferDesk, viewer: UUID, rows: Sequence[MoneyRequestRow]
) -> list[MoneyRequestView]:
    wanted = {one for row in rows for one in (row.requester_id, row.payer_id) if one is not None}
    people = (await find_payees(tx, desk.tenant, ids=wanted)).by_id
    return [_view(desk, viewer, row, people, tx.now) for row in rows]


def _view(
    desk: TransferDesk,
    viewer: UUID,
    row: MoneyRequestRow,
    people: Mapping[UUID, Payee],
    now: datetime,
) -> MoneyRequestView:
    # Whoever is only shown an open code does not learn who has paid it.
    takes_part = viewer in {row.requester_id, row.payer_id}
    payer = None
    if takes_part and row.payer_id is not None:
        via = Via(row.via) if row.via is not None else None
        payer = shown_person(people.get(row.payer_id), via, None)
    note = open_note(
        desk.vault, row.note_sealed, tenant=row.tenant, of="money_request", identifier=row.id
    )
    return MoneyRequestView(
        id=row.id,
        role="requester" if row.requester_id == viewer else "payer",
        state=state_of(row, now),
        amount=row.amount,
        currency=row.currency,
        requester=shown_person(people.get(row.requester_id), None, None),
        payer=payer,
        note=note,
        transfer_id=row.transfer_id if takes_part else None,
        pay_code=request_code(desk.vault, row.id),
        created_at=row.created_at,
        expires_at=row.expires_at,
        settled_at=row.settled_at,
    )
