"""Devices after enrolment: what their owner may do with them, and what other rooms may."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import select, update

from offline_protocol.keys import PublicKey
from server.identity.desk import Desk
from server.identity.domain import (
    DEVICE_CHANGES,
    DeviceStatus,
    DeviceView,
    SessionEnd,
    clean_name,
)
from server.identity.errors import DeviceStateConflict
from server.identity.models import DeviceRow
from server.identity.notices import notify_user
from server.identity.schemas import DeviceDetail
from server.identity.session_tokens import end_sessions
from server.identity.signals import Signal, record_signal
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx

LIST_MAX: Final = 100
_FINAL: Final[Mapping[DeviceStatus, SessionEnd]] = {
    DeviceStatus.LOST: SessionEnd.DEVICE_LOST,
    DeviceStatus.REVOKED: SessionEnd.DEVICE_REVOKED,
}


async def list_devices(desk: Desk, caller: Caller) -> list[DeviceDetail]:
    """Return the caller's devices, the newest first, at most ``LIST_MAX``."""

    async def query(tx: Tx) -> list[DeviceDetail]:
        rows = await tx.session.scalars(
            select(DeviceRow)
            .where(DeviceRow.tenant == caller.tenant, DeviceRow.user_id == caller.user_id)
            .order_by(DeviceRow.enrolled_at.desc(), DeviceRow.id.desc())
            .limit(LIST_MAX)
        )
        return [_detail(row, caller) for row in rows]

    return await desk.uow.read(query)


async def rename_device(desk: Desk, caller: Caller, device_id: UUID, name: str) -> DeviceDetail:
    """Give a device another name.

    Raises:
        NotFound: the caller has no such device.
    """
    name = clean_name(name, field="name")

    async def command(tx: Tx) -> DeviceDetail:
        row = await _own_device(tx, caller, device_id)
        row.name = name
        return _detail(row, caller)

    return await desk.uow.run(command)


async def change_device(
    desk: Desk, caller: Caller, device_id: UUID, status: DeviceStatus
) -> DeviceDetail:
    """Suspend, resume, report lost or revoke a device. Asking twice changes nothing more.

    A device that is not active cannot call: its tokens die at once. Lost and revoked are final and
    end its sessions.

    Raises:
        NotFound: the caller has no such device.
        DeviceStateConflict: the device's state does not allow it, or the house holds it.
    """

    async def command(tx: Tx) -> DeviceDetail:
        row = await _own_device(tx, caller, device_id)
        before = DeviceStatus(row.status)
        if before is status:
            return _detail(row, caller)
        if status not in DEVICE_CHANGES[before]:
            raise DeviceStateConflict(
                f"The device is {before}.", fix="Enrol it again with a new key.", state=before
            )
        if status is DeviceStatus.ACTIVE and row.held_reason is not None:
            raise DeviceStateConflict(
                "The device was suspended by the house.", fix="Ask support.", state=before
            )
        row.status, row.changed_at = status, tx.now
        await tx.session.flush()
        if status in _FINAL:
            await end_sessions(tx, caller.tenant, _FINAL[status], device_id=device_id)
        await notify_user(
            tx,
            desk,
            caller.user_id,
            "A device of your account was changed",
            f"The device '{row.name}' is {status} now.",
        )
        return _detail(row, caller)

    return await desk.uow.run(command)


async def devices_by_keys(
    tx: Tx, tenant: int, key_ids: Collection[bytes]
) -> dict[bytes, DeviceView]:
    """Return the devices with these keys (32-byte ids), whosever and in whatever state."""
    if not key_ids:
        return {}
    rows = await tx.session.scalars(
        select(DeviceRow).where(DeviceRow.tenant == tenant, DeviceRow.key_id.in_(set(key_ids)))
    )
    return {row.key_id: _view(row) for row in rows}


async def device_by_id(tx: Tx, tenant: int, device_id: UUID) -> DeviceView | None:
    row = await tx.session.get(DeviceRow, (tenant, device_id))
    return _view(row) if row is not None else None


async def suspend_device(tx: Tx, tenant: int, device_id: UUID, reason: str) -> bool:
    """Suspend a device on behalf of the house, so that its owner cannot resume it.

    Returns:
        Whether this changed anything: not for a device that is held, lost or revoked already.
    """
    held = await tx.session.scalar(
        update(DeviceRow)
        .where(
            DeviceRow.tenant == tenant,
            DeviceRow.id == device_id,
            DeviceRow.status.in_([DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED]),
            DeviceRow.held_reason.is_(None),
        )
        .values(status=DeviceStatus.SUSPENDED, held_reason=reason[:64], changed_at=tx.now)
        .returning(DeviceRow.user_id)
    )
    if held is None:
        return False
    await record_signal(
        tx,
        tenant,
        Signal.DEVICE_HELD,
        user_id=held,
        detail={"device_id": str(device_id), "reason": reason[:64]},
    )
    return True


async def _own_device(tx: Tx, caller: Caller, device_id: UUID) -> DeviceRow:
    row = await tx.session.scalar(
        select(DeviceRow)
        .where(
            DeviceRow.tenant == caller.tenant,
            DeviceRow.id == device_id,
            DeviceRow.user_id == caller.user_id,
        )
        .with_for_update()
    )
    if row is None:
        raise NotFound("You have no such device.", fix="GET /v1/devices lists yours.")
    return row


def _view(row: DeviceRow) -> DeviceView:
    return DeviceView(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        key=PublicKey(row.public_key),
        status=DeviceStatus(row.status),
        enrolled_at=row.enrolled_at,
    )


def _detail(row: DeviceRow, caller: Caller) -> DeviceDetail:
    return DeviceDetail(
        id=str(row.id),
        name=row.name,
        status=DeviceStatus(row.status).value,
        held=row.held_reason is not None,
        key_id=to_base64url(row.key_id),
        enrolled_at=row.enrolled_at,
        changed_at=row.changed_at,
        current=row.id == caller.device_id,
    )
