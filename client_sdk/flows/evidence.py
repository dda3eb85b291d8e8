"""Proofs of double spending: found among what this wallet has seen, or learnt from others."""

from client_sdk.book import Book
from client_sdk.errors import PaymentRefused
from client_sdk.trust import expect, refusing
from offline_protocol.chains import Chain
from offline_protocol.cose import object_id
from offline_protocol.errors import EvidenceRefused
from offline_protocol.frames import FrameKind
from offline_protocol.fraud import Conviction, FraudProof, build_fraud_proof, verify_fraud_proof


def keep_fork(book: Book, chain: Chain) -> Conviction | None:
    """Look for a contradiction between a verified chain and what is known; keep its proof."""
    for link in chain.links:
        for known in book.children(link.transfer.body.parent):
            if known.id == link.transfer.id or not known.body.overlaps(link.transfer.body):
                continue
            named = link.certificate is None
            proof = build_fraud_proof(
                known,
                link.transfer,
                certificate=link.certificate,
                voucher=chain.voucher if named else None,
            )
            try:
                return keep_proof(book, proof)
            except EvidenceRefused:
                continue  # what was known is not signed by the owner, so nothing contradicts
    return None


def learn_proof(book: Book, message: bytes | str) -> Conviction:
    """Check a proof that somebody shows, and refuse the convicted key from now on.

    Raises:
        PaymentRefused: it proves nothing.
    """
    body = expect(message, FrameKind.FRAUD_PROOF)
    with refusing(PaymentRefused):
        return keep_proof(book, FraudProof.decode(body))


def keep_proof(book: Book, proof: FraudProof) -> Conviction:
    """Store a proof for upload, to pass it on, and its key as revoked.

    Raises:
        ProtocolError: it proves nothing.
    """
    conviction = verify_fraud_proof(proof, book.key_set())
    encoded = proof.encode()
    with book.store.write("fraud proof") as tx:
        book.put_record(tx, "fraud_proof", object_id(proof.NAME, encoded), encoded)
        tx.put("revoked", conviction.key.id, object_id(proof.NAME, encoded))
    return conviction
