"""Proofs of single entries, for one of the two sides."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx
from server.ledger.book_errors import NotSealedYet
from server.ledger.chain import EntryProof, prove_entry
from server.ledger.leaves import PARTS, key_of, part_digest, parts_of
from server.ledger.models import AccountRow, EntryRow, LeafRow


class Part(NamedTuple):
    """A part of a leaf. Whoever may see it gets content and key, others the digest alone."""

    name: str
    digest: bytes
    key: bytes | None
    content: bytes | None


class OwnProof(NamedTuple):
    parts: tuple[Part, ...]
    proof: EntryProof


async def prove_own_entry(tx: Tx, tenant: int, owner: UUID, entry: UUID) -> OwnProof:
    """Show an owner that an entry of theirs is sealed, without the other side's balance.

    Raises:
        NotFound: there is no such entry on an account of this owner.
        NotSealedYet: it waits for the next seal.
    """
    legs = await _own_legs(tx, tenant, owner, entry)
    if not legs:
        raise NotFound("You have no entry with this id.")
    proof = await prove_entry(tx, tenant, entry)
    blind = await tx.connection.scalar(
        select(LeafRow.blind).where(LeafRow.tenant == tenant, LeafRow.entry == entry)
    )
    if proof is None or blind is None:
        raise NotSealedYet(
            "The entry is not sealed in parts.", fix="Ask again in a few seconds, if it is new."
        )
    contents = await parts_of(tx, tenant, entry)
    assert contents is not None
    parts = []
    for name in PARTS:
        key, shown = key_of(blind, name), name == "movement" or name in legs
        digest = part_digest(key, contents[name])
        parts.append(Part(name, digest, *((key, contents[name]) if shown else (None, None))))
    return OwnProof(tuple(parts), proof)


async def _own_legs(tx: Tx, tenant: int, owner: UUID, entry: UUID) -> set[str]:
    """Return which of "debit" and "credit" are the owner's."""
    accounts = (
        await tx.connection.execute(
            select(EntryRow.debit, EntryRow.credit).where(
                EntryRow.tenant == tenant, EntryRow.id == entry
            )
        )
    ).first()
    if accounts is None:
        return set()
    own = set(
        await tx.connection.scalars(
            select(AccountRow.id).where(
                AccountRow.tenant == tenant,
                AccountRow.id.in_(list(accounts)),
                AccountRow.owner == owner,
            )
        )
    )
    return {leg for leg, id_ in zip(("debit", "credit"), accounts, strict=True) if id_ in own}
