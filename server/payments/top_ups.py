"""Top-ups: money in from a card, exactly once.

Three steps, each safe to repeat: the intention is stored; the gateway is called outside any
transaction with a key that follows from the intention; the answer is stored together with the
ledger entry. After a crash in between, `resume_top_ups` asks the gateway what became of the key.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import post_many
from server.payments import postings
from server.payments.errors import PhoneUnconfirmed, TopUpTooLarge
from server.payments.gateway import (
    CardGateway,
    GatewayPayment,
    GatewayUnavailable,
    PaymentStatus,
)
from server.payments.models import TopUpRow
from server.payments.schemas import TopUpCreate

TOP_UP_MAX = 10**11
"""Minor units of one top-up."""
CHARGE_WITHIN = timedelta(hours=24)
"""No card is charged later than this after the intention; from then on we only ask."""
GIVE_UP_AFTER = CHARGE_WITHIN + timedelta(hours=1)
"""The hour between lets a charge that began in time end before anybody calls it declined."""
_FIRST_DELAY = timedelta(seconds=10)
_DELAY_MAX = timedelta(hours=1)
_BATCH_MAX = 50
_log = get_logger(__name__)


async def top_up(
    uow: UnitOfWork, gateway: CardGateway, caller: Caller, data: TopUpCreate, *, key: str
) -> TopUpRow:
    """Charge a card and credit the user's available balance.

    A row that is still pending is not an error: the answer was lost, and the same request again,
    or the background job, will find out.

    Raises:
        PhoneUnconfirmed: the user's phone number has not been confirmed.
        TopUpTooLarge: the amount is over ``TOP_UP_MAX``.
        UnknownCurrency: this server does not know the currency.
        IdempotencyConflict: the key was used for another top-up.
    """
    asset(data.currency)
    if data.amount > TOP_UP_MAX:
        raise TopUpTooLarge(
            f"One top-up is at most {TOP_UP_MAX} minor units.", fix="Make several smaller ones."
        )
    row = await uow.run(lambda tx: _open(tx, caller, data, key))
    if row.status != PaymentStatus.PENDING:
        return row
    try:
        if await _age(uow, row) < CHARGE_WITHIN:
            payment = await _charge(gateway, row)
        else:
            payment = await _look_up(uow, gateway, row)
    except GatewayUnavailable as error:
        _log.warning("card_gateway_unavailable", top_up=str(row.id), error=str(error))
        return row
    return await uow.run(lambda tx: _settle(tx, row.tenant, row.id, payment))


async def find_top_up(tx: Tx, caller: Caller, identifier: UUID) -> TopUpRow:
    """Return one of the caller's own top-ups.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    row = await tx.session.get(TopUpRow, (caller.tenant, identifier))
    if row is None or row.user_id != caller.user_id:
        raise NotFound("You have no top-up with this id.")
    return row


async def resume_top_ups(uow: UnitOfWork, gateway: CardGateway, *, tenant: int = 1) -> int:
    """Find out what became of a tenant's top-ups without an answer; return how many are settled.

    One that cannot be settled is logged and tried again later; it stops no other.
    """
    settled = 0
    for row in await uow.run(lambda tx: _lease(tx, tenant)):
        try:
            payment = await _look_up(uow, gateway, row)
            after = await uow.run(
                lambda tx, row=row, payment=payment: _settle(tx, row.tenant, row.id, payment)  # type: ignore[misc]
            )
        except GatewayUnavailable:
            continue
        except Exception as error:  # noqa: BLE001 - the others are somebody else's money
            _log.error("top_up_not_settled", top_up=str(row.id), exc_info=error)
            continue
        settled += after.status != PaymentStatus.PENDING
    return settled


async def _look_up(uow: UnitOfWork, gateway: CardGateway, row: TopUpRow) -> GatewayPayment:
    """Return what the gateway knows of a top-up; charge when it knows nothing and time is left."""
    age = await _age(uow, row)
    payment = await gateway.find_payment(str(row.id))
    if payment is not None:
        return payment
    if age < CHARGE_WITHIN:
        return await _charge(gateway, row)
    if age < GIVE_UP_AFTER:
        return GatewayPayment("", PaymentStatus.PENDING)
    # Nobody began a charge for an hour, and the gateway has never seen the key.
    return GatewayPayment("", PaymentStatus.DECLINED, "gateway_unreachable")


async def _age(uow: UnitOfWork, row: TopUpRow) -> timedelta:
    async def query(tx: Tx) -> timedelta:
        return tx.now - row.created_at

    return await uow.read(query)


async def _charge(gateway: CardGateway, row: TopUpRow) -> GatewayPayment:
    return await gateway.create_payment(
        amount=row.amount, currency=row.currency, card=row.card, idempotency_key=str(row.id)
    )


async def _open(tx: Tx, caller: Caller, data: TopUpCreate, key: str) -> TopUpRow:
    owner = await find_user(tx, caller.tenant, caller.user_id)
    if owner is None or not owner.phone_confirmed:
        raise PhoneUnconfirmed(
            "Money can be added once your phone number is confirmed.",
            fix="Enter the code from the text message: POST /v1/contacts/phone/confirm.",
        )

    async def insert() -> UUID:
        row = TopUpRow(
            tenant=caller.tenant,
            id=tx.ids.uuid(),
            user_id=caller.user_id,
            amount=data.amount,
            currency=data.currency,
            card=data.card,
            status=PaymentStatus.PENDING.value,
            attempts=0,
            retry_at=tx.now + _FIRST_DELAY,
            created_at=tx.now,
        )
        tx.session.add(row)
        await tx.session.flush()
        return row.id

    identifier = await once(
        tx,
        tenant=caller.tenant,
        owner=caller.user_id,
        operation="top_up",
        key=key,
        digest=fingerprint(data),
        answer_type=UUID,
        work=insert,
    )
    return await tx.session.get_one(TopUpRow, (caller.tenant, identifier))


async def _settle(tx: Tx, tenant: int, identifier: UUID, payment: GatewayPayment) -> TopUpRow:
    row = await tx.session.get_one(TopUpRow, (tenant, identifier), with_for_update=True)
    if (row.status, payment.status) == (PaymentStatus.DECLINED, PaymentStatus.SUCCEEDED):
        _log.error("card_charged_after_decline", top_up=str(row.id), gateway_id=payment.id)
    if row.status != PaymentStatus.PENDING or payment.status is PaymentStatus.PENDING:
        return row
    row.status = payment.status.value
    row.reason = payment.reason
    row.gateway_id = payment.id or None
    row.settled_at = tx.now
    await tx.session.flush()
    if payment.status is PaymentStatus.SUCCEEDED:
        entry = postings.for_top_up(
            tenant=tenant,
            top_up=row.id,
            user=row.user_id,
            amount=row.amount,
            currency=row.currency,
        )
        (outcome,) = await post_many(tx, [entry])
        outcome.raise_for_refusal()
    return row


async def _lease(tx: Tx, tenant: int) -> Sequence[TopUpRow]:
    due = (
        select(TopUpRow)
        .where(
            TopUpRow.tenant == tenant,
            TopUpRow.status == PaymentStatus.PENDING.value,
            TopUpRow.retry_at <= tx.now,
        )
        .order_by(TopUpRow.retry_at)
        .limit(_BATCH_MAX)
        .with_for_update(skip_locked=True)
    )
    rows = (await tx.session.scalars(due)).all()
    for row in rows:
        row.retry_at = tx.now + min(_FIRST_DELAY * 2 ** min(row.attempts, 10), _DELAY_MAX)
        row.attempts += 1
    await tx.session.flush()
    return rows
