"""Refunds: money back to the card it came from, exactly once.

The money is held first. Only then is the gateway asked, under a key that follows from the refund;
what it says is settled from the payment's facts like everything else. After a crash in between, the
job asks again with the same key.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.outbox import emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import post_many
from server.payments.cards.errors import RefundTooLarge, TopUpUnsettled
from server.payments.cards.events import RefundFailed, RefundRequested
from server.payments.cards.models import CardDisputeRow, CardRefundRow, TopUpRow
from server.payments.cards.news import hint
from server.payments.cards.postings import CardBook
from server.payments.cards.schemas import RefundCreate
from server.payments.cards.settlement import settle_facts
from server.payments.cards.top_ups import CHARGE_WITHIN, GIVE_UP_AFTER, own_top_up
from server.payments.gateway import (
    CardGateway,
    DisputeStatus,
    GatewayRefused,
    GatewayUnavailable,
    Outage,
    PaymentStatus,
    RefundStatus,
)

_FIRST_DELAY = timedelta(seconds=10)
_DELAY_MAX = timedelta(hours=6)
_BATCH_MAX = 50
_REASON_MAX = 64
_LISTED_MAX = 100
_COUNTS = (DisputeStatus.INQUIRY.value, DisputeStatus.OPEN.value, DisputeStatus.LOST.value)
_log = get_logger(__name__)


async def refund_top_up(
    uow: UnitOfWork,
    gateway: CardGateway,
    caller: Caller,
    top_up: UUID,
    data: RefundCreate,
    *,
    key: str,
) -> CardRefundRow:
    """Give part or all of one's own top-up back to its card.

    Raises:
        NotFound: the caller has no such top-up.
        TopUpUnsettled: it has not succeeded.
        RefundTooLarge: refunds and disputes leave less of it.
        InsufficientFunds: the money is not there any more.
        IdempotencyConflict: the key was used for another refund.
    """
    row = await uow.run(lambda tx: _open(tx, gateway.name, caller, top_up, (data, key)))
    if row.status == RefundStatus.PENDING and row.gateway_id is None:
        try:
            await _ask(uow, gateway, row)
        except GatewayUnavailable as error:
            _log.warning("card_gateway_unavailable", refund=str(row.id), error=str(error))
    return await uow.read(lambda tx: _row(tx, row.tenant, row.id))


async def refunds_of(tx: Tx, caller: Caller, top_up: UUID) -> Sequence[CardRefundRow]:
    """Return the refunds of one's own top-up, the oldest first. Raises as `own_top_up` does."""
    await own_top_up(tx, caller, top_up)
    query = (
        select(CardRefundRow)
        .where(CardRefundRow.tenant == caller.tenant, CardRefundRow.top_up == top_up)
        .order_by(CardRefundRow.created_at, CardRefundRow.id)
        .limit(_LISTED_MAX)
    )
    return (await tx.session.scalars(query)).all()


async def resume_refunds(uow: UnitOfWork, gateway: CardGateway, *, tenant: int = 1) -> int:
    """Ask the gateway again for refunds without an answer; return how many it has answered."""
    answered = 0
    outage = Outage()
    for row in await uow.run(lambda tx: _lease(tx, tenant, gateway.name)):
        try:
            await _ask(uow, gateway, row)
        except GatewayUnavailable:
            if outage.failed():
                break
            continue
        except Exception as error:  # noqa: BLE001 - the others are somebody else's money
            _log.error("refund_not_settled", refund=str(row.id), exc_info=error)
            continue
        answered += 1
    return answered


async def _ask(uow: UnitOfWork, gateway: CardGateway, row: CardRefundRow) -> None:
    """Ask for a refund under its key and settle what comes of it."""

    async def look(tx: Tx) -> tuple[timedelta, str]:
        top_up = await tx.session.get_one(TopUpRow, (row.tenant, row.top_up))
        assert top_up.gateway_id is not None, "what succeeded has a payment at the gateway"
        return tx.now - row.created_at, top_up.gateway_id

    age, payment = await uow.read(look)
    if age < CHARGE_WITHIN:
        try:
            await gateway.refund_payment(
                payment, amount=row.amount, currency=row.currency, idempotency_key=str(row.id)
            )
        except GatewayRefused as refusal:
            reason = refusal.reason
            await uow.run(lambda tx: _fail(tx, row.tenant, row.id, reason))
            return
    elif age < GIVE_UP_AFTER:
        raise GatewayUnavailable("a refund that was asked for in time may still be on its way")
    facts = await gateway.payment_facts(payment)
    if facts is None or not any(refund.key == str(row.id) for refund in facts.refunds):
        if age < CHARGE_WITHIN:
            raise GatewayUnavailable("the gateway does not show the refund yet")
        await uow.run(lambda tx: _fail(tx, row.tenant, row.id, "gateway_unreachable"))
        return

    async def settle(tx: Tx) -> None:
        again = await settle_facts(tx, row.tenant, facts)
        # The refund's line of the statement, or its end, is still to come.
        await hint(tx, row.tenant, payment, top_up=row.top_up, within=again or timedelta(minutes=1))

    await uow.run(settle)


async def _open(
    tx: Tx, gateway: str, caller: Caller, top_up: UUID, wish: tuple[RefundCreate, str]
) -> CardRefundRow:
    data, key = wish

    async def insert() -> UUID:
        row = await own_top_up(tx, caller, top_up, lock=True)
        if row.status != PaymentStatus.SUCCEEDED or row.gateway != gateway:
            raise TopUpUnsettled(
                "Only a top-up that succeeded at the present gateway can be given back.",
                fix="Wait until it has succeeded.",
            )
        rest = row.amount - await _spoken_for(tx, row)
        amount = rest if data.amount is None else data.amount
        if not 0 < amount <= rest:
            raise RefundTooLarge(
                f"{rest} minor units of this top-up can be given back.",
                fix="Choose a smaller amount.",
                left=rest,
            )
        refund = CardRefundRow(
            tenant=row.tenant,
            id=tx.ids.uuid(),
            top_up=row.id,
            user_id=row.user_id,
            amount=amount,
            currency=row.currency,
            status=RefundStatus.PENDING.value,
            foreign=False,
            captured=False,
            attempts=0,
            retry_at=tx.now + _FIRST_DELAY,
            created_at=tx.now,
        )
        tx.session.add(refund)
        await tx.session.flush()
        book = CardBook(row.tenant, row.user_id, row.currency)
        (outcome,) = await post_many(tx, [book.refund_hold(refund.id, amount)])
        outcome.raise_for_refusal()
        event = RefundRequested(
            user_id=row.user_id,
            top_up=row.id,
            amount=amount,
            currency=row.currency,
            refund=refund.id,
        )
        await emit(tx, event, tenant=row.tenant)
        return refund.id

    identifier = await once(
        tx,
        tenant=caller.tenant,
        owner=caller.user_id,
        operation="refund_top_up",
        key=key,
        digest=fingerprint((str(top_up), data)),
        answer_type=UUID,
        work=insert,
    )
    return await _row(tx, caller.tenant, identifier)


async def _spoken_for(tx: Tx, row: TopUpRow) -> int:
    """Return how much of a top-up is given back already, or contested."""
    refunds = select(func.coalesce(func.sum(CardRefundRow.amount), 0)).where(
        CardRefundRow.tenant == row.tenant,
        CardRefundRow.top_up == row.id,
        CardRefundRow.status != RefundStatus.FAILED.value,
    )
    disputes = select(func.coalesce(func.sum(CardDisputeRow.amount), 0)).where(
        CardDisputeRow.tenant == row.tenant,
        CardDisputeRow.top_up == row.id,
        CardDisputeRow.status.in_(_COUNTS),
    )
    both = [await tx.session.scalar(query) for query in (refunds, disputes)]
    return sum(int(each or 0) for each in both)


async def _fail(tx: Tx, tenant: int, identifier: UUID, reason: str) -> None:
    row = await tx.session.get_one(CardRefundRow, (tenant, identifier), with_for_update=True)
    if row.status != RefundStatus.PENDING or row.gateway_id is not None:
        return
    row.status, row.reason = RefundStatus.FAILED.value, reason[:_REASON_MAX]
    row.settled_at = tx.now
    book = CardBook(tenant, row.user_id, row.currency)
    (outcome,) = await post_many(tx, [book.refund_release(row.id)])
    outcome.raise_for_refusal()
    event = RefundFailed(
        user_id=row.user_id,
        top_up=row.top_up,
        amount=row.amount,
        currency=row.currency,
        refund=row.id,
        reason=row.reason,
    )
    await emit(tx, event, tenant=tenant)


async def _row(tx: Tx, tenant: int, identifier: UUID) -> CardRefundRow:
    row = await tx.session.get(CardRefundRow, (tenant, identifier))
    if row is None:
        raise NotFound("There is no refund with this id.")
    return row


async def _lease(tx: Tx, tenant: int, gateway: str) -> Sequence[CardRefundRow]:
    due = (
        select(CardRefundRow)
        .join(
            TopUpRow,
            (TopUpRow.tenant == CardRefundRow.tenant) & (TopUpRow.id == CardRefundRow.top_up),
        )
        .where(
            CardRefundRow.tenant == tenant,
            CardRefundRow.status == RefundStatus.PENDING.value,
            CardRefundRow.gateway_id.is_(None),
            CardRefundRow.retry_at <= tx.now,
            TopUpRow.gateway == gateway,
        )
        .order_by(CardRefundRow.retry_at)
        .limit(_BATCH_MAX)
        .with_for_update(skip_locked=True, of=CardRefundRow)
    )
    rows = (await tx.session.scalars(due)).all()
    for row in rows:
        row.retry_at = tx.now + min(_FIRST_DELAY * 2 ** min(row.attempts, 12), _DELAY_MAX)
        row.attempts += 1
    await tx.session.flush()
    return rows
