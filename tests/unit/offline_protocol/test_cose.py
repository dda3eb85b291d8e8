"""Envelopes: one form, checked over the received bytes, bound to the kind of object."""

import hashlib

import pytest

from offline_protocol import cbor
from offline_protocol.constants import OBJECT_BYTES_MAX
from offline_protocol.cose import check_signature, seal, to_be_signed, unseal
from offline_protocol.errors import (
    BadSignature,
    MalformedCbor,
    MalformedEnvelope,
    MalformedObject,
    ProtocolError,
    UnsupportedAlgorithm,
)
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer
from tests.factories.protocol import Issuer, entropy, signer_from

SIGNER = signer_from("cose")
RECEIPT = Receipt((entropy("t"),), entropy("r", size=16), 1_250, 1_800_000_000)


HEAD = bytes.fromhex("8443a10132a0")


def _envelope(
    *,
    tag: bytes = b"",
    protected: bytes = b"\xa1\x01\x32",
    unprotected: cbor.Value | None = None,
    payload: bytes | None = None,
    signature: bytes | None = None,
) -> bytes:
    body = RECEIPT.to_payload() if payload is None else payload
    signed = (
        SIGNER.sign(to_be_signed(protected, "receipt", body)) if signature is None else signature
    )
    middle: cbor.Value = {} if unprotected is None else unprotected
    return tag + cbor.encode([protected, middle, body, signed])


def test_an_object_survives_its_envelope() -> None:
    signed = seal(RECEIPT, SIGNER)
    read = unseal(Receipt, signed.envelope)
    assert read == signed
    assert read.id == RECEIPT.id
    check_signature(read, SIGNER.public_key)
    assert signed.envelope == _envelope()


def test_the_signed_bytes_are_the_structure_of_rfc_9052() -> None:
    message = to_be_signed(b"\xa1\x01\x32", "receipt", b"\x00")
    head = "846a5369676e61747572653143a10132"
    aad = b"tallystick/1/receipt"
    assert message == bytes.fromhex(head) + bytes([0x40 | len(aad)]) + aad + bytes.fromhex("4100")


def test_an_id_is_over_kind_and_content_and_not_over_the_signature() -> None:
    other = seal(RECEIPT, signer_from("somebody else"))
    assert other.id == seal(RECEIPT, SIGNER).id
    expected = hashlib.sha256(b"tallystick/1/id/receipt" + RECEIPT.to_payload()).digest()
    assert RECEIPT.id == expected


def test_a_signature_over_one_kind_of_object_never_counts_for_another() -> None:
    class Invoice(Receipt):
        NAME = "invoice"

    as_invoice = unseal(Invoice, seal(RECEIPT, SIGNER).envelope)
    assert as_invoice.id != RECEIPT.id
    with pytest.raises(BadSignature):
        check_signature(as_invoice, SIGNER.public_key)


def test_a_changed_payload_breaks_the_signature() -> None:
    envelope = bytearray(_envelope())
    envelope[-70] ^= 1  # the last byte of the payload: the time
    changed = unseal(Receipt, bytes(envelope))
    assert changed.body != RECEIPT
    with pytest.raises(BadSignature):
        check_signature(changed, SIGNER.public_key)


@pytest.mark.parametrize(
    ("envelope", "error"),
    [
        (b"", MalformedEnvelope),
        (_envelope()[:5], MalformedEnvelope),
        (_envelope()[:-1], MalformedEnvelope),
        (_envelope(tag=b"\xd2"), MalformedEnvelope),
        (_envelope(tag=b"\xd9\x03\xe6"), MalformedEnvelope),
        (_envelope(tag=b"\xd8\x12"), MalformedEnvelope),
        (_envelope() + b"\x00", MalformedEnvelope),
        (_envelope(unprotected={4: b"11"}), MalformedEnvelope),
        (_envelope(unprotected=[]), MalformedEnvelope),
        (_envelope(protected=b""), MalformedEnvelope),
        (_envelope(protected=b"\xa0"), MalformedEnvelope),
        (_envelope(protected=b"\xa1\x01\x27"), UnsupportedAlgorithm),
        (_envelope(protected=b"\xa1\x04\x32"), MalformedEnvelope),
        (_envelope(protected=b"\xa2\x01\x32\x03\x00"), MalformedEnvelope),
        (_envelope(protected=b"\xa1\x01\x38\x12"), MalformedEnvelope),
        (_envelope(signature=bytes(63)), MalformedEnvelope),
        (_envelope(signature=bytes(65)), MalformedEnvelope),
        (HEAD + b"\x41\x01" + b"\x59\x00\x40" + bytes(64), MalformedEnvelope),
        (HEAD + b"\x58\x01\x01" + b"\x58\x40" + bytes(64), MalformedEnvelope),
        (HEAD + b"\x61a" + b"\x58\x40" + bytes(64), MalformedEnvelope),
        (HEAD + b"\x5a\xff\xff\xff\xff" + bytes(80), MalformedEnvelope),
        (cbor.encode([b"\xa1\x01\x32", {}, b"", b"", b""]), MalformedEnvelope),
        (cbor.encode({1: 2}), MalformedEnvelope),
        (_envelope(payload=b"\x01"), MalformedObject),
        (_envelope(payload=RECEIPT.to_payload() + b"\x00"), MalformedCbor),
        (_envelope(payload=bytes(OBJECT_BYTES_MAX)), MalformedEnvelope),
    ],
)
def test_other_forms_of_an_envelope_are_refused(
    envelope: bytes, error: type[ProtocolError]
) -> None:
    with pytest.raises(error):
        unseal(Receipt, envelope)


def test_a_header_with_another_algorithm_than_the_keys_is_no_signature() -> None:
    signed = unseal(Receipt, _envelope(protected=b"\xa1\x01\x28"))
    with pytest.raises(BadSignature, match="algorithm"):
        check_signature(signed, SIGNER.public_key)


def test_one_kind_of_object_is_not_read_as_another() -> None:
    issuer = Issuer()
    voucher = issuer.voucher(issuer.device("a"))
    with pytest.raises(MalformedObject):
        unseal(Transfer, voucher.envelope)


def test_what_no_reader_would_accept_is_not_signed() -> None:
    class Long(Receipt):
        def to_payload(self) -> bytes:
            return bytes(OBJECT_BYTES_MAX)

    with pytest.raises(MalformedEnvelope, match="over"):
        seal(Long(RECEIPT.transfer_ids, RECEIPT.request_id, 1, 1), SIGNER)
