"""What a user's devices are told at their next sync, in the order in which it happened.

A device keeps the number of the last event that it has read. Numbers are given under
`lock_offline`, so a smaller one never appears after a larger one was read.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, text

from offline_protocol.cose import Signed
from offline_protocol.receipts import Receipt
from server.identity import DeviceView
from server.kit.bulk import id_value, insert_rows, json_text, rows_among
from server.kit.db import to_microseconds
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.offline.models import EventRow, TransferRow
from server.offline.standing import Standing

EVENTS_PER_SYNC = 200
_LOCK_SPACE = 0x0FF1
_COLUMNS = ("tenant", "seq", "user_id", "device_key", "type", "body", "transfer", "at")


class EventType(StrEnum):
    VOUCHER_ISSUED = "voucher_issued"
    TRANSFER_KNOWN = "transfer_known"
    CREDITED = "credited"
    CREDIT_REDUCED = "credit_reduced"
    CREDIT_FINAL = "credit_final"
    VOUCHER_CLOSED = "voucher_closed"
    FORK_FOUND = "fork_found"
    DEBT_CHARGED = "debt_charged"
    COLLATERAL_CHANGED = "collateral_changed"
    DISPUTE_STEP = "dispute_step"
    CERTIFICATE_REFUSED = "certificate_refused"


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell one device of a user, or all of them.

    ``device_key`` is the id of the key that the one device was enrolled with, or None for all.

    ``transfer`` is the id of the transfer that it tells of, whose content is added on reading.
    """

    type: EventType
    user_id: UUID
    body: Mapping[str, object] = field(default_factory=dict)
    device_key: bytes | None = None
    transfer: bytes | None = None

    @classmethod
    def known(cls, transfer: bytes, device: DeviceView, receipt: Signed[Receipt] | None) -> "Event":
        """Tell one device of a transfer that was stored, and of the payee's receipt for it."""
        body = {} if receipt is None else {"receipt": to_base64url(receipt.envelope)}
        return cls(EventType.TRANSFER_KNOWN, device.user_id, body, device.key.id, transfer)

    @classmethod
    def issued(cls, user: UUID, voucher: bytes, amount: int, currency: str, entry: UUID) -> "Event":
        body = {
            "voucher_id": to_base64url(voucher),
            "amount": amount,
            "currency": currency,
            "entries": [str(entry)],
        }
        return cls(EventType.VOUCHER_ISSUED, user, body)

    @classmethod
    def debt(
        cls,
        user: UUID,
        currency: str,
        before: Standing,
        after: Standing,
        entries: Sequence[UUID] = (),
    ) -> "Event":
        """Tell a user what is owed now, and how much of it was taken from the user's own money.

        ``charged`` and ``taken`` say what changed since the last time; ``from_collateral`` is the
        part of all that was taken which had been set aside.
        """
        body = {
            "amount": after.owed + after.overdrawn,
            "recovered": after.recovered,
            "from_collateral": after.secured + after.cushioned,
            "charged": after.owed + after.overdrawn - before.owed - before.overdrawn,
            "taken": after.recovered + after.cushioned - before.recovered - before.cushioned,
            "outstanding": after.outstanding,
            "currency": currency,
            "entries": list(map(str, entries)),
        }
        return cls(EventType.DEBT_CHARGED, user, body)

    @classmethod
    def no_certificate(cls, device: DeviceView, reason: str) -> "Event":
        return cls(EventType.CERTIFICATE_REFUSED, device.user_id, {"reason": reason}, device.key.id)


def turn_of(tenant: int) -> tuple[str, int]:
    """Return the turn (see `UnitOfWork.run`) of every command that takes `lock_offline`."""
    return ("offline", tenant)


async def lock_offline(tx: Tx, tenant: int) -> None:
    """Let one command at a time change the tenant's offline money, until it ends.

    Every settlement moves the one offline float anyway; taken first, this lock also keeps the
    order of all others the same. SQLite has one writer without it.
    """
    if tx.dialect == "postgresql":
        await tx.connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, :tenant)"),
            {"space": _LOCK_SPACE, "tenant": tenant},
        )


async def tell(tx: Tx, tenant: int, events: Sequence[Event]) -> None:
    """Store events. The caller holds `lock_offline`."""
    if not events:
        return
    last = await tx.session.scalar(select(func.max(EventRow.seq)).where(EventRow.tenant == tenant))
    now = to_microseconds(tx.now)
    rows = [
        (
            tenant,
            seq,
            id_value(tx, event.user_id),
            event.device_key,
            event.type.value,
            json_text(event.body) if event.body else "{}",
            event.transfer,
            now,
        )
        for seq, event in enumerate(events, (last or 0) + 1)
    ]
    await insert_rows(tx, EventRow.__tablename__, _COLUMNS, rows)


async def events_after(
    tx: Tx, tenant: int, *, user_id: UUID, device_key: bytes, cursor: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return a device's next events as they are told, and whether there are still more."""
    query = (
        select(EventRow.seq, EventRow.type, EventRow.at, EventRow.body, EventRow.transfer)
        .where(
            EventRow.tenant == tenant,
            EventRow.user_id == user_id,
            EventRow.seq > cursor,
            or_(EventRow.device_key.is_(None), EventRow.device_key == device_key),
        )
        .order_by(EventRow.seq)
        .limit(EVENTS_PER_SYNC + 1)
    )
    rows = (await tx.session.execute(query)).all()
    page = rows[:EVENTS_PER_SYNC]
    named = await _transfers(tx, tenant, {row.transfer for row in page} - {None})
    told = [
        {**row.body, **named.get(row.transfer, {}), "seq": row.seq, "type": row.type, "at": row.at}
        for row in page
    ]
    return told, len(rows) > EVENTS_PER_SYNC


async def _transfers(tx: Tx, tenant: int, names: Collection[bytes]) -> dict[bytes, dict[str, str]]:
    """Return what events say of these transfers."""
    found = await rows_among(
        tx,
        TransferRow.__tablename__,
        "id, parent, kind, envelope",
        tenant=tenant,
        column="id",
        values=names,
    )
    return {
        identity: {
            "transfer_id": to_base64url(identity),
            "parent": to_base64url(parent),
            "kind": kind,
            "object": to_base64url(envelope),
        }
        for identity, parent, kind, envelope in found
    }
