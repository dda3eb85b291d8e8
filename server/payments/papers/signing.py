"""Signatures in PDF documents (ISO 32000-2 section 12.8, PAdES baseline B-B of ETSI EN 319 142-1).

The key is made at its first use and kept sealed in the database, so that every process signs with
the same one. Its certificate is its own: a reader sees that a document was not changed since, and
compares the certificate with the one that this server publishes to see who signed it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from server.kit.crypto import Vault
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.papers.models import DocumentKeyRow

SIGNS_FOR: Final = timedelta(days=365)
_VALID_FOR: Final = timedelta(days=3650)
_SKEW: Final = timedelta(days=1)
_SIGNATURES: Final = "server.payments.papers.pdf_signatures"
"""Takes long to import, and many a server never signs anything."""


class DocumentSigner:
    """Signs documents of one tenant in the name of the issuer."""

    def __init__(self, uow: UnitOfWork, vault: Vault, *, tenant: int, issuer: str) -> None:
        self._uow = uow
        self._vault = vault
        self._tenant = tenant
        self._issuer = issuer

    async def sign(self, pdf: bytes) -> bytes:
        """Return the document with a signature appended; what was there stays byte by byte."""
        row = await self._uow.read(self._current)
        if row is None:
            row = await self._uow.run(self._make, turn="document_key")
        key = self._vault.open(row.key_sealed, _context(row))
        signatures = await asyncio.to_thread(import_module, _SIGNATURES)
        return cast("bytes", await signatures.sign_pdf(pdf, row.certificate, key))

    async def certificates(self) -> str:
        """Return every certificate that ever signed, the newest first, as PEM."""
        rows = await self._uow.read(self._all)
        return "".join(
            x509.load_der_x509_certificate(row.certificate).public_bytes(Encoding.PEM).decode()
            for row in rows
        )

    async def _all(self, tx: Tx) -> Sequence[DocumentKeyRow]:
        rows = await tx.session.scalars(
            select(DocumentKeyRow)
            .where(DocumentKeyRow.tenant == self._tenant)
            .order_by(DocumentKeyRow.created_at.desc(), DocumentKeyRow.id)
        )
        return rows.all()

    async def _current(self, tx: Tx) -> DocumentKeyRow | None:
        return next((row for row in await self._all(tx) if row.ends_at > tx.now), None)

    async def _make(self, tx: Tx) -> DocumentKeyRow:
        """Make a key, unless another process just did."""
        present = await self._current(tx)
        if present is not None:
            return present
        key = ec.generate_private_key(ec.SECP256R1())
        row = DocumentKeyRow(
            tenant=self._tenant,
            id=tx.ids.uuid(),
            certificate=self._certificate(key, tx),
            created_at=tx.now,
            ends_at=tx.now + SIGNS_FOR,
        )
        secret = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        row.key_sealed = self._vault.seal(secret, _context(row), nonce=tx.ids.token(24))
        tx.session.add(row)
        await tx.session.flush()
        return row

    def _certificate(self, key: ec.EllipticCurvePrivateKey, tx: Tx) -> bytes:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._issuer)])
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=True,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=False,
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(int.from_bytes(tx.ids.token(19)) | 1)
            .not_valid_before(tx.now - _SKEW)
            .not_valid_after(tx.now + _VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return built.public_bytes(Encoding.DER)


def _context(row: DocumentKeyRow) -> str:
    return f"document_key/{row.tenant}/{row.id}"
