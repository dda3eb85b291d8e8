"""Proofs that were seen before. In the database, so every process knows them."""

from collections.abc import Sequence

from server.identity.models import ProofNonceRow
from server.identity.proofs import Proof
from server.kit.bulk import insert_rows, rows_among
from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx

_TABLE = ProofNonceRow.__tablename__


async def remember_proof(tx: Tx, tenant: int, proof: Proof) -> bool:
    """Store that a proof was used; return False when it had been."""
    (fresh,) = await remember_proofs(tx, tenant, [proof])
    return fresh


async def remember_proofs(tx: Tx, tenant: int, proofs: Sequence[Proof]) -> list[bool]:
    """Store that proofs were used; return for each, in order, whether it was the first time.

    Waits for other transactions that are storing the same ones.
    """
    first: dict[bytes, Proof] = {}
    for proof in proofs:
        first.setdefault(proof.nonce_digest, proof)
    fresh = await _store(tx, tenant, first)
    return [proof.nonce_digest in fresh and first[proof.nonce_digest] is proof for proof in proofs]


async def _store(tx: Tx, tenant: int, proofs: dict[bytes, Proof]) -> set[bytes]:
    """Insert what is not there yet; return the digests of those."""
    if not proofs:
        return set()
    ends = {digest: to_microseconds(proof.expires_at) for digest, proof in proofs.items()}
    if tx.dialect == "postgresql":
        # In one order, so that two batches never wait for each other in a ring.
        digests = sorted(proofs)
        inserted = await tx.connection.exec_driver_sql(
            f"INSERT INTO {_TABLE} (tenant, digest, expires_at) "  # noqa: S608 - a constant
            "SELECT $1, digest, expires_at FROM unnest($2::bytea[], $3::bigint[]) "
            "AS seen (digest, expires_at) ON CONFLICT DO NOTHING RETURNING digest",
            (tenant, digests, [ends[digest] for digest in digests]),
        )
        return {bytes(digest) for (digest,) in inserted}
    rows = await rows_among(
        tx, _TABLE, "digest", tenant=tenant, column="digest", values=list(proofs)
    )
    fresh = set(proofs) - {bytes(digest) for (digest,) in rows}
    await insert_rows(
        tx,
        _TABLE,
        ("tenant", "digest", "expires_at"),
        [(tenant, digest, ends[digest]) for digest in fresh],
    )
    return fresh
