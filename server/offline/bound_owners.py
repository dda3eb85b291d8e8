"""Which device a key stands for: its own, or the one that it was bound to."""

from collections.abc import Iterable

from sqlalchemy import select

from offline_protocol.cose import unseal
from offline_protocol.key_bindings import KeyBinding
from offline_protocol.keys import PublicKey
from server.identity import DeviceView, devices_by_keys
from server.kit.bulk import rows_among
from server.kit.unit_of_work import Tx
from server.offline.models import CertificateRow, TransferRow, VoucherRow
from server.offline.records import slices
from server.offline.trust_models import BoundKeyRow


async def owners_of(tx: Tx, tenant: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return for each key id that of the key its device was enrolled with."""
    owners = {key: key for key in keys}
    rows = await rows_among(
        tx,
        BoundKeyRow.__tablename__,
        "key_id, owner",
        tenant=tenant,
        column="key_id",
        values=owners,
    )
    return owners | dict(map(tuple, rows))


async def devices_of(tx: Tx, tenant: int, keys: Iterable[bytes]) -> dict[bytes, DeviceView]:
    """Return the device of each key; a key that nobody enrolled or bound is left out."""
    owners = await owners_of(tx, tenant, keys)
    found: dict[bytes, DeviceView] = {}
    for names in slices(sorted(set(owners.values()))):
        found |= await devices_by_keys(tx, tenant, names)
    return {key: found[owner] for key, owner in owners.items() if owner in found}


async def keys_bound_to(tx: Tx, tenant: int, owner: bytes) -> list[bytes]:
    """Return the ids of the further keys of a device, in a fixed order."""
    query = (
        select(BoundKeyRow.key_id)
        .where(BoundKeyRow.tenant == tenant, BoundKeyRow.owner == owner)
        .order_by(BoundKeyRow.key_id)
    )
    return list(await tx.session.scalars(query))


async def unused_keys(tx: Tx, tenant: int, owner: bytes, count: int) -> list[PublicKey]:
    """Return certified further keys of a device that never held, signed or were paid anything."""
    now = int(tx.now.timestamp())
    held = select(VoucherRow.holder).where(VoucherRow.tenant == tenant)
    signed = select(TransferRow.signer).where(TransferRow.tenant == tenant)
    paid = select(TransferRow.payee).where(TransferRow.tenant == tenant)
    certified = select(CertificateRow.key_id).where(
        CertificateRow.tenant == tenant, CertificateRow.valid_to > now
    )
    query = (
        select(BoundKeyRow.binding)
        .where(
            BoundKeyRow.tenant == tenant,
            BoundKeyRow.owner == owner,
            BoundKeyRow.key_id.in_(certified),
            BoundKeyRow.key_id.not_in(held),
            BoundKeyRow.key_id.not_in(signed),
            BoundKeyRow.key_id.not_in(paid),
        )
        .order_by(BoundKeyRow.at.desc(), BoundKeyRow.key_id)
        .limit(count)
    )
    found = await tx.session.scalars(query)
    return [unseal(KeyBinding, envelope).body.bound for envelope in found]
