"""COSE_Sign1 (RFC 9052) around every object, in one form only.

Untagged: what stands where says what it is. The protected header is exactly `{1: alg}`, the
unprotected one empty, the payload inside. The object's name goes into `external_aad`, so a
signature over one kind of object never counts for another, at no byte on the wire. An id is over
name and payload, never over the signature: the same content signed twice is the same object.
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

from offline_protocol import cbor
from offline_protocol.algorithms import HEADER_OF, PROTECTED_HEADERS, Algorithm
from offline_protocol.constants import OBJECT_BYTES_MAX, SIGNATURE_BYTES
from offline_protocol.errors import (
    BadSignature,
    MalformedCbor,
    MalformedEnvelope,
    MalformedObject,
    UnsupportedAlgorithm,
)
from offline_protocol.forms import made
from offline_protocol.keys import PublicKey, Signer
from offline_protocol.lazy import lazy

_CONTEXT = "Signature1"
_AAD_PREFIX = "tallystick/1/"
_ID_PREFIX = "tallystick/1/id/"

# An array of four; the header as a string of three bytes; an empty map; a payload and a signature
# as strings. The deterministic form leaves no choice in any of these bytes but the algorithm's.
_BEFORE_HEADER = b"\x84\x43"
_AFTER_HEADER = b"\xa0"
_PREFIX_BYTES = 6
_HEADER_AT = slice(2, 5)
_PREFIXES = {
    _BEFORE_HEADER + header + _AFTER_HEADER: algorithm
    for header, algorithm in PROTECTED_HEADERS.items()
}
_SIGNATURE_HEAD = b"\x58\x40"
_SIGNATURE_PART_BYTES = len(_SIGNATURE_HEAD) + SIGNATURE_BYTES


class Body(Protocol):
    """What an object is before it is signed: a frozen dataclass that checks itself."""

    NAME: ClassVar[str]
    BYTES_MAX: ClassVar[int]

    @property
    def payload(self) -> bytes: ...

    @classmethod
    def from_payload(cls, payload: bytes) -> Self: ...

    @property
    def id(self) -> bytes: ...


BodyT = TypeVar("BodyT", bound=Body)
BodyT_co = TypeVar("BodyT_co", bound=Body, covariant=True)


class Identified(ABC):
    """Gives a body its payload and its id: SHA-256 over the name of its kind and the payload."""

    NAME: ClassVar[str]
    BYTES_MAX: ClassVar[int] = OBJECT_BYTES_MAX
    """Greatest envelope of this kind."""

    @abstractmethod
    def to_payload(self) -> bytes:
        """Write the fields; `payload` does so once."""

    @lazy
    def payload(self) -> bytes:
        return self.to_payload()

    @lazy
    def id(self) -> bytes:
        return object_id(self.NAME, self.payload)


class Envelope(NamedTuple):
    """The parts of a COSE_Sign1 as they were received."""

    algorithm: Algorithm
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
    return hashlib.sha256(_id_head(name) + payload).digest()


def seal(body: BodyT, signer: Signer) -> Signed[BodyT]:
    """Sign an object.

    Raises:
        MalformedEnvelope: the object is larger than any reader accepts.
    """
    header = HEADER_OF[signer.public_key.algorithm]
    signature = signer.sign(to_be_signed(header, body.NAME, body.payload))
    envelope = b"".join(
        (
            _BEFORE_HEADER,
            header,
            _AFTER_HEADER,
            cbor.encode(body.payload),
            _SIGNATURE_HEAD,
            signature,
        )
    )
    if len(envelope) > body.BYTES_MAX:
        raise MalformedEnvelope(f"{body.NAME} has {len(envelope)} bytes, over {body.BYTES_MAX}")
    return Signed(body, envelope)


def unseal(kind: type[BodyT], envelope: bytes) -> Signed[BodyT]:
    """Read an object strictly. The signature is not looked at: see `check_signature`.

    Raises:
        ProtocolError: not an envelope, or not an object of this kind.
    """
    signed, end = unseal_at(kind, envelope, 0)
    if end != len(envelope):
        raise MalformedEnvelope(f"{len(envelope) - end} bytes are left over after the object")
    return signed


def unseal_at(kind: type[BodyT], data: bytes, at: int) -> tuple[Signed[BodyT], int]:
    """Read the object that begins at a place; gives the place behind it, too.

    Raises:
        ProtocolError: no envelope begins there, or none of this kind.
    """
    payload, end = _payload_at(data, at)
    if end - at > kind.BYTES_MAX:
        raise MalformedEnvelope(f"{kind.NAME} of {end - at} bytes, at most {kind.BYTES_MAX}")
    whole = data if end - at == len(data) else data[at:end]
    body = kind.from_payload(payload)
    # There is one way to write a body, so what was read is what would be written.
    object.__setattr__(body, "payload", payload)
    signed: Signed[BodyT] = made(Signed, body=body, envelope=whole)
    return signed, end


def check_signature(signed: Signed[Body], key: PublicKey) -> None:
    """Verify over the received bytes that `key` signed this object.

    Raises:
        BadSignature: another key, other content or another algorithm than the key's.
    """
    envelope = signed.envelope
    if _PREFIXES[envelope[:_PREFIX_BYTES]] is not key.algorithm:
        raise BadSignature("the header names another algorithm than the key's")
    # The payload stands in the envelope as it stands in what was signed: as a byte string.
    payload = envelope[_PREFIX_BYTES:-_SIGNATURE_PART_BYTES]
    head = _sig_structure_head(envelope[_HEADER_AT], signed.body.NAME)
    key.verify(head + payload, envelope[-SIGNATURE_BYTES:])


def open_envelope(envelope: bytes) -> Envelope:
    """Take the parts out of a COSE_Sign1.

    Raises:
        MalformedEnvelope: another form.
        UnsupportedAlgorithm: the right form with a header of another algorithm.
    """
    payload, end = _payload_at(envelope, 0)
    if end != len(envelope):
        raise MalformedEnvelope(f"{len(envelope) - end} bytes are left over after the object")
    return Envelope(_PREFIXES[envelope[:_PREFIX_BYTES]], payload, envelope[-SIGNATURE_BYTES:])


def to_be_signed(protected: bytes, name: str, payload: bytes) -> bytes:
    """The Sig_structure of RFC 9052 section 4.4."""
    return _sig_structure_head(protected, name) + cbor.encode(payload)


@cache
def _id_head(name: str) -> bytes:
    return (_ID_PREFIX + name).encode()


@lru_cache(maxsize=64)
def _sig_structure_head(protected: bytes, name: str) -> bytes:
    """All of the Sig_structure but its last part, the payload as a byte string."""
    return cbor.encode([_CONTEXT, protected, (_AAD_PREFIX + name).encode(), b""])[:-1]


def _payload_at(data: bytes, at: int) -> tuple[bytes, int]:
    """The payload of the envelope that begins at a place, and the place behind the envelope."""
    start = at + _PREFIX_BYTES
    if data[at:start] not in _PREFIXES:
        raise _not_an_envelope(data[at:start])
    # Nearly every payload has 24 to 255 bytes.
    if data[start : start + 1] == b"\x58" and data[start + 1 : start + 2] >= b"\x18":
        size, payload_at = data[start + 1], start + 2
    else:
        size, payload_at = _payload_size(data, start)
    signature_head_at = payload_at + size
    end = signature_head_at + _SIGNATURE_PART_BYTES
    if end > len(data) or not data.startswith(_SIGNATURE_HEAD, signature_head_at):
        raise MalformedEnvelope(f"payload, then a signature of {SIGNATURE_BYTES} bytes: not here")
    return data[payload_at:signature_head_at], end


def _payload_size(data: bytes, at: int) -> tuple[int, int]:
    try:
        return cbor.read_head(data, at, cbor.Major.BYTES)
    except (MalformedCbor, MalformedObject) as error:
        raise MalformedEnvelope(f"no payload: {error.message}") from error


def _not_an_envelope(prefix: bytes) -> MalformedEnvelope | UnsupportedAlgorithm:
    known = next(iter(_PREFIXES))
    if len(prefix) == _PREFIX_BYTES and prefix[:4] == known[:4] and prefix[5:] == known[5:]:
        return UnsupportedAlgorithm(f"algorithm {prefix[4:5].hex()!r} is not accepted")
    return MalformedEnvelope("an object is a COSE_Sign1 of this protocol")
