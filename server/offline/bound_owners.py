"""Which device a key stands for: its own, or the one that it was bound to."""

from collections.abc import Iterable

from sqlalchemy import select

from server.kit.unit_of_work import Tx
from server.offline.trust_models import BoundKeyRow


async def owners_of(tx: Tx, tenant: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return for each key id that of the key its device was enrolled with."""
    owners = {key: key for key in keys}
    rows = await tx.session.execute(
        select(BoundKeyRow.key_id, BoundKeyRow.owner).where(
            BoundKeyRow.tenant == tenant, BoundKeyRow.key_id.in_(list(owners))
        )
    )
    return owners | dict(rows.all())


async def keys_bound_to(tx: Tx, tenant: int, owner: bytes) -> list[bytes]:
    """Return the ids of the further keys of a device, in a fixed order."""
    query = (
        select(BoundKeyRow.key_id)
        .where(BoundKeyRow.tenant == tenant, BoundKeyRow.owner == owner)
        .order_by(BoundKeyRow.key_id)
    )
    return list(await tx.session.scalars(query))
