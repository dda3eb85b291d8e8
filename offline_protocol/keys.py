"""Public keys, their ids, and signers.

On the wire a key is a COSE_Key map with only the parameters that RFC 9679 puts into a thumbprint:
one key, one byte string. The curve pins the algorithm.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol, Self

from nacl import bindings
from nacl.exceptions import CryptoError

from offline_protocol import cbor
from offline_protocol.algorithms import SUPPORTED, Algorithm
from offline_protocol.constants import KEY_BYTES, OBJECT_BYTES_MAX, SIGNATURE_BYTES
from offline_protocol.errors import BadSignature, MalformedObject, UnsupportedAlgorithm, WeakKey

_KTY, _CRV, _X = 1, -1, -2
_KTY_OKP, _KTY_EC2 = 1, 2
_CRV_ED25519 = 6
_ID_PREFIX = b"tallystick/1/id/key"
_KID_BYTES = 4


@dataclass(frozen=True)
class PublicKey:
    """A verifying key that is safe to verify with.

    Raises:
        UnsupportedAlgorithm: this build cannot verify with keys of the algorithm.
        WeakKey: the point is of small or mixed order or not canonical. Verifiers of different
            libraries disagree about such keys, so none may ever be named in an object.
    """

    algorithm: Algorithm
    raw: bytes

    def __post_init__(self) -> None:
        if self.algorithm not in SUPPORTED:
            raise UnsupportedAlgorithm(f"keys for {self.algorithm.name} are not supported")
        if len(self.raw) != KEY_BYTES:
            raise MalformedObject(f"an Ed25519 key has {KEY_BYTES} bytes, not {len(self.raw)}")
        if not _is_sound_point(self.raw):
            raise WeakKey("the key is not a canonical point of the prime-order group")

    def to_value(self) -> dict[int, cbor.Value]:
        """The COSE_Key map, to stand inside an object."""
        return {_KTY: _KTY_OKP, _CRV: _CRV_ED25519, _X: self.raw}

    @classmethod
    def from_value(cls, value: cbor.Value) -> Self:
        """Read the COSE_Key map of an object.

        Raises:
            MalformedObject: not exactly the parameters of the deterministic form.
            UnsupportedAlgorithm: a key type or curve without an algorithm in this build.
            WeakKey: see the class.
        """
        if type(value) is not dict or _KTY not in value:
            raise MalformedObject("a key is a COSE_Key map")
        if value[_KTY] == _KTY_EC2:
            raise UnsupportedAlgorithm("keys for ESP256 are not supported")
        raw = value.get(_X)
        if set(value) != {_KTY, _CRV, _X} or value[_KTY] != _KTY_OKP or type(raw) is not bytes:
            raise MalformedObject("a key has the parameters kty, crv and x and no other")
        if value[_CRV] != _CRV_ED25519:
            raise UnsupportedAlgorithm(f"curve {value[_CRV]!r} is not supported")
        return cls(Algorithm.ED25519, raw)

    def encode(self) -> bytes:
        """COSE_Key bytes, 40 for Ed25519."""
        return cbor.encode(self.to_value())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read COSE_Key bytes.

        Raises:
            ProtocolError: not CBOR, or see `from_value`.
        """
        return cls.from_value(cbor.decode(data, bytes_max=OBJECT_BYTES_MAX))

    @cached_property
    def id(self) -> bytes:
        """32 bytes that name the key."""
        return hashlib.sha256(_ID_PREFIX + self.encode()).digest()

    @property
    def kid(self) -> bytes:
        """Short name of an issuer key inside one key set."""
        return self.id[:_KID_BYTES]

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a signature by the verdict of libsodium.

        Raises:
            BadSignature: it is not a signature of this key over the message.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise BadSignature(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
        try:
            bindings.crypto_sign_open(signature + message, self.raw)
        except CryptoError as error:
            raise BadSignature("the signature does not belong to this key and content") from error


class Signer(Protocol):
    """A private key that may live in hardware and never leaves it."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes: ...


class SoftwareSigner:
    """A private key held in memory."""

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte seed of RFC 8032; the same seed is always the same key."""
        raw, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self._public_key = PublicKey(Algorithm.ED25519, raw)

    def __repr__(self) -> str:
        return f"SoftwareSigner({self._public_key.kid.hex()})"

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        signed: bytes = bindings.crypto_sign(message, self._secret)
        return signed[:SIGNATURE_BYTES]


@lru_cache(maxsize=4_096)
def _is_sound_point(raw: bytes) -> bool:
    # As dear as a signature check, and the same few keys come again and again in a chain.
    return bool(bindings.crypto_core_ed25519_is_valid_point(raw))
