"""The hash chain: entries are sealed in blocks, in the background, never while they are posted.

Every entry waits in a queue that the database fills by itself. Sealing gives the waiting entries
gapless positions, stores one hash for each (over the entry and its two postings as the database
returns them, see `leaves`), and closes the block with a seal: the Merkle root of the block, linked
to the seal before it. Whoever keeps one seal's hash elsewhere can tell later whether anything up to
it changed.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    delete,
    func,
    insert,
    select,
    true,
    tuple_,
)

from offline_protocol.keys import Signer
from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger.canonical import canonical
from server.ledger.leaves import BLIND_BYTES, leaf_hashes
from server.ledger.merkle import HASH_BYTES, path_of, root_from_path, root_of
from server.ledger.models import LeafRow, SealRow, UnsealedRow

BLOCK_MAX = 1000
FIRST_PREVIOUS = bytes(HASH_BYTES)
SEAL_CONTEXT = b"tallystick/ledger-seal/1"
_LOCK_CLASS = 0x5EA1
"""First half of the advisory lock that sealers of a tenant compete for."""
_WAYS_TO_READ_ALL = ("seqscan", "hashjoin", "mergejoin")


@dataclass(frozen=True, slots=True)
class Seal:
    """A closed block: all entries after the previous seal up to ``last_position``."""

    tenant: int
    number: int
    last_position: int
    root: bytes
    previous: bytes
    at: datetime

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for every entry up to here; this is what is signed and published."""
        return hashlib.sha256(
            SEAL_CONTEXT
            + canonical(
                self.tenant,
                self.number,
                self.last_position,
                self.root,
                self.previous,
                to_microseconds(self.at),
            )
        ).digest()


@dataclass(frozen=True, slots=True)
class EntryProof:
    """Shows, without the other entries, that a seal covers an entry."""

    leaf: bytes
    index: int
    size: int
    path: tuple[bytes, ...]
    seal: Seal
    public_key: bytes | None = None
    signature: bytes | None = None
    """Of the seal."""

    def holds(self) -> bool:
        return root_from_path(self.leaf, self.index, self.size, self.path) == self.seal.root


async def seal_once(
    uow: UnitOfWork, signer: Signer | None = None, *, tenant: int = 1, limit: int = BLOCK_MAX
) -> Seal | None:
    """Close one block over the entries that wait; None when there are none.

    Where several processes try at the same time one of them seals, and the others return None.
    """
    return await uow.run(lambda tx: _seal(tx, signer, tenant, limit))


async def prove_entry(tx: Tx, tenant: int, entry: UUID) -> EntryProof | None:
    """Return the proof that an entry is sealed, or None while it waits."""
    leaf = (
        await tx.connection.execute(
            select(LeafRow.position, LeafRow.hash).where(
                LeafRow.tenant == tenant, LeafRow.entry == entry
            )
        )
    ).first()
    if leaf is None:
        return None
    row = (
        await tx.connection.execute(
            select(_SEAL)
            .where(SealRow.tenant == tenant, SealRow.last_position >= leaf.position)
            .order_by(SealRow.number)
            .limit(1)
        )
    ).one()
    first = await tx.connection.scalar(
        select(SealRow.last_position + 1).where(
            SealRow.tenant == tenant, SealRow.number == row.number - 1
        )
    )
    hashes = (
        await tx.connection.scalars(
            select(LeafRow.hash)
            .where(
                LeafRow.tenant == tenant,
                LeafRow.position.between(first or 1, row.last_position),
            )
            .order_by(LeafRow.position)
        )
    ).all()
    index = leaf.position - (first or 1)
    path = tuple(path_of(hashes, index))
    return EntryProof(leaf.hash, index, len(hashes), path, *seal_of(row))


def seal_of(row: Any) -> tuple[Seal, bytes | None, bytes | None]:
    """Return a stored seal with its key and signature."""
    seal = Seal(row.tenant, row.number, row.last_position, row.root, row.previous, row.at)
    return seal, row.public_key, row.signature


async def _seal(tx: Tx, signer: Signer | None, tenant: int, limit: int) -> Seal | None:
    if not await _alone(tx, tenant):
        return None
    waiting = (
        await tx.connection.execute(
            select(UnsealedRow.at, UnsealedRow.entry)
            .where(UnsealedRow.tenant == tenant)
            .order_by(UnsealedRow.at, UnsealedRow.entry)
            .limit(min(limit, BLOCK_MAX))
        )
    ).all()
    if not waiting:
        return None
    last = (
        await tx.connection.execute(
            select(_SEAL).where(_SEAL.c.tenant == tenant).order_by(_SEAL.c.number.desc()).limit(1)
        )
    ).first()
    entries = [row.entry for row in waiting]
    blinds = {entry: tx.ids.token(BLIND_BYTES) for entry in entries}
    hashes = await leaf_hashes(tx, tenant, blinds)
    leaves = [hashes[entry] for entry in entries]
    position = last.last_position if last else 0
    seal = Seal(
        tenant,
        last.number + 1 if last else 1,
        position + len(leaves),
        root_of(leaves),
        last.hash if last else FIRST_PREVIOUS,
        max(tx.now, last.at) if last else tx.now,
    )
    await tx.connection.execute(
        insert(LeafRow),
        [
            {
                "tenant": tenant,
                "position": position + place,
                "entry": entry,
                "hash": leaf,
                "blind": blinds[entry],
            }
            for place, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), start=1)
        ],
    )
    await tx.connection.execute(
        insert(SealRow),
        {
            "tenant": tenant,
            "number": seal.number,
            "last_position": seal.last_position,
            "root": seal.root,
            "previous": seal.previous,
            "hash": seal.hash,
            "at": seal.at,
            "public_key": signer.public_key.raw if signer else None,
            "signature": signer.sign(seal.hash) if signer else None,
        },
    )
    queued = tuple_(UnsealedRow.tenant, UnsealedRow.at, UnsealedRow.entry)
    await tx.connection.execute(
        delete(UnsealedRow).where(queued.in_([(tenant, row.at, row.entry) for row in waiting]))
    )
    return seal


_SEAL = SealRow.__table__


async def _alone(tx: Tx, tenant: int) -> bool:
    """Return whether this transaction is the one that seals. SQLite has one writer anyway."""
    if tx.dialect == "sqlite":
        return True
    # What is sealed is read by key; a plan from when the tables were empty would read all of them.
    here_alone = true()
    keyed = [func.set_config(f"enable_{way}", "off", here_alone) for way in _WAYS_TO_READ_ALL]
    lock = select(func.pg_try_advisory_xact_lock(_LOCK_CLASS, tenant), *keyed)
    return bool(await tx.connection.scalar(lock))
