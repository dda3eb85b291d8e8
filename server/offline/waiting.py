"""Records that wait for the one that they build on: nobody can judge them before."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

from sqlalchemy import delete, exists, func, insert, select

from offline_protocol.cose import Signed, unseal
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer
from server.kit.bulk import rows_among
from server.kit.unit_of_work import Tx
from server.offline.models import WaitingRow
from server.offline.records import slices
from server.offline.trees import read_transfer

_TABLE = WaitingRow.__tablename__
Waiting = Signed[Transfer] | Signed[Receipt]


async def insert_waiting(
    tx: Tx, tenant: int, waiting: Mapping[bytes, Sequence[Waiting]], *, uploader: bytes, most: int
) -> list[Waiting]:
    """Keep records until the one that they build on comes, by the id of that one.

    ``most`` is how many may wait for one device that uploads. Returns those without room.
    """
    if not waiting:
        return []
    offered = {
        sha256(each.envelope).digest(): (parent, each)
        for parent, group in waiting.items()
        for each in group
    }
    stored = await rows_among(
        tx, _TABLE, "envelope_id", tenant=tenant, column="envelope_id", values=offered
    )
    known = {digest for (digest,) in stored}
    count = await tx.session.scalar(
        select(func.count()).where(WaitingRow.tenant == tenant, WaitingRow.uploader == uploader)
    )
    room = max(0, most - (count or 0))
    fresh = [digest for digest in offered if digest not in known]
    rows = [
        {
            "tenant": tenant,
            "envelope_id": digest,
            "kind": offered[digest][1].body.NAME,
            "parent": offered[digest][0],
            "uploader": uploader,
            "received_at": tx.now,
            "envelope": offered[digest][1].envelope,
        }
        for digest in fresh[:room]
    ]
    if rows:
        await tx.connection.execute(insert(WaitingRow), rows)
    return [offered[digest][1] for digest in fresh[room:]]


async def take_waiting(
    tx: Tx, tenant: int, parents: Collection[bytes]
) -> tuple[list[Signed[Transfer]], list[Signed[Receipt]]]:
    """Remove and return the records that waited for these transfers."""
    if not parents or not await tx.session.scalar(
        select(exists().where(WaitingRow.tenant == tenant))
    ):
        return [], []
    found = await rows_among(
        tx, _TABLE, "envelope_id, kind, envelope", tenant=tenant, column="parent", values=parents
    )
    for names in slices([digest for digest, *_ in found]):
        await tx.session.execute(
            delete(WaitingRow).where(WaitingRow.tenant == tenant, WaitingRow.envelope_id.in_(names))
        )
    transfers: list[Signed[Transfer]] = []
    receipts: list[Signed[Receipt]] = []
    for _, kind, envelope in sorted(map(tuple, found)):
        if kind == Transfer.NAME:
            transfers.append(read_transfer(envelope))
        else:
            receipts.append(unseal(Receipt, envelope))
    return transfers, receipts
