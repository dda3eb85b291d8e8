"""Reads of disputes and debts, for their owners and for officers."""

from uuid import UUID

import msgspec
from sqlalchemy import or_, select, true

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.ledger import post_many
from server.payments.cards.debts import held_for, lock_debtor
from server.payments.cards.models import CardDebtorRow, CardDisputeRow, CardRefundRow
from server.payments.cards.postings import CardBook
from server.payments.cards.schemas import CardDebtView, CardDisputeView, DebtWriteOff, RefundView

_LISTED_MAX = 100


async def disputes_of(tx: Tx, tenant: int, user: UUID | None = None) -> list[CardDisputeView]:
    """Return a user's contested payments, or everybody's, the newest first."""
    query = (
        select(CardDisputeRow)
        .where(CardDisputeRow.tenant == tenant)
        .where(CardDisputeRow.user_id == user if user is not None else true())
        .order_by(CardDisputeRow.created_at.desc(), CardDisputeRow.id)
        .limit(_LISTED_MAX)
    )
    rows = (await tx.session.scalars(query)).all()
    return [
        CardDisputeView(
            id=row.id,
            top_up=row.top_up,
            amount=row.amount,
            currency=row.currency,
            status=row.status,  # type: ignore[arg-type]
            reason=row.reason,
            held=held_for(row),
            evidence_due_by=row.evidence_due_by,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


async def debts_of(tx: Tx, tenant: int, user: UUID | None = None) -> list[CardDebtView]:
    """Return what a user owes, or who owes anything, the largest debts first."""
    query = (
        select(CardDebtorRow)
        .where(
            CardDebtorRow.tenant == tenant,
            or_(CardDebtorRow.owed > 0, CardDebtorRow.short > 0),
            CardDebtorRow.user_id == user if user is not None else true(),
        )
        .order_by(CardDebtorRow.owed.desc(), CardDebtorRow.user_id, CardDebtorRow.currency)
        .limit(_LISTED_MAX)
    )
    rows = (await tx.session.scalars(query)).all()
    return [msgspec.convert(row, CardDebtView, from_attributes=True) for row in rows]


async def write_off(tx: Tx, caller: Caller, data: DebtWriteOff, *, key: str) -> CardDebtView:
    """Give up a user's card debt: it becomes the house's loss, once for each key.

    Raises:
        NotFound: the user owes nothing in this currency.
        UnknownCurrency: this server does not know the currency.
        IdempotencyConflict: the key was used for another debt.
    """

    async def work() -> CardDebtView:
        book = CardBook(caller.tenant, data.user_id, asset(data.currency).code)
        debtor = await lock_debtor(tx, book)
        if not debtor.owed:
            raise NotFound("This user has no card debt in this currency.")
        memo: dict[str, object] = {"by": str(caller.user_id), "reason": data.reason}
        (outcome,) = await post_many(tx, [book.write_off(tx.ids.uuid(), debtor.owed, memo)])
        outcome.raise_for_refusal()
        debtor.owed = 0
        await tx.session.flush()
        return msgspec.convert(debtor, CardDebtView, from_attributes=True)

    return await once(
        tx,
        tenant=caller.tenant,
        owner=caller.user_id,
        operation="write_off_card_debt",
        key=key,
        digest=fingerprint(data),
        answer_type=CardDebtView,
        work=work,
    )


def refund_view(row: CardRefundRow) -> RefundView:
    return msgspec.convert(row, RefundView, from_attributes=True)
