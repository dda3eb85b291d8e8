"""Refunds: the receiver gives back part or all, in any number of pieces, never more than came.

A refund is a transfer of its own in the other direction, and names the one that it refunds. What
comes back in time no longer counts against the sender's limits; it never counts against those of
the receiver, who only returns what was not earned.
"""

from uuid import UUID

from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx
from server.ledger import EntryRequest, post_many
from server.payments.limits import LimitKind, LimitUse, PastUse, give_back
from server.payments.transfers import events, postings
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import TransferState, Via, clean_note
from server.payments.transfers.errors import RefundRefused
from server.payments.transfers.models import TransferRow
from server.payments.transfers.notes import seal_note
from server.payments.transfers.schemas import RefundCreate, TransferView
from server.payments.transfers.views import own_transfer


async def refund(
    tx: Tx, desk: TransferDesk, caller: Caller, transfer_id: UUID, data: RefundCreate, *, key: str
) -> TransferView:
    """Give part of a received transfer back, once for a key.

    Raises:
        NotFound: the caller received no such transfer.
        RefundRefused: it is a refund itself, or less than the amount is left of it.
        InsufficientFunds, AccountClosed: the money.
        IdempotencyConflict: the key was used for another refund.
    """

    async def work() -> UUID:
        return await _refund(tx, desk, caller, transfer_id, data)

    refund_id = await once(
        tx,
        tenant=desk.tenant,
        owner=caller.user_id,
        operation="transfer_refund",
        key=key,
        digest=fingerprint((transfer_id, data)),
        answer_type=UUID,
        work=work,
    )
    return await own_transfer(tx, desk, caller.user_id, refund_id)


async def _refund(
    tx: Tx, desk: TransferDesk, caller: Caller, transfer_id: UUID, data: RefundCreate
) -> UUID:
    row = await tx.session.get(TransferRow, (desk.tenant, transfer_id), with_for_update=True)
    if row is None or row.receiver_id != caller.user_id:
        raise NotFound("You have received no transfer with this id.")
    left = row.received_amount - row.refunded
    if row.refund_of is not None or data.amount > left:
        raise RefundRefused(
            "A refund is not refunded itself."
            if row.refund_of is not None
            else "More than is left of the transfer cannot be refunded.",
            fix="Send a transfer instead.",
            left=0 if row.refund_of is not None else left,
        )
    assert row.state == TransferState.COMPLETED, "what has a receiver has arrived"
    row.refunded += data.amount
    refund_id = tx.ids.uuid()
    note = clean_note(data.note)
    tx.session.add(
        TransferRow(
            tenant=desk.tenant,
            id=refund_id,
            sender_id=caller.user_id,
            receiver_id=row.sender_id,
            amount=data.amount,
            currency=row.received_currency,
            received_amount=data.amount,
            received_currency=row.received_currency,
            state=TransferState.COMPLETED,
            via=Via.REFUND,
            note_sealed=seal_note(
                tx, desk.vault, note, tenant=desk.tenant, of="transfer", identifier=refund_id
            ),
            refund_of=row.id,
            refunded=0,
            created_at=tx.now,
            settled_at=tx.now,
        )
    )
    await tx.session.flush()
    await give_back(tx, desk.tenant, _unused(row, data.amount))
    (outcome,) = await post_many(tx, [_entry(row, refund_id, data.amount)])
    outcome.raise_for_refusal()
    await emit(tx, _event(row, refund_id, data.amount), tenant=desk.tenant)
    return refund_id


def _unused(row: TransferRow, amount: int) -> list[PastUse]:
    """Return what the sender used of limits in vain; in the sender's currency, rounded down."""
    share = row.amount * amount // row.received_amount
    use = LimitUse(row.sender_id, LimitKind.TRANSFER, row.currency, share)
    return [PastUse(use, row.created_at)] if share else []


def _entry(row: TransferRow, refund_id: UUID, amount: int) -> EntryRequest:
    assert row.receiver_id is not None
    return postings.for_refund(
        tenant=row.tenant,
        refund=refund_id,
        transfer=row.id,
        sender=row.sender_id,
        receiver=row.receiver_id,
        amount=amount,
        currency=row.received_currency,
    )


def _event(row: TransferRow, refund_id: UUID, amount: int) -> events.TransferRefunded:
    return events.TransferRefunded(
        transfer_id=row.id,
        refund_id=refund_id,
        sender_id=row.sender_id,
        receiver_id=row.receiver_id,
        amount=amount,
        currency=row.received_currency,
    )
