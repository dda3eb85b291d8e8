"""From what the gateway knows about a payment to our books.

Events are only hints: all of a payment is fetched, and what is missing in the books is posted.
Every step names its entries after the thing at the gateway, so it does not matter how often this
runs, nor which of several events came first.
"""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid5

from server.kit.outbox import emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import EntryRequest, post_many
from server.payments.cards.debts import arrange, lock_debtor, release_holds
from server.payments.cards.events import (
    DisputeClosed,
    DisputeLost,
    DisputeOpened,
    DisputeWon,
    RefundFailed,
    RefundSucceeded,
)
from server.payments.cards.models import (
    CardDebtorRow,
    CardDisputeRow,
    CardRefundRow,
    TopUpRow,
)
from server.payments.cards.news import heard, lease_payments
from server.payments.cards.postings import CardBook
from server.payments.cards.top_ups import settle_top_up
from server.payments.gateway import (
    CardGateway,
    DisputeStatus,
    GatewayDispute,
    GatewayRefund,
    GatewayUnavailable,
    MovementKind,
    Outage,
    PaymentFacts,
    PaymentStatus,
    RefundStatus,
    key_as_uuid,
)

_FOREIGN = UUID("7a3f5f0e-6a0b-5b3c-9a53-2f3a7c0e8d44")
_STATEMENT_DELAY = timedelta(hours=1)
_OPEN_DELAY = timedelta(days=1)
_REASON_MAX = 64
_log = get_logger(__name__)


async def follow_payments(uow: UnitOfWork, gateway: CardGateway, *, tenant: int = 1) -> int:
    """Ask the gateway about payments of which something was heard; return how many were settled.

    One that cannot be settled is logged and tried again later; it stops no other.
    """
    done = 0
    outage = Outage()
    for payment, hints in await uow.run(lambda tx: lease_payments(tx, tenant)):
        try:
            facts = await gateway.payment_facts(payment)
            await uow.run(
                lambda tx, payment=payment, hints=hints, facts=facts: _settle_and_note(  # type: ignore[misc]
                    tx, tenant, payment, hints, facts
                )
            )
        except GatewayUnavailable:
            if outage.failed():
                break
            continue
        except Exception as error:  # noqa: BLE001 - the others are somebody else's money
            _log.error("payment_not_settled", payment=payment, exc_info=error)
            continue
        done += 1
    return done


async def settle_facts(tx: Tx, tenant: int, facts: PaymentFacts) -> timedelta | None:
    """Bring the books to what is known about a payment.

    Returns:
        After what time to ask again although nothing was heard, or None.
    """
    row = await _top_up_of(tx, tenant, facts)
    if row is None:
        return None
    await settle_top_up(tx, row, facts.payment)
    if row.status != PaymentStatus.SUCCEEDED:
        return None
    settler = _Settler(tx, row, facts)
    await settler.run()
    if not any(line.kind is MovementKind.CHARGE for line in facts.movements):
        return _STATEMENT_DELAY
    return _OPEN_DELAY if settler.is_open else None


async def _settle_and_note(
    tx: Tx, tenant: int, payment: str, hints: int, facts: PaymentFacts | None
) -> None:
    again = await settle_facts(tx, tenant, facts) if facts is not None else None
    again_at = None if again is None else tx.now + again
    await heard(tx, tenant, payment, hints, again_at=again_at)


async def _top_up_of(tx: Tx, tenant: int, facts: PaymentFacts) -> TopUpRow | None:
    """Return the locked row that a payment belongs to, or None when it is not one of ours."""
    identifier = key_as_uuid(facts.key)
    row = None
    if identifier is not None:
        row = await tx.session.get(TopUpRow, (tenant, identifier), with_for_update=True)
    if row is None:
        _log.warning("payment_of_others", payment=facts.payment.id)
        return None
    if (facts.amount, facts.currency) != (row.amount, row.currency):
        _log.error("payment_differs", payment=facts.payment.id, top_up=str(row.id))
        return None
    return row


class _Settler:
    """Works out what the refunds, disputes and statement lines of one payment change."""

    def __init__(self, tx: Tx, row: TopUpRow, facts: PaymentFacts) -> None:
        self._tx, self._row, self._facts = tx, row, facts
        self._book = CardBook(row.tenant, row.user_id, row.currency)
        self._entries: list[EntryRequest] = []
        self._debtor: CardDebtorRow | None = None
        self.is_open = False
        self._about = {"user_id": row.user_id, "top_up": row.id, "currency": row.currency}

    async def run(self) -> None:
        if self._facts.disputes or self._facts.refunds:
            self._debtor = await lock_debtor(self._tx, self._book)
        for refund in self._facts.refunds:
            await self._refund(refund)
        for dispute in self._facts.disputes:
            await self._dispute(dispute)
        for line in self._facts.movements:
            self._entries += self._book.movement(line)
        for outcome in await post_many(self._tx, self._entries):
            outcome.raise_for_refusal()
        if self._debtor is not None:
            await arrange(self._tx, self._book, self._debtor)

    async def _refund(self, fact: GatewayRefund) -> None:
        row = await self._refund_row(fact)
        row.gateway_id = fact.id
        self.is_open |= fact.status is RefundStatus.PENDING
        if row.status == RefundStatus.FAILED or fact.status is RefundStatus.PENDING:
            return
        if fact.status is RefundStatus.SUCCEEDED:
            if row.status == RefundStatus.PENDING:
                self._capture(row, fact)
                await self._end(row, fact)
            return
        # What the statement shows as gone and come back does the same in our books.
        seen = any(
            line.kind is MovementKind.REFUND and line.external_id == fact.id
            for line in self._facts.movements
        )
        if seen and not row.captured:
            self._capture(row, fact)
        if row.captured:
            self._entries.append(self._book.refund_returned(row.id, row.amount, fact.id))
        elif not row.foreign:
            self._entries.append(self._book.refund_release(row.id))
        await self._end(row, fact)

    def _capture(self, row: CardRefundRow, fact: GatewayRefund) -> None:
        row.captured = True
        if row.foreign:
            assert self._debtor is not None, "locked as soon as there is a refund"
            self._debtor.owed += row.amount
            self._entries.append(self._book.foreign_refund(row.id, row.amount, fact.id))
        else:
            self._entries.append(self._book.refund_capture(row.id, row.amount, fact.id))

    async def _refund_row(self, fact: GatewayRefund) -> CardRefundRow:
        """Return the locked row of a refund; one that nobody wished for here gets its own."""
        identifier = key_as_uuid(fact.key)
        if identifier is not None:
            key = (self._row.tenant, identifier)
            row = await self._tx.session.get(CardRefundRow, key, with_for_update=True)
            if row is not None and row.top_up == self._row.id:
                return row
        identifier = uuid5(_FOREIGN, f"{self._row.tenant}/{fact.id}")
        key = (self._row.tenant, identifier)
        row = await self._tx.session.get(CardRefundRow, key, with_for_update=True)
        if row is not None:
            return row
        _log.warning("refund_at_gateway", refund=fact.id, top_up=str(self._row.id))
        row = CardRefundRow(
            tenant=self._row.tenant,
            id=identifier,
            top_up=self._row.id,
            user_id=self._row.user_id,
            amount=fact.amount,
            currency=self._row.currency,
            status=RefundStatus.PENDING.value,
            foreign=True,
            captured=False,
            attempts=0,
            retry_at=self._tx.now,
            created_at=self._tx.now,
        )
        self._tx.session.add(row)
        return row

    async def _end(self, row: CardRefundRow, fact: GatewayRefund) -> None:
        row.status = fact.status.value
        row.reason = fact.reason[:_REASON_MAX] if fact.reason else None
        row.settled_at = self._tx.now
        about = self._about | {"amount": row.amount, "refund": row.id}
        if fact.status is RefundStatus.SUCCEEDED:
            event = RefundSucceeded(**about, at_gateway=row.foreign)  # type: ignore[arg-type]
            await emit(self._tx, event, tenant=row.tenant)
        else:
            await emit(self._tx, RefundFailed(**about, reason=row.reason), tenant=row.tenant)  # type: ignore[arg-type]

    async def _dispute(self, fact: GatewayDispute) -> None:
        key = (self._row.tenant, fact.id)
        row = await self._tx.session.get(CardDisputeRow, key, with_for_update=True)
        if row is None:
            row = self._new_dispute(fact)
            self._tx.session.add(row)
            await self._tell(DisputeOpened, row, reason=row.reason)
        before = DisputeStatus(row.status)
        if fact.status.rank > before.rank:
            row.status, row.changed_at = fact.status.value, self._tx.now
            await self._change(row, before, fact.status)
        elif fact.status is not before:
            _log.error(
                "dispute_went_back", dispute=fact.id, was=before.value, now=fact.status.value
            )
        if fact.evidence_due_by is not None:
            row.evidence_due_by = fact.evidence_due_by
        self.is_open |= row.status in {DisputeStatus.INQUIRY, DisputeStatus.OPEN}

    async def _change(
        self, row: CardDisputeRow, before: DisputeStatus, after: DisputeStatus
    ) -> None:
        if after is DisputeStatus.LOST:
            self._lose(row)
            await self._tell(DisputeLost, row)
        elif after in {DisputeStatus.WON, DisputeStatus.CLOSED}:
            if before is DisputeStatus.LOST:
                self._entries.append(self._book.dispute_regained(row.id, row.amount))
            await release_holds(self._tx, self._book, [row])
            await self._tell(DisputeWon if after is DisputeStatus.WON else DisputeClosed, row)

    def _lose(self, row: CardDisputeRow) -> None:
        """What was set aside pays, the rest is owed."""
        assert self._debtor is not None, "locked as soon as there is a dispute"
        rest = row.amount
        for hold, amount in row.holds:
            self._entries.append(self._book.dispute_capture(UUID(hold), row.id, amount))
            rest -= amount
        row.holds = []
        if rest:
            self._debtor.owed += rest
            self._entries.append(self._book.dispute_debt(row.id, rest))

    def _new_dispute(self, fact: GatewayDispute) -> CardDisputeRow:
        return CardDisputeRow(
            tenant=self._row.tenant,
            id=fact.id,
            top_up=self._row.id,
            user_id=self._row.user_id,
            amount=fact.amount,
            currency=self._row.currency,
            status=DisputeStatus.INQUIRY.value,
            reason=fact.reason[:_REASON_MAX],
            holds=[],
            created_at=self._tx.now,
            changed_at=self._tx.now,
        )

    async def _tell(
        self,
        kind: Callable[..., DisputeOpened | DisputeLost | DisputeWon | DisputeClosed],
        row: CardDisputeRow,
        **more: object,
    ) -> None:
        event = kind(**self._about, amount=row.amount, dispute=row.id, **more)
        await emit(self._tx, event, tenant=row.tenant)
