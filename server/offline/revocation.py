"""Revocation: which keys and vouchers no payee should take any more, as signed lists and deltas.

An entry is added in the transaction that finds the reason, so the list is never behind the
convictions. Its epoch rises once for each such transaction. An entry leaves the list when nothing
that it concerns can be accepted offline any more; epochs are never used again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, or_, select, union, update

from offline_protocol.constants import (
    REVOCATION_DELTA_BYTES_MAX,
    REVOCATION_LIST_BYTES_MAX,
    REVOKED_PREFIX_BYTES,
)
from offline_protocol.cose import Signed, seal
from offline_protocol.revocation import RevocationDelta, RevocationList, Revoked, prefix_of
from server.identity import DeviceStatus, DeviceView
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.bound_owners import devices_of, keys_bound_to
from server.offline.certificate_log import log_head
from server.offline.events import lock_offline, turn_of
from server.offline.issuer_keys import IssuerKeys
from server.offline.models import CertificateRow, VoucherRow
from server.offline.policy import policy_in_force
from server.offline.records import slices
from server.offline.trust_models import BoundKeyRow, RevocationRow

_BLOCKED = "device_blocked"
_GRACE_S = 7 * 86_400
"""Longer on the list than needed: payees' clocks may be wrong."""
_DELTA_ENTRIES_MAX = (REVOCATION_DELTA_BYTES_MAX - 512) // REVOKED_PREFIX_BYTES
_LIST_ENTRIES_MAX = (REVOCATION_LIST_BYTES_MAX - 512) // REVOKED_PREFIX_BYTES
_log = get_logger(__name__)


class RevokedKind(StrEnum):
    DEVICE = "device"
    VOUCHER = "voucher"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True)
class Revocation:
    """What to put on the list: ``identity`` is a whole id, ``until`` in Unix seconds."""

    identity: bytes
    kind: RevokedKind
    reason: str
    until: int


async def current_epoch(tx: Tx, tenant: int) -> int:
    """Return the epoch of the list as it stands; 0 before anything was ever revoked."""
    highest = await tx.session.execute(
        select(func.max(RevocationRow.added_epoch), func.max(RevocationRow.removed_epoch)).where(
            RevocationRow.tenant == tenant
        )
    )
    return max((epoch or 0 for epoch in highest.one()), default=0)


async def revoke(tx: Tx, tenant: int, revocations: Iterable[Revocation]) -> int:
    """Put entries on the list under one new epoch; what is on it stays. The caller holds the lock.

    One that was there only because its device was blocked stays for the graver reason from now on:
    giving the device back does not clear it any more.

    Returns:
        How many are new.
    """
    wanted = {prefix_of(each.identity): each for each in revocations}
    rows = await tx.session.scalars(
        select(RevocationRow).where(
            RevocationRow.tenant == tenant,
            RevocationRow.prefix.in_(list(wanted)),
            RevocationRow.removed_epoch.is_(None),
        )
    )
    for row in rows.all():
        again = wanted.pop(row.prefix)
        row.until = max(row.until, again.until)
        if row.reason == _BLOCKED:
            row.reason = again.reason
    await tx.session.flush()
    if not wanted:
        return 0
    epoch = await current_epoch(tx, tenant) + 1
    tx.session.add_all(
        RevocationRow(
            tenant=tenant,
            prefix=prefix,
            added_epoch=epoch,
            removed_epoch=None,
            identity=each.identity,
            kind=each.kind.value,
            reason=each.reason,
            until=each.until,
            at=tx.now,
        )
        for prefix, each in wanted.items()
    )
    await tx.session.flush()
    return len(wanted)


async def revoke_device(tx: Tx, tenant: int, device: DeviceView, reason: str) -> int:
    """Put a device on the list for as long as what it signs can be offered.

    That is the key that it was enrolled with, and each further one that can still do harm.
    """
    keys = [device.key.id, *await keys_bound_to(tx, tenant, device.key.id)]
    until = await _harmless_after(tx, tenant, keys)
    now = int(tx.now.timestamp())
    return await revoke(
        tx,
        tenant,
        [
            Revocation(key, RevokedKind.DEVICE, reason, until.get(key, now))
            for key in keys
            if key == device.key.id or until.get(key, 0) >= now
        ],
    )


async def _harmless_after(tx: Tx, tenant: int, keys: list[bytes]) -> dict[bytes, int]:
    """Return until when a payee can meet something that these keys sign, in Unix seconds.

    Who signs says when, so a key whose certificate has ended can still date a payment back to where
    it lasted; and that is spent as long as its voucher is. The holder of a voucher needs no
    certificate.
    """
    held = select(VoucherRow.holder, func.max(VoucherRow.spend_by)).where(
        VoucherRow.tenant == tenant, VoucherRow.holder.in_(keys)
    )
    until = dict((await tx.session.execute(held.group_by(VoucherRow.holder))).all())
    ends = await tx.session.execute(
        select(CertificateRow.key_id, func.max(CertificateRow.valid_to))
        .where(CertificateRow.tenant == tenant, CertificateRow.key_id.in_(keys))
        .group_by(CertificateRow.key_id)
    )
    open_until = await tx.session.scalar(
        select(func.max(VoucherRow.spend_by)).where(
            VoucherRow.tenant == tenant, VoucherRow.closed.is_(False)
        )
    )
    life = await _voucher_life(tx, tenant)
    for key, end in ends:
        until[key] = max(until.get(key, 0), end + life, open_until or 0)
    return until


async def _voucher_life(tx: Tx, tenant: int) -> int:
    """Return for how many seconds vouchers that are issued now may be spent."""
    return int((await policy_in_force(tx, tenant)).spend_by.total_seconds())


async def revoked_at(tx: Tx, tenant: int, epoch: int) -> Revoked:
    """Return the list as it stood at an epoch."""
    prefixes = await tx.session.scalars(
        select(RevocationRow.prefix).where(
            RevocationRow.tenant == tenant,
            RevocationRow.added_epoch <= epoch,
            or_(RevocationRow.removed_epoch.is_(None), RevocationRow.removed_epoch > epoch),
        )
    )
    return Revoked(epoch, frozenset(prefixes))


async def signed_list(tx: Tx, tenant: int, keys: IssuerKeys) -> Signed[RevocationList] | None:
    """Return the whole list, signed now; None before anything was ever revoked.

    None also where more is revoked than one list can say. Deltas go on, and so do syncs.
    """
    epoch = await current_epoch(tx, tenant)
    if not epoch:
        return None
    revoked = await revoked_at(tx, tenant, epoch)
    if len(revoked.prefixes) > _LIST_ENTRIES_MAX:
        _log.error("offline_revocations_full", tenant=tenant, entries=len(revoked.prefixes))
        return None
    now = int(tx.now.timestamp())
    issuer = keys.issuer_at(now)
    body = RevocationList.of(
        revoked,
        kid=issuer.public_key.kid,
        time=now,
        log=await log_head(tx, tenant),
    )
    return seal(body, issuer)


async def signed_delta(
    tx: Tx, tenant: int, keys: IssuerKeys, held_epoch: int
) -> Signed[RevocationDelta] | None:
    """Return what leads from a device's epoch to the present one.

    None where there is nothing new, the epoch is not one of ours, or a delta would be too large:
    then the whole list is the way.
    """
    epoch = await current_epoch(tx, tenant)
    if not 0 <= held_epoch < epoch:
        return None
    old, new = await revoked_at(tx, tenant, held_epoch), await revoked_at(tx, tenant, epoch)
    if len(old.prefixes ^ new.prefixes) > _DELTA_ENTRIES_MAX:
        return None
    now = int(tx.now.timestamp())
    issuer = keys.issuer_at(now)
    log = await log_head(tx, tenant)
    body = RevocationDelta.between(old, new, kid=issuer.public_key.kid, time=now, log=log)
    return seal(body, issuer)


async def keep_revocations(uow: UnitOfWork, *, tenant: int) -> None:
    """Revoke devices that were blocked or given up; drop what has run out or was given back."""

    async def command(tx: Tx) -> None:
        await lock_offline(tx, tenant)
        for device in await _blocked_devices(tx, tenant):
            await revoke_device(tx, tenant, device, _BLOCKED)
        await _drop(tx, tenant, await _run_out(tx, tenant))

    if await uow.read(lambda tx: _has_work(tx, tenant)):
        await uow.run(command, turn=turn_of(tenant))


async def _has_work(tx: Tx, tenant: int) -> bool:
    return bool(await _blocked_devices(tx, tenant)) or bool(await _run_out(tx, tenant))


async def _blocked_devices(tx: Tx, tenant: int) -> list[DeviceView]:
    """Return devices that identity does not let act any more and whose keys can still do harm."""
    now = int(tx.now.timestamp())
    listed = select(RevocationRow.identity).where(
        RevocationRow.tenant == tenant, RevocationRow.removed_epoch.is_(None)
    )
    able = union(
        select(CertificateRow.key_id).where(
            CertificateRow.tenant == tenant,
            CertificateRow.valid_to >= now - await _voucher_life(tx, tenant),
        ),
        select(VoucherRow.holder).where(
            VoucherRow.tenant == tenant,
            VoucherRow.closed.is_(False),
            VoucherRow.spend_by >= now,
        ),
    ).subquery()
    bound = (BoundKeyRow.tenant == tenant) & (BoundKeyRow.key_id == able.c.key_id)
    owners = await tx.session.scalars(
        select(func.coalesce(BoundKeyRow.owner, able.c.key_id))
        .select_from(able.outerjoin(BoundKeyRow, bound))
        .where(able.c.key_id.not_in(listed))
        .distinct()
    )
    devices = await devices_of(tx, tenant, owners.all())
    return [each for each in devices.values() if each.status is not DeviceStatus.ACTIVE]


async def _run_out(tx: Tx, tenant: int) -> set[bytes]:
    """Return prefixes that concern nothing any more, or a device that is active again."""
    rows = await tx.session.scalars(
        select(RevocationRow).where(
            RevocationRow.tenant == tenant, RevocationRow.removed_epoch.is_(None)
        )
    )
    over = int(tx.now.timestamp()) - _GRACE_S
    gone: set[bytes] = set()
    blocked: dict[bytes, bytes] = {}
    for row in rows:
        if row.until < over:
            gone.add(row.prefix)
        elif row.reason == _BLOCKED:
            blocked[row.identity] = row.prefix
    devices = await devices_of(tx, tenant, blocked)
    return gone | {
        prefix
        for key, prefix in blocked.items()
        if key in devices and devices[key].status is DeviceStatus.ACTIVE
    }


async def _drop(tx: Tx, tenant: int, prefixes: set[bytes]) -> None:
    epoch = await current_epoch(tx, tenant) + 1
    for names in slices(sorted(prefixes)):
        await tx.session.execute(
            update(RevocationRow)
            .where(
                RevocationRow.tenant == tenant,
                RevocationRow.removed_epoch.is_(None),
                RevocationRow.prefix.in_(names),
            )
            .values(removed_epoch=epoch)
        )
