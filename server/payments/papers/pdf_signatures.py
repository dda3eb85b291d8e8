"""One signature in one document."""

import io
from typing import Final

from asn1crypto import keys, x509
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, SimpleSigner, async_sign_pdf
from pyhanko_certvalidator.registry import SimpleCertificateStore

_FIELD: Final = "Signature"


async def sign_pdf(pdf: bytes, certificate: bytes, key: bytes) -> bytes:
    """Return a document with a signature appended (PAdES B-B).

    Args:
        pdf: the document, which stays byte by byte.
        certificate: X.509 in DER.
        key: its private key, PKCS#8 in DER.
    """
    signing = x509.Certificate.load(certificate)
    registry = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    registry.register(signing)
    signer = SimpleSigner(
        signing_cert=signing,
        signing_key=keys.PrivateKeyInfo.load(key),
        cert_registry=registry,
    )
    metadata = PdfSignatureMetadata(
        field_name=_FIELD, md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES
    )
    signed = await async_sign_pdf(
        IncrementalPdfFileWriter(io.BytesIO(pdf)), metadata, signer=signer
    )
    return bytes(signed.getvalue())
