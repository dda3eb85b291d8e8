"""Top-ups: money in from a card, exactly once.

Three steps, each safe to repeat: the intention is stored; the gateway is called outside any
transaction with a key that follows from the intention; what it says is stored together with the
ledger entry. An answer, a poll and a webhook all end in `settle_top_up`, whichever comes first.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.outbox import emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import post_many
from server.payments.cards.errors import AmountNotPayable, TopUpTooLarge
from server.payments.cards.events import TopUpDeclined, TopUpSucceeded
from server.payments.cards.models import TopUpRow
from server.payments.cards.news import hint
from server.payments.cards.postings import CardBook
from server.payments.cards.schemas import TopUpCreate, TopUpView
from server.payments.errors import PhoneUnconfirmed
from server.payments.gateway import (
    CardGateway,
    GatewayPayment,
    GatewayRefused,
    GatewayUnavailable,
    Outage,
    PaymentStatus,
)
from server.payments.limits import LimitKind, LimitUse, PastUse, give_back, use_limits

TOP_UP_MAX = 10**11
"""Minor units of one top-up."""
CHARGE_WITHIN = timedelta(hours=23)
"""No card is charged later than this after the intention: until then the gateway knows the key."""
GIVE_UP_AFTER = timedelta(hours=25)
"""The time between lets a charge that began in time end before anybody calls it declined."""
_FIRST_DELAY = timedelta(seconds=10)
_DELAY_MAX = timedelta(hours=1)
_BATCH_MAX = 50
_UNSETTLED = (PaymentStatus.PENDING.value, PaymentStatus.REQUIRES_ACTION.value)
_log = get_logger(__name__)


async def top_up(
    uow: UnitOfWork, gateway: CardGateway, caller: Caller, data: TopUpCreate, *, key: str
) -> TopUpView:
    """Charge a card and credit the user's available balance.

    A top-up that is still pending is not an error: the answer was lost, and the same request again,
    or the background job, will find out. One that requires action carries the client secret.

    Raises:
        PhoneUnconfirmed: the user's phone number has not been confirmed.
        TopUpTooLarge: the amount is over ``TOP_UP_MAX``.
        AmountNotPayable: the gateway does not take this amount of this currency.
        UnknownCurrency: this server does not know the currency.
        LimitExceeded: the user's limit for deposits would be passed.
        IdempotencyConflict: the key was used for another top-up.
    """
    asset(data.currency)
    if data.amount > TOP_UP_MAX:
        raise TopUpTooLarge(
            f"One top-up is at most {TOP_UP_MAX} minor units.", fix="Make several smaller ones."
        )
    row = await uow.run(lambda tx: _open(tx, gateway, caller, data, key))
    if row.status not in _UNSETTLED:
        return view_of(row)
    try:
        payment = await _ask(uow, gateway, row)
    except GatewayUnavailable as error:
        _log.warning("card_gateway_unavailable", top_up=str(row.id), error=str(error))
        return view_of(row)
    row = await uow.run(lambda tx: _store(tx, row.tenant, row.id, payment))
    if row.status == PaymentStatus.DECLINED and row.reason == AmountNotPayable.code:
        raise AmountNotPayable(
            "The card company takes this currency in coarser steps, or not this little.",
            fix="Choose a rounder or a larger amount.",
        )
    return view_of(row, payment)


async def find_top_up(
    uow: UnitOfWork, gateway: CardGateway, caller: Caller, identifier: UUID
) -> TopUpView:
    """Return one of the caller's own top-ups, with what its payer needs to go on.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    row = await uow.read(lambda tx: own_top_up(tx, caller, identifier))
    if row.status != PaymentStatus.REQUIRES_ACTION or row.gateway != gateway.name:
        return view_of(row)
    try:
        payment = await gateway.find_payment(
            str(row.id), gateway_id=row.gateway_id, since=row.created_at
        )
    except GatewayUnavailable:
        payment = None
    return view_of(row, payment)


async def own_top_up(tx: Tx, caller: Caller, identifier: UUID, *, lock: bool = False) -> TopUpRow:
    """Return the row of one of the caller's own top-ups. Raises as `find_top_up` does."""
    row = await tx.session.get(TopUpRow, (caller.tenant, identifier), with_for_update=lock)
    if row is None or row.user_id != caller.user_id:
        raise NotFound("You have no top-up with this id.")
    return row


async def resume_top_ups(uow: UnitOfWork, gateway: CardGateway, *, tenant: int = 1) -> int:
    """Find out what became of a tenant's unfinished top-ups; return how many are settled.

    One that cannot be settled is logged and tried again later; it stops no other.
    """
    settled = 0
    outage = Outage()
    for row in await uow.run(lambda tx: _lease(tx, tenant, gateway.name)):
        try:
            payment = await _look_up(uow, gateway, row)
            after = await uow.run(
                lambda tx, row=row, payment=payment: _store(tx, row.tenant, row.id, payment)  # type: ignore[misc]
            )
        except GatewayUnavailable:
            if outage.failed():
                break
            continue
        except Exception as error:  # noqa: BLE001 - the others are somebody else's money
            _log.error("top_up_not_settled", top_up=str(row.id), exc_info=error)
            continue
        settled += after.status not in _UNSETTLED
    return settled


async def settle_top_up(tx: Tx, row: TopUpRow, payment: GatewayPayment) -> None:
    """Store what became of a top-up, whose row is locked; credit it when the card was charged.

    A charge that did happen is credited whatever was said before: the money is with the gateway.
    """
    if payment.id:
        row.gateway_id = payment.id
    if row.status == PaymentStatus.SUCCEEDED or payment.status is PaymentStatus.PENDING:
        return
    if row.status == PaymentStatus.DECLINED:
        if payment.status is not PaymentStatus.SUCCEEDED:
            return
        _log.error("card_charged_after_decline", top_up=str(row.id), gateway_id=payment.id)
    row.status = payment.status.value
    row.reason = payment.reason
    if not payment.status.is_final:
        return
    row.settled_at = tx.now
    await tx.session.flush()
    about = {
        "user_id": row.user_id,
        "top_up": row.id,
        "amount": row.amount,
        "currency": row.currency,
    }
    if payment.status is PaymentStatus.DECLINED:
        await give_back(tx, row.tenant, [PastUse(_use(row), row.created_at)])
        await emit(tx, TopUpDeclined(**about, reason=row.reason), tenant=row.tenant)  # type: ignore[arg-type]
        return
    book = CardBook(row.tenant, row.user_id, row.currency)
    entry = book.top_up(row.id, row.amount, payment.charge or payment.id)
    (outcome,) = await post_many(tx, [entry])
    outcome.raise_for_refusal()
    await emit(tx, TopUpSucceeded(**about), tenant=row.tenant)  # type: ignore[arg-type]


def view_of(row: TopUpRow, payment: GatewayPayment | None = None) -> TopUpView:
    """Return what the owner sees; the client secret only while it is of use."""
    view = msgspec.convert(row, TopUpView, from_attributes=True)
    if row.status == PaymentStatus.REQUIRES_ACTION and payment is not None:
        view.client_secret = payment.client_secret
    return view


async def _ask(uow: UnitOfWork, gateway: CardGateway, row: TopUpRow) -> GatewayPayment:
    if row.gateway_id is None and await _age(uow, row) < CHARGE_WITHIN:
        return await _charge(gateway, row)
    return await _look_up(uow, gateway, row)


async def _look_up(uow: UnitOfWork, gateway: CardGateway, row: TopUpRow) -> GatewayPayment:
    """Return what the gateway knows of a top-up; charge when it knows nothing and time is left."""
    age = await _age(uow, row)
    payment = await gateway.find_payment(
        str(row.id), gateway_id=row.gateway_id, since=row.created_at
    )
    if payment is not None:
        if payment.status is PaymentStatus.REQUIRES_ACTION and age >= GIVE_UP_AFTER:
            return await gateway.cancel_payment(payment.id)
        return payment
    if age < CHARGE_WITHIN:
        return await _charge(gateway, row)
    if age < GIVE_UP_AFTER:
        return GatewayPayment("", PaymentStatus.PENDING)
    # Nobody began a charge for two hours, and the gateway has never seen the key.
    return GatewayPayment("", PaymentStatus.DECLINED, "gateway_unreachable")


async def _age(uow: UnitOfWork, row: TopUpRow) -> timedelta:
    async def query(tx: Tx) -> timedelta:
        return tx.now - row.created_at

    return await uow.read(query)


async def _charge(gateway: CardGateway, row: TopUpRow) -> GatewayPayment:
    try:
        return await gateway.create_payment(
            amount=row.amount,
            currency=row.currency,
            card=row.card or None,
            idempotency_key=str(row.id),
        )
    except GatewayRefused as refusal:
        return GatewayPayment("", PaymentStatus.DECLINED, refusal.reason)


async def _open(
    tx: Tx, gateway: CardGateway, caller: Caller, data: TopUpCreate, key: str
) -> TopUpRow:
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
            card=data.card or "",
            status=PaymentStatus.PENDING.value,
            attempts=0,
            retry_at=tx.now + _FIRST_DELAY,
            created_at=tx.now,
            gateway=gateway.name,
        )
        (exceeded,) = await use_limits(tx, caller.tenant, [_use(row)])
        if exceeded is not None:
            raise exceeded
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


def _use(row: TopUpRow) -> LimitUse:
    return LimitUse(row.user_id, LimitKind.DEPOSIT, row.currency, row.amount)


async def _store(tx: Tx, tenant: int, identifier: UUID, payment: GatewayPayment) -> TopUpRow:
    row = await tx.session.get_one(TopUpRow, (tenant, identifier), with_for_update=True)
    before = row.status
    await settle_top_up(tx, row, payment)
    if row.status == PaymentStatus.SUCCEEDED and before != row.status:
        # Its fee is on the gateway's statement.
        await hint(tx, tenant, payment.id, top_up=row.id)
    return row


async def _lease(tx: Tx, tenant: int, gateway: str) -> Sequence[TopUpRow]:
    due = (
        select(TopUpRow)
        .where(
            TopUpRow.tenant == tenant,
            TopUpRow.gateway == gateway,
            TopUpRow.status.in_(_UNSETTLED),
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
