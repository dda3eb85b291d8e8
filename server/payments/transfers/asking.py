"""Requests for money: asking for it."""

from uuid import UUID

from sqlalchemy import func, select

from server.identity import Payee
from server.kit.auth import Caller
from server.kit.errors import InvalidRequest
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx
from server.payments.transfers import events
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import Via, clean_note
from server.payments.transfers.errors import SelfTransfer, TooManyRequested
from server.payments.transfers.models import MoneyRequestRow
from server.payments.transfers.notes import seal_note
from server.payments.transfers.request_views import show
from server.payments.transfers.schemas import MoneyRequestCreate, MoneyRequestView


async def ask(
    tx: Tx,
    desk: TransferDesk,
    caller: Caller,
    data: MoneyRequestCreate,
    *,
    payer: tuple[Via, Payee] | None,
    key: str,
) -> MoneyRequestView:
    """Ask somebody, or without a payer whoever is shown the code, for money; once for a key.

    Raises:
        SelfTransfer: one cannot ask oneself.
        NoteInvalid, UnknownCurrency, InvalidRequest: the rest.
        TooManyRequested: the caller has as many open requests as allowed.
        IdempotencyConflict: the key was used for another request.
    """

    async def work() -> UUID:
        return await _make(tx, desk, caller, data, payer)

    request_id = await once(
        tx,
        tenant=desk.tenant,
        owner=caller.user_id,
        operation="money_request",
        key=key,
        digest=fingerprint(data),
        answer_type=UUID,
        work=work,
    )
    return await show(tx, desk, caller.user_id, request_id)


async def _make(
    tx: Tx,
    desk: TransferDesk,
    caller: Caller,
    data: MoneyRequestCreate,
    payer: tuple[Via, Payee] | None,
) -> UUID:
    asset(data.currency)
    payer_id = None if payer is None else payer[1].id
    if payer_id == caller.user_id:
        raise SelfTransfer("You cannot ask yourself for money.", fix="Choose somebody else.")
    expires_at = data.expires_at or tx.now + desk.policy.request_life
    if not (expires_at.tzinfo and tx.now < expires_at <= tx.now + desk.policy.request_life_max):
        raise InvalidRequest(
            "expires_at lies in the next year and says its offset from UTC.",
            fix="Leave it out for 30 days.",
            field="expires_at",
        )
    await _check_room(tx, desk, caller.user_id)
    request_id = tx.ids.uuid()
    row = MoneyRequestRow(
        tenant=desk.tenant,
        id=request_id,
        requester_id=caller.user_id,
        payer_id=payer_id,
        amount=data.amount,
        currency=data.currency,
        via=None if payer is None else payer[0],
        state="open",
        note_sealed=seal_note(
            tx,
            desk.vault,
            clean_note(data.note),
            tenant=desk.tenant,
            of="money_request",
            identifier=request_id,
        ),
        created_at=tx.now,
        expires_at=expires_at,
    )
    tx.session.add(row)
    await tx.session.flush()
    made = events.RequestMade(
        request_id=request_id,
        requester_id=caller.user_id,
        payer_id=payer_id,
        amount=data.amount,
        currency=data.currency,
    )
    await emit(tx, made, tenant=desk.tenant)
    return request_id


async def _check_room(tx: Tx, desk: TransferDesk, requester: UUID) -> None:
    open_ones = await tx.session.scalar(
        select(func.count())
        .select_from(MoneyRequestRow)
        .where(
            MoneyRequestRow.tenant == desk.tenant,
            MoneyRequestRow.requester_id == requester,
            MoneyRequestRow.state == "open",
        )
    )
    if (open_ones or 0) >= desk.policy.requests_open_max:
        raise TooManyRequested(
            f"At most {desk.policy.requests_open_max} of your requests are open at a time.",
            fix="Cancel some that you no longer need.",
        )
