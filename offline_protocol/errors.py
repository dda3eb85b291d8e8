"""What can be wrong with bytes from somebody else: a number, a code and a plain sentence.

Numbers never change their meaning. 1xx: the bytes; 2xx: what the issuer publishes; 3xx: requests;
4xx: chains; 5xx: payments and returns; 6xx: receipts; 7xx: evidence. The refusals of the rules
take their number and code from the rule that was broken (`rules.py`).
"""

from typing import ClassVar


class ProtocolError(Exception):
    """Something received does not follow the protocol.

    Attributes:
        number: stable number, the same in every language.
        code: stable name in snake_case.
        message: a plain English sentence for a log or a developer.
    """

    NUMBER: ClassVar[int] = 100
    CODE: ClassVar[str] = "protocol_error"

    def __init__(self, message: str, *, number: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.number = self.NUMBER if number is None else number
        self.code = self.CODE if code is None else code

    def __str__(self) -> str:
        return f"{self.message} [{self.number} {self.code}]"


class MalformedCbor(ProtocolError):
    """The bytes are not CBOR in the strict form of this protocol."""

    NUMBER, CODE = 101, "malformed_cbor"


class MalformedObject(ProtocolError):
    """Good CBOR, but not the fields and values that this object has."""

    NUMBER, CODE = 102, "malformed_object"


class MalformedEnvelope(ProtocolError):
    """The object is not wrapped as a COSE_Sign1 of this protocol."""

    NUMBER, CODE = 103, "malformed_envelope"


class MalformedFrame(ProtocolError):
    """The bytes or the text are not a frame, or a frame of another version."""

    NUMBER, CODE = 104, "malformed_frame"


class UnsupportedAlgorithm(ProtocolError):
    """The key or the signature uses an algorithm that this build does not have."""

    NUMBER, CODE = 111, "unsupported_algorithm"


class WeakKey(ProtocolError):
    """The public key is not a sound point: small order, mixed order or not canonical."""

    NUMBER, CODE = 112, "weak_key"


class BadSignature(ProtocolError):
    """The signature is not one of this key over these bytes."""

    NUMBER, CODE = 113, "bad_signature"


class HandshakeFailed(ProtocolError):
    """A handshake message cannot be read with the keys and the prologue that we have."""

    NUMBER, CODE = 121, "handshake_failed"


class SessionBroken(ProtocolError):
    """A message of the session is forged, doubled, lost or out of order."""

    NUMBER, CODE = 122, "session_broken"


class KeySetRefused(ProtocolError):
    """The key set is not signed by the root or is older than the one that we have."""

    NUMBER, CODE = 201, "key_set_refused"


class UnknownIssuerKey(ProtocolError):
    """No key with this id, use and time stands in the key set."""

    NUMBER, CODE = 202, "unknown_issuer_key"


class RevocationRefused(ProtocolError):
    """The issuer did not sign the revocation list or delta."""

    NUMBER, CODE = 211, "revocation_refused"


class RevocationDoesNotApply(ProtocolError):
    """The list is older than the one that is held, or the delta does not lead on from it."""

    NUMBER, CODE = 212, "revocation_does_not_apply"


class PolicyRefused(ProtocolError):
    """The issuer did not sign the acceptance policy, or it is older than the one in use."""

    NUMBER, CODE = 221, "policy_refused"


class RequestRefused(ProtocolError):
    """A rule about payment requests is broken."""

    NUMBER, CODE = 300, "request_refused"


class ChainRefused(ProtocolError):
    """A rule about a voucher or one of its transfers is broken."""

    NUMBER, CODE = 400, "chain_refused"


class PaymentRefused(ProtocolError):
    """A rule about a whole payment, or about a returned one, is broken."""

    NUMBER, CODE = 500, "payment_refused"


class ReceiptRefused(ProtocolError):
    """A rule about receipts is broken."""

    NUMBER, CODE = 600, "receipt_refused"


class EvidenceRefused(ProtocolError):
    """A fraud proof or clone alarm proves nothing."""

    NUMBER, CODE = 700, "evidence_refused"
