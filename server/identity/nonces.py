"""Proofs that were seen before. In the database, so every process knows them."""

from server.identity.models import ProofNonceRow
from server.identity.proofs import Proof
from server.identity.statements import insert_once
from server.kit.unit_of_work import Tx


async def remember_proof(tx: Tx, tenant: int, proof: Proof) -> bool:
    """Store that a proof was used; return False when it had been."""
    return await insert_once(
        tx,
        ProofNonceRow,
        tenant=tenant,
        digest=proof.nonce_digest,
        expires_at=proof.expires_at,
    )
