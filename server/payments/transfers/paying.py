"""Requests for money: paid at most once, declined, cancelled, expired.

Whoever holds the lock on the request's row decides what becomes of it; the transfer that pays it is
sent in the same transaction. A request whose time is over is expired for everybody from that moment
on, whether or not a job has written it down yet.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select

from server.kit.auth import Caller
from server.kit.errors import NotFound, TallyError
from server.kit.idempotency import fingerprint, once
from server.kit.outbox import Event, emit
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.transfers import events
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Order, Recipient, Via, clean_note
from server.payments.transfers.errors import RequestAmount, RequestClosed, SelfTransfer
from server.payments.transfers.models import MoneyRequestRow
from server.payments.transfers.request_views import Role, State, show, state_of
from server.payments.transfers.schemas import MoneyRequestPayment, MoneyRequestView, TransferView
from server.payments.transfers.sending import send
from server.payments.transfers.views import own_transfer

_EXPIRE_MAX = 500


async def pay(
    tx: Tx,
    desk: TransferDesk,
    caller: Caller,
    request_id: UUID,
    data: MoneyRequestPayment,
    *,
    key: str,
) -> TransferView:
    """Pay a request, once for a key and once for the request.

    Raises:
        NotFound: it is not the caller's to pay.
        RequestClosed: it was paid, declined or cancelled before, or its time is over.
        RequestAmount: the amount is missing or is not the request's.
        TallyError: the transfer's own refusal; the request stays open.
        IdempotencyConflict: the key was used for another payment.
    """

    async def work() -> UUID:
        return await _pay(tx, desk, caller, request_id, data)

    transfer_id = await once(
        tx,
        tenant=desk.tenant,
        owner=caller.user_id,
        operation="money_request_payment",
        key=key,
        digest=fingerprint((request_id, data)),
        answer_type=UUID,
        work=work,
    )
    return await own_transfer(tx, desk, caller.user_id, transfer_id)


async def close(
    tx: Tx, desk: TransferDesk, caller: Caller, request_id: UUID, *, role: Role
) -> MoneyRequestView:
    """Cancel a request that one made, or decline one that one got. Doing it again changes nothing.

    Raises:
        NotFound: the caller has no such request in that role.
        RequestClosed: something else became of it before.
    """
    row = await _locked(tx, desk, request_id)
    person = None if row is None else row.requester_id if role == "requester" else row.payer_id
    if row is None or person != caller.user_id:
        raise NotFound("You have no request with this id.")
    state: State = "cancelled" if role == "requester" else "declined"
    if row.state != state:
        _check_open(row, tx.now)
        row.state, row.settled_at = state, tx.now
        await tx.session.flush()
        kind = events.RequestCancelled if role == "requester" else events.RequestDeclined
        await emit(tx, _told(kind, row), tenant=desk.tenant)
    return await show(tx, desk, caller.user_id, request_id)


async def expire_requests(uow: UnitOfWork, desk: TransferDesk) -> int:
    """Write down that the time of requests is over, and tell it; return how many.

    Safe to run in several processes at once.
    """

    async def is_due(tx: Tx) -> bool:
        return bool(await tx.session.scalar(select(exists().where(*_is_over(tx, desk)))))

    if not await uow.read(is_due):
        return 0
    return await uow.run(lambda tx: _expire(tx, desk))


def _is_over(tx: Tx, desk: TransferDesk) -> tuple[ColumnElement[bool], ...]:
    return (
        MoneyRequestRow.tenant == desk.tenant,
        MoneyRequestRow.state == "open",
        MoneyRequestRow.expires_at <= tx.now,
    )


async def _expire(tx: Tx, desk: TransferDesk) -> int:
    rows = await tx.session.scalars(
        select(MoneyRequestRow)
        .where(*_is_over(tx, desk))
        .order_by(MoneyRequestRow.expires_at)
        .limit(_EXPIRE_MAX)
        .with_for_update(skip_locked=True)
    )
    over = rows.all()
    for row in over:
        row.state, row.settled_at = "expired", row.expires_at
    await tx.session.flush()
    told = [_told(events.RequestExpired, row) for row in over]
    await emit(tx, *told, tenant=desk.tenant)
    return len(over)


async def _pay(
    tx: Tx, desk: TransferDesk, caller: Caller, request_id: UUID, data: MoneyRequestPayment
) -> UUID:
    row = await _locked(tx, desk, request_id)
    if row is None or not (row.via is None or caller.user_id in {row.requester_id, row.payer_id}):
        raise NotFound("You have no request with this id.")
    _check_open(row, tx.now)
    if row.requester_id == caller.user_id:
        raise SelfTransfer("You cannot pay your own request.", fix="Cancel it instead.")
    if data.amount is None and row.amount is None:
        raise RequestAmount("This request leaves the amount to you.", fix="Name an amount.")
    if None not in {data.amount, row.amount} and data.amount != row.amount:
        raise RequestAmount("The request is for another amount.", fix="Leave the amount out.")
    transfer_id = tx.ids.uuid()
    order = Order(
        tenant=desk.tenant,
        sender=caller.user_id,
        recipient=Recipient(Via.USER, user_id=row.requester_id),
        amount=row.amount or data.amount or 0,
        currency=row.currency,
        note=clean_note(data.note),
        request_id=row.id,
    )
    (answer,) = await send(tx, desk, [(transfer_id, order)])
    if isinstance(answer, TallyError):
        raise answer
    row.state, row.transfer_id, row.settled_at = "paid", transfer_id, tx.now
    row.payer_id = caller.user_id
    await tx.session.flush()
    paid = events.RequestPaid(
        request_id=row.id,
        requester_id=row.requester_id,
        payer_id=caller.user_id,
        transfer_id=transfer_id,
    )
    await emit(tx, paid, tenant=desk.tenant)
    return transfer_id


async def _locked(tx: Tx, desk: TransferDesk, request_id: UUID) -> MoneyRequestRow | None:
    return await tx.session.get(
        MoneyRequestRow, (desk.tenant, request_id), with_for_update=True, populate_existing=True
    )


def _check_open(row: MoneyRequestRow, now: datetime) -> None:
    state = state_of(row, now)
    if state != "open":
        raise RequestClosed(f"The request is {state}.", state=state)


def _told(
    kind: type[events.RequestDeclined | events.RequestCancelled | events.RequestExpired],
    row: MoneyRequestRow,
) -> Event:
    return kind(request_id=row.id, requester_id=row.requester_id, payer_id=row.payer_id)
