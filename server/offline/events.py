"""What a user's devices are told at their next sync, in the order in which it happened.

A device keeps the number of the last event that it has read. Numbers are given under
`lock_offline`, so a smaller one never appears after a larger one was read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, insert, or_, select, text

from server.identity import DeviceView
from server.kit.unit_of_work import Tx
from server.offline.models import EventRow
from server.offline.standing import Standing

EVENTS_PER_SYNC = 200
_LOCK_SPACE = 0x0FF1


class EventType(StrEnum):
    TRANSFER_KNOWN = "transfer_known"
    CREDITED = "credited"
    CREDIT_REDUCED = "credit_reduced"
    CREDIT_FINAL = "credit_final"
    VOUCHER_CLOSED = "voucher_closed"
    FORK_FOUND = "fork_found"
    DEBT_CHARGED = "debt_charged"
    CERTIFICATE_REFUSED = "certificate_refused"


@dataclass(frozen=True, slots=True)
class Event:
    """``device_key`` is the id of the one device that it concerns, or None for all of them."""

    type: EventType
    user_id: UUID
    body: Mapping[str, object] = field(default_factory=dict)
    device_key: bytes | None = None

    @classmethod
    def debt(cls, user: UUID, currency: str, standing: Standing) -> "Event":
        """Tell a user what is owed now, and how much of it was taken from the balance."""
        body = {
            "amount": standing.owed + standing.overdrawn,
            "recovered": standing.recovered,
            "currency": currency,
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
    await tx.connection.execute(
        insert(EventRow),
        [
            {
                "tenant": tenant,
                "seq": seq,
                "user_id": event.user_id,
                "device_key": event.device_key,
                "type": event.type.value,
                "body": dict(event.body),
                "at": tx.now,
            }
            for seq, event in enumerate(events, (last or 0) + 1)
        ],
    )


async def events_after(
    tx: Tx, tenant: int, *, user_id: UUID, device_key: bytes, cursor: int
) -> tuple[list[EventRow], bool]:
    """Return a device's next events, and whether there are still more."""
    query = (
        select(EventRow)
        .where(
            EventRow.tenant == tenant,
            EventRow.user_id == user_id,
            EventRow.seq > cursor,
            or_(EventRow.device_key.is_(None), EventRow.device_key == device_key),
        )
        .order_by(EventRow.seq)
        .limit(EVENTS_PER_SYNC + 1)
    )
    rows = list(await tx.session.scalars(query))
    return rows[:EVENTS_PER_SYNC], len(rows) > EVENTS_PER_SYNC
