"""COSE_Sign1 (RFC 9052) around every object, in one form only.

Tag 18; the protected header is exactly `{1: alg}`, the unprotected one empty, the payload inside.
The object's name goes into `external_aad`, so a signature over one kind of object never counts for
another, at no byte on the wire. An id is over name and payload, never over the signature: the same
content signed twice is the same object.
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from offline_protocol import cbor
from offline_protocol.algorithms import HEADER_OF, PROTECTED_HEADERS, Algorithm
from offline_protocol.constants import OBJECT_BYTES_MAX, SIGNATURE_BYTES
from offline_protocol.errors import BadSignature, MalformedEnvelope, UnsupportedAlgorithm
from offline_protocol.keys import PublicKey, Signer

_TAG_SIGN1 = 0xD2
_CONTEXT = "Signature1"
_AAD_PREFIX = "tallystick/1/"
_ID_PREFIX = "tallystick/1/id/"
_PARTS = 4


class Body(Protocol):
    """What an object is before it is signed: a frozen dataclass that checks itself."""

    NAME: ClassVar[str]

    def to_payload(self) -> bytes: ...

    @classmethod
    def from_payload(cls, payload: bytes) -> Self: ...

    @property
    def id(self) -> bytes: ...


BodyT = TypeVar("BodyT", bound=Body)
BodyT_co = TypeVar("BodyT_co", bound=Body, covariant=True)


class Identified(ABC):
    """Gives a body its id: SHA-256 over the name of its kind and its payload."""

    NAME: ClassVar[str]

    @abstractmethod
    def to_payload(self) -> bytes: ...

    @cached_property
    def id(self) -> bytes:
        return object_id(self.NAME, self.to_payload())


@dataclass(frozen=True)
class Envelope:
    """The parts of a COSE_Sign1 as they were received."""

    algorithm: Algorithm
    protected: bytes
    payload: bytes
    signature: bytes


@dataclass(frozen=True)
class Signed(Generic[BodyT_co]):
    """An object and the exact bytes that carry it. Nothing is said about the signature yet."""

    body: BodyT_co
    envelope: bytes

    @property
    def id(self) -> bytes:
        return self.body.id


def object_id(name: str, payload: bytes) -> bytes:
    """The id of the object of this kind with this payload."""
    return hashlib.sha256(_ID_PREFIX.encode() + name.encode() + payload).digest()


def seal(body: BodyT, signer: Signer) -> Signed[BodyT]:
    """Sign an object.

    Raises:
        MalformedEnvelope: the object is larger than any reader accepts.
    """
    protected = HEADER_OF[signer.public_key.algorithm]
    payload = body.to_payload()
    signature = signer.sign(to_be_signed(protected, body.NAME, payload))
    envelope = bytes([_TAG_SIGN1]) + cbor.encode([protected, {}, payload, signature])
    if len(envelope) > OBJECT_BYTES_MAX:
        raise MalformedEnvelope(f"{body.NAME} has {len(envelope)} bytes, over {OBJECT_BYTES_MAX}")
    return Signed(body, envelope)


def unseal(kind: type[BodyT], envelope: bytes) -> Signed[BodyT]:
    """Read an object strictly. The signature is not looked at: see `check_signature`.

    Raises:
        ProtocolError: not an envelope, or not an object of this kind.
    """
    return Signed(kind.from_payload(open_envelope(envelope).payload), envelope)


def check_signature(signed: Signed[Body], key: PublicKey) -> None:
    """Verify over the received bytes that `key` signed this object.

    Raises:
        BadSignature: another key, other content or another algorithm than the key's.
    """
    envelope = open_envelope(signed.envelope)
    if envelope.algorithm is not key.algorithm:
        raise BadSignature("the header names another algorithm than the key's")
    message = to_be_signed(envelope.protected, signed.body.NAME, envelope.payload)
    key.verify(message, envelope.signature)


def open_envelope(envelope: bytes) -> Envelope:
    """Take the parts out of a COSE_Sign1.

    Raises:
        MalformedEnvelope: another tag or form.
        UnsupportedAlgorithm: the protected header is not one of those that exist here.
    """
    if envelope[:1] != bytes([_TAG_SIGN1]):
        raise MalformedEnvelope("an object starts with the COSE_Sign1 tag 18")
    parts = cbor.decode(envelope[1:], bytes_max=OBJECT_BYTES_MAX - 1)
    if type(parts) is not list or len(parts) != _PARTS:
        raise MalformedEnvelope("COSE_Sign1 is an array of four")
    protected, unprotected, payload, signature = parts
    if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:
        raise MalformedEnvelope("header, payload and signature are byte strings")
    if unprotected != {}:
        raise MalformedEnvelope("the unprotected header is empty")
    if protected not in PROTECTED_HEADERS:
        raise UnsupportedAlgorithm(f"protected header {protected.hex()!r} is not accepted")
    if len(signature) != SIGNATURE_BYTES:
        raise MalformedEnvelope(f"a signature has {SIGNATURE_BYTES} bytes")
    return Envelope(PROTECTED_HEADERS[protected], protected, payload, signature)


def to_be_signed(protected: bytes, name: str, payload: bytes) -> bytes:
    """The Sig_structure of RFC 9052 section 4.4."""
    aad = (_AAD_PREFIX + name).encode()
    return cbor.encode([_CONTEXT, protected, aad, payload])
