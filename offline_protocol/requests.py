"""Payment requests: who wants how much, signed by the payee."""

from dataclasses import dataclass
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.constants import (
    MEMO_BYTES_MAX,
    NONCE_BYTES,
    OBJECT_BYTES_MAX,
    REQUEST_ID_BYTES,
    SESSION_KEY_BYTES,
    TRANSPORT_BYTES_MAX,
    TRANSPORTS_MAX,
)
from offline_protocol.cose import Identified, Signed, unseal
from offline_protocol.errors import MalformedObject
from offline_protocol.fields import (
    Fields,
    as_text,
    check_bytes,
    check_currency,
    check_many,
    check_text,
    check_uint,
)
from offline_protocol.keys import PublicKey
from offline_protocol.lazy import lazy


@dataclass(frozen=True)
class PaymentRequest(Identified):
    """What the payee shows.

    `amount` 0 lets the payer choose. `session_key` is the X25519 key for the handshake and `nonce`
    16 bytes that are never used twice. `epoch` is the newest revocation list that the payee holds.
    `transports` says where an answer is awaited, best first. `certificate` is the envelope of the
    payee's device certificate.
    """

    NAME: ClassVar[str] = "payment-request"
    TYPE: ClassVar[int] = 4

    nonce: bytes
    payee: PublicKey
    currency: str
    amount: int
    expires_at: int
    session_key: bytes
    epoch: int
    memo: str | None
    transports: tuple[str, ...]
    certificate: bytes

    def __post_init__(self) -> None:
        check_bytes("nonce", self.nonce, least=NONCE_BYTES)
        check_currency(self.currency)
        check_uint("amount", self.amount)
        check_uint("expires_at", self.expires_at)
        check_bytes("session_key", self.session_key, least=SESSION_KEY_BYTES)
        check_uint("epoch", self.epoch)
        if self.memo is not None:
            check_text("memo", self.memo, bytes_max=MEMO_BYTES_MAX)
        check_many("transports", self.transports, most=TRANSPORTS_MAX)
        for transport in self.transports:
            check_text("transport", transport, bytes_max=TRANSPORT_BYTES_MAX)
        check_bytes("certificate", self.certificate, least=1, most=OBJECT_BYTES_MAX)

    @property
    def request_id(self) -> bytes:
        """What a transfer names. Half an id is enough: only the payee could find two alike."""
        return self.id[:REQUEST_ID_BYTES]

    @lazy
    def payee_certificate(self) -> Signed[DeviceCertificate]:
        """The payee's certificate, read but not verified."""
        return unseal(DeviceCertificate, self.certificate)

    def to_payload(self) -> bytes:
        fields: dict[int, cbor.Value] = {
            1: self.TYPE,
            2: self.nonce,
            3: self.payee.raw,
            4: self.currency,
            5: self.amount,
            6: self.expires_at,
            7: self.session_key,
            8: self.epoch,
            11: self.certificate,
        }
        if self.memo is not None:
            fields[9] = self.memo
        if self.transports:
            fields[10] = list(self.transports)
        return cbor.encode(fields)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE)
        request = cls(
            nonce=fields.raw(2),
            payee=fields.key(3),
            currency=fields.text(4),
            amount=fields.uint(5),
            expires_at=fields.uint(6),
            session_key=fields.raw(7),
            epoch=fields.uint(8),
            memo=fields.text(9) if fields.has(9) else None,
            transports=_transports(fields.array(10)) if fields.has(10) else (),
            certificate=fields.raw(11),
        )
        fields.end()
        return request


def _transports(values: list[cbor.Value]) -> tuple[str, ...]:
    if not values:
        raise MalformedObject("an empty list of transports is left out")
    return tuple(as_text(value, "a transport") for value in values)
