"""The people and things of the vectors: an issuer, devices, and whatever they sign.

Made apart from the factories of the tests, since what is frozen must not move when those do.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from offline_protocol import (
    NO_REQUEST,
    Assurance,
    Chain,
    DeviceCertificate,
    Hop,
    IssuerKey,
    KeySet,
    KeyUse,
    Limits,
    Payment,
    PaymentRequest,
    PublicKey,
    Receipt,
    Signed,
    Signer,
    SoftwareP256Signer,
    SoftwareSigner,
    Transfer,
    TransferKind,
    Voucher,
    VoucherLimits,
    cbor,
    seal,
    session_public_key,
)
from offline_protocol.algorithms import HEADER_OF
from offline_protocol.cose import to_be_signed

NOW = 1_800_000_000
MINUTE = 60
DAY = 86_400
YEAR = 365 * DAY
SLACK = 120
ROTATED = NOW - 90 * DAY
"""The issuer's first key issued until here, and a little longer."""


def entropy(*words: object, size: int = 32) -> bytes:
    """Bytes that look random and follow from the words."""
    text = "/".join(map(str, words))
    return hashlib.shake_256(b"tallystick vectors/" + text.encode()).digest(size)


def ed25519(*words: object) -> SoftwareSigner:
    return SoftwareSigner(entropy("ed25519", *words))


def p256(*words: object) -> SoftwareP256Signer:
    # Half of the bytes are surely below the order of the group.
    return SoftwareP256Signer(bytes(16) + entropy("p256", *words, size=16))


ROOT = ed25519("root")
ISSUING = ed25519("issuing")
ISSUING_P256 = p256("issuing")
ISSUING_BEFORE = ed25519("issuing before")
SETTLING = ed25519("settling")
SETTLING_P256 = p256("settling")
STRANGER = ed25519("stranger")


def issuer_key(
    signer: Signer, use: KeyUse, *, first: int = NOW - YEAR, last: int = NOW + YEAR
) -> IssuerKey:
    key = signer.public_key
    return IssuerKey(key.kid, key, first, last, use)


KEYS = (
    issuer_key(ISSUING_BEFORE, KeyUse.ISSUE, last=ROTATED + DAY),
    issuer_key(ISSUING, KeyUse.ISSUE, first=ROTATED),
    issuer_key(ISSUING_P256, KeyUse.ISSUE, first=ROTATED),
    issuer_key(SETTLING, KeyUse.SETTLE),
    issuer_key(SETTLING_P256, KeyUse.SETTLE),
)


def key_set(**changes: Any) -> KeySet:
    body = KeySet(
        version=7,
        issuer="Vector Bank",
        keys=KEYS,
        epoch_floor=3,
        time=NOW - DAY,
        scales=(("EUR", 2), ("JPY", 0), ("KWD", 3)),
    )
    return replace(body, **changes)


TRUSTED = seal(key_set(), ROOT)
OPEN_TRUSTED = seal(key_set(scales=()), ROOT)
"""A key set that leaves the currencies open."""


@dataclass(frozen=True)
class Device:
    """A key and its certificate."""

    name: str
    signer: Signer
    certificate: Signed[DeviceCertificate]

    @property
    def key(self) -> PublicKey:
        return self.signer.public_key

    @property
    def session_secret(self) -> bytes:
        return entropy("session", self.name)


def certificate(
    key: PublicKey, *, by: Signer = ISSUING, **changes: Any
) -> Signed[DeviceCertificate]:
    body = DeviceCertificate(
        kid=by.public_key.kid,
        device_key=key,
        valid_from=NOW - 3 * DAY,
        valid_to=NOW + 11 * DAY,
        limits=Limits(payment_max=50_000, balance_max=200_000, hops_max=8),
        assurance=Assurance.SOFTWARE,
    )
    return seal(replace(body, **changes), by)


def device(name: str, *, hardware: bool = False, by: Signer = ISSUING, **changes: Any) -> Device:
    """A device that the issuer knows; with secure hardware its key is of P-256."""
    signer: Signer = p256("device", name) if hardware else ed25519("device", name)
    if hardware:
        changes = {"assurance": Assurance.HARDWARE} | changes
    return Device(name, signer, certificate(signer.public_key, by=by, **changes))


def voucher(
    holder: PublicKey, *, by: Signer = ISSUING, serial: object = 0, **changes: Any
) -> Signed[Voucher]:
    body = Voucher(
        kid=by.public_key.kid,
        serial=entropy("serial", serial, size=16),
        currency="EUR",
        value=20_000,
        holder=holder,
        issued_at=NOW - 2 * DAY,
        spend_by=NOW + 28 * DAY,
        limits=VoucherLimits(hops_max=8, payment_max=50_000),
        claim_by=NOW + 42 * DAY,
    )
    return seal(replace(body, **changes), by)


def request(
    payee: Device, *, by: Signer | None = None, nonce: object = 0, **changes: Any
) -> Signed[PaymentRequest]:
    body = PaymentRequest(
        nonce=entropy("nonce", payee.name, nonce, size=16),
        payee=payee.key,
        currency="EUR",
        amount=1_250,
        expires_at=NOW + 5 * MINUTE,
        session_key=session_public_key(payee.session_secret),
        epoch=3,
        memo=None,
        transports=("qr",),
        certificate=payee.certificate.envelope,
    )
    return seal(replace(body, **changes), by or payee.signer)


def transfer(by: Signer, parent: bytes, payee: PublicKey, **changes: Any) -> Signed[Transfer]:
    body = Transfer(
        parent=parent,
        lo=0,
        hi=1_250,
        payee=payee,
        request_id=entropy("request", payee.raw.hex(), size=16),
        sequence=1,
        time=NOW,
    )
    return seal(replace(body, **changes), by)


def extend(
    chain: Chain,
    by: Device,
    payee: PublicKey,
    *,
    signed_by: Signer | None = None,
    proof: Signed[DeviceCertificate] | str | None = "own",
    **changes: Any,
) -> Chain:
    """One more hop: all units, by default as a payment with the signer's certificate.

    `proof` is the certificate to show, None for none.
    """
    number = 10 + len(chain.hops)
    fields: dict[str, Any] = {
        "parent": chain.tip_id,
        "lo": chain.lo,
        "hi": chain.hi,
        "payee": payee,
        "sequence": number,
        "time": NOW - DAY + number,
    }
    made = transfer(signed_by or by.signer, **(fields | changes))
    shown = by.certificate if isinstance(proof, str) else proof
    return Chain(chain.voucher, (*chain.hops, Hop(made, shown)))


def claim(chain: Chain, by: Device, *, to: Signer = SETTLING, **changes: Any) -> Chain:
    fields: dict[str, Any] = {"kind": TransferKind.CLAIM, "request_id": NO_REQUEST}
    return extend(chain, by, to.public_key, **(fields | changes))


def give_back(chain: Chain, by: Device, **changes: Any) -> Chain:
    paid = chain.hops[-1].transfer.body
    giver = changes.pop("payee", chain.links[-1].signer)
    fields: dict[str, Any] = {"kind": TransferKind.RETURN, "request_id": paid.request_id}
    return extend(chain, by, giver, **(fields | changes))


def receipt(
    payment: Payment, asked: Signed[PaymentRequest], by: Signer, **changes: Any
) -> Signed[Receipt]:
    body = Receipt(payment.transfer_ids, asked.body.request_id, payment.amount, NOW)
    return seal(replace(body, **changes), by)


def envelope(name: str, payload: bytes, by: Signer) -> bytes:
    """An envelope with a good signature around any bytes at all."""
    header = HEADER_OF[by.public_key.algorithm]
    signature = by.sign(to_be_signed(header, name, payload))
    return b"\x84\x43" + header + b"\xa0" + cbor.encode(payload) + b"\x58\x40" + signature


def changed(payload: bytes, changes: Mapping[int, cbor.Value | None]) -> bytes:
    """A payload with other fields; None leaves one out."""
    fields = cbor.decode(payload, bytes_max=1 << 20)
    assert isinstance(fields, dict)
    fields |= {key: value for key, value in changes.items() if value is not None}
    return cbor.encode(
        {key: value for key, value in fields.items() if changes.get(key, 0) is not None}
    )
