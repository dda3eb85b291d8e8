"""What stays of a transfer beside its ledger entry: its row, who it waits for, what is told."""

from collections.abc import Sequence
from uuid import UUID

from server.identity import invite
from server.kit.bulk import id_value, insert_rows
from server.kit.db import to_microseconds
from server.kit.money import Money
from server.kit.outbox import Event, emit
from server.kit.unit_of_work import Tx
from server.payments.transfers import events
from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.models import PendingTransferRow, TransferRow
from server.payments.transfers.notes import seal_note
from server.payments.transfers.pending import FIRST_CHECK
from server.payments.transfers.plans import Plan
from server.payments.transfers.schemas import TransferView
from server.payments.transfers.views import shown_person

_TRANSFER_COLUMNS = (
    "tenant", "id", "sender_id", "receiver_id", "amount", "currency", "received_amount",
    "received_currency", "state", "via", "address_hint", "note_sealed", "quote_id", "request_id",
    "schedule_id", "refund_of", "refunded", "created_at", "settled_at",
)  # fmt: skip
_PENDING_COLUMNS = (
    "tenant", "transfer_id", "sender_id", "address_kind", "address_index", "expires_at",
    "check_at", "checks", "attempts",
)  # fmt: skip


async def record(tx: Tx, desk: TransferDesk, plans: Sequence[Plan]) -> None:
    """Store transfers whose money has moved, write to those who are not registered, tell others."""
    if not plans:
        return
    rows = [_row(tx, desk, plan) for plan in plans]
    await insert_rows(tx, TransferRow.__tablename__, _TRANSFER_COLUMNS, rows)
    if waiting := [_pending_row(tx, desk, plan) for plan in plans if plan.address is not None]:
        await insert_rows(tx, PendingTransferRow.__tablename__, _PENDING_COLUMNS, waiting)
        for plan in plans:
            if plan.address is not None:
                await invite(
                    tx,
                    desk.vault,
                    desk.tenant,
                    plan.address,
                    sender=plan.order.sender,
                    text=_invitation(desk, plan),
                )
    await emit(tx, *(_event(plan) for plan in plans), tenant=desk.tenant)


def sent_view(tx: Tx, plan: Plan) -> TransferView:
    """Return a transfer that was sent in this transaction, as its sender sees it."""
    order, arrived = plan.order, plan.receiver is not None
    hint = plan.address.hint if plan.address is not None else None
    return TransferView(
        id=plan.id,
        direction="sent",
        state="completed" if arrived else "pending",
        amount=order.amount,
        currency=order.currency,
        received_amount=plan.received_amount,
        received_currency=plan.received_currency,
        counterpart=shown_person(plan.receiver, plan.via, hint),
        note=order.note,
        refunded=0,
        refund_of=None,
        request_id=order.request_id,
        schedule_id=order.schedule_id,
        created_at=tx.now,
        settled_at=tx.now if arrived else None,
    )


def _row(tx: Tx, desk: TransferDesk, plan: Plan) -> tuple[object, ...]:
    order, now = plan.order, to_microseconds(tx.now)
    return (
        order.tenant,
        id_value(tx, plan.id),
        id_value(tx, order.sender),
        _optional(tx, plan.receiver.id if plan.receiver is not None else None),
        order.amount,
        order.currency,
        plan.received_amount,
        plan.received_currency,
        plan.state.value,
        plan.via.value,
        plan.address.hint if plan.address is not None else None,
        seal_note(
            tx, desk.vault, order.note, tenant=order.tenant, of="transfer", identifier=plan.id
        ),
        _optional(tx, order.quote_id),
        _optional(tx, order.request_id),
        _optional(tx, order.schedule_id),
        None,
        0,
        now,
        now if plan.receiver is not None else None,
    )


def _pending_row(tx: Tx, desk: TransferDesk, plan: Plan) -> tuple[object, ...]:
    assert plan.address is not None
    return (
        plan.order.tenant,
        id_value(tx, plan.id),
        id_value(tx, plan.order.sender),
        plan.address.kind.value,
        plan.address.blind_index,
        to_microseconds(tx.now + desk.policy.pending_life),
        to_microseconds(tx.now + FIRST_CHECK),
        0,
        0,
    )


def _optional(tx: Tx, value: UUID | None) -> UUID | bytes | None:
    return None if value is None else id_value(tx, value)


def _event(plan: Plan) -> Event:
    order = plan.order
    if plan.receiver is None:
        return events.TransferPending(
            transfer_id=plan.id,
            sender_id=order.sender,
            receiver_id=None,
            amount=order.amount,
            currency=order.currency,
        )
    return events.TransferSent(
        transfer_id=plan.id,
        sender_id=order.sender,
        receiver_id=plan.receiver.id,
        amount=order.amount,
        currency=order.currency,
        received_amount=plan.received_amount,
        received_currency=plan.received_currency,
    )


def _invitation(desk: TransferDesk, plan: Plan) -> str:
    # A username holds letters, digits and _ only; a display name could hold an advertisement.
    return (
        f"@{plan.sender.username} sent you {Money(plan.order.amount, plan.order.currency)} with "
        f"Tallystick. Register at {desk.public_address} and confirm this address within "
        f"{desk.policy.pending_life.days} days to receive it."
    )
