"""How people see transfers, each from their own side."""

from collections.abc import Collection, Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import select

from server.identity import Payee, find_payees
from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Via
from server.payments.transfers.models import TransferRow
from server.payments.transfers.notes import open_note
from server.payments.transfers.schemas import PersonView, TransferView

_State = Literal["completed", "pending", "cancelled", "returned"]
_NOT_BY_NAME = frozenset({Via.PHONE, Via.EMAIL})


def shown_person(person: Payee | None, via: Via | None, hint: str | None) -> PersonView:
    """Return what one side may see of the other.

    Whoever only knew a phone number or an e-mail address learns enough of the name to recognise
    it, and not whose number it is. ``via`` is None for the receiver's side, who sees who paid.
    """
    if person is None:
        return PersonView(user_id=None, username=None, name=None, address=hint)
    if via in _NOT_BY_NAME:
        return PersonView(user_id=None, username=None, name=person.masked_name, address=hint)
    return PersonView(
        user_id=person.id, username=person.username, name=person.display_name, address=None
    )


async def transfer_views(
    tx: Tx, desk: TransferDesk, viewer: UUID, ids: Collection[UUID]
) -> list[TransferView]:
    """Return transfers as somebody who takes part in them sees them; others are left out."""
    rows = await tx.session.scalars(
        select(TransferRow)
        .where(TransferRow.tenant == desk.tenant, TransferRow.id.in_(ids))
        .order_by(TransferRow.id)
    )
    return await views_of(
        tx, desk, viewer, [row for row in rows if viewer in {row.sender_id, row.receiver_id}]
    )


async def own_transfer(tx: Tx, desk: TransferDesk, viewer: UUID, transfer_id: UUID) -> TransferView:
    """Return one transfer.

    Raises:
        NotFound: there is none with this id, or it is other people's.
    """
    views = await transfer_views(tx, desk, viewer, [transfer_id])
    if not views:
        raise NotFound("You have no transfer with this id.")
    return views[0]


async def views_of(
    tx: Tx, desk: TransferDesk, viewer: UUID, rows: Sequence[TransferRow]
) -> list[TransferView]:
    others = {row.receiver_id if row.sender_id == viewer else row.sender_id for row in rows}
    people = await find_payees(tx, desk.tenant, ids=[one for one in others if one is not None])
    return [_view(desk, viewer, row, people.by_id) for row in rows]


def _view(
    desk: TransferDesk, viewer: UUID, row: TransferRow, people: dict[UUID, Payee]
) -> TransferView:
    sent = row.sender_id == viewer
    if sent:
        other = None if row.receiver_id is None else people.get(row.receiver_id)
        person = shown_person(other, Via(row.via), row.address_hint)
    else:
        person = shown_person(people.get(row.sender_id), None, None)
    state: _State = row.state  # type: ignore[assignment]
    return TransferView(
        id=row.id,
        direction="sent" if sent else "received",
        state=state,
        amount=row.amount,
        currency=row.currency,
        received_amount=row.received_amount,
        received_currency=row.received_currency,
        counterpart=person,
        note=open_note(
            desk.vault, row.note_sealed, tenant=row.tenant, of="transfer", identifier=row.id
        ),
        refunded=row.refunded,
        refund_of=row.refund_of,
        request_id=row.request_id,
        schedule_id=row.schedule_id,
        created_at=row.created_at,
        settled_at=row.settled_at,
    )
