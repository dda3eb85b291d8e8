"""Public keys, their ids, and signers.

On the wire a key is a byte string whose length pins the algorithm: 32 bytes are an Ed25519 key
(RFC 8032), 33 bytes a compressed point of P-256 (SEC 1 section 2.3.3).
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from nacl import bindings
from nacl.exceptions import CryptoError

from offline_protocol.algorithms import Algorithm
from offline_protocol.constants import ED25519_KEY_BYTES, P256_KEY_BYTES, SIGNATURE_BYTES
from offline_protocol.errors import BadSignature, MalformedObject, UnsupportedAlgorithm, WeakKey
from offline_protocol.lazy import lazy

_ID_PREFIX = b"tallystick/1/id/key"
_KID_BYTES = 4
_ALGORITHMS = {ED25519_KEY_BYTES: Algorithm.ED25519, P256_KEY_BYTES: Algorithm.ESP256}
_FIELD_PRIME = 2**255 - 19
_SIGN_BIT = 1 << 255
_P256_HEADS = frozenset({b"\x02", b"\x03"})
_ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
_ORDER_8_TOO = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
_SMALL_ORDER_HEIGHTS = frozenset(
    {0, 1, _FIELD_PRIME - 1}
    | {int.from_bytes(bytes.fromhex(raw), "little") for raw in (_ORDER_8, _ORDER_8_TOO)}
)
"""The points of order 1, 2, 4 and 8 have these heights, with either sign."""

try:
    from offline_protocol import p256
except ModuleNotFoundError:  # without the extra `p256` such keys are refused
    p256 = None  # type: ignore[assignment]


@dataclass(frozen=True, eq=False)
class PublicKey:
    """A verifying key.

    Raises:
        MalformedObject: neither 32 nor 33 bytes.
        UnsupportedAlgorithm: a P-256 key, and this build has no package for them.
        WeakKey: not canonical, of small order, or no point of P-256. Nobody can sign with such a
            key, or anybody can.
    """

    raw: bytes

    def __post_init__(self) -> None:
        size = len(self.raw)
        if size == ED25519_KEY_BYTES:
            height = int.from_bytes(self.raw, "little") & ~_SIGN_BIT
            if height >= _FIELD_PRIME or height in _SMALL_ORDER_HEIGHTS:
                raise WeakKey("the key is of small order or not canonical")
        elif size == P256_KEY_BYTES:
            if self.raw[:1] not in _P256_HEADS:
                raise WeakKey("the key is not a compressed point of P-256")
            if p256 is None:
                raise UnsupportedAlgorithm("keys for ESP256 need the extra `p256`")
            p256.load(self.raw)
        else:
            raise MalformedObject(f"a key has 32 or 33 bytes, not {size}")

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is PublicKey and self.raw == other.raw)

    def __hash__(self) -> int:
        return hash(self.raw)

    @property
    def algorithm(self) -> Algorithm:
        return _ALGORITHMS[len(self.raw)]

    @property
    def is_of_prime_order(self) -> bool:
        """Whether every verifier agrees about this key: no part of it is of small order.

        As dear as a signature check. An issuer asks once, before it certifies a key; those who
        verify need not, as long as they verify without a cofactor.
        """
        return self.algorithm is Algorithm.ESP256 or bool(
            bindings.crypto_core_ed25519_is_valid_point(self.raw)
        )

    @lazy
    def id(self) -> bytes:
        """32 bytes that name the key."""
        return hashlib.sha256(_ID_PREFIX + self.raw).digest()

    @property
    def kid(self) -> bytes:
        """Short name of an issuer key inside one key set."""
        return self.id[:_KID_BYTES]

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a signature, for Ed25519 by the verdict of libsodium.

        Raises:
            BadSignature: it is not a signature of this key over the message.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise BadSignature(f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
        if len(self.raw) == P256_KEY_BYTES:
            p256.verify(self.raw, message, signature)
            return
        try:
            bindings.crypto_sign_open(signature + message, self.raw)
        except CryptoError as error:
            raise BadSignature("the signature does not belong to this key and content") from error


read_key = lru_cache(maxsize=8_192)(PublicKey)
"""A key that was read; the same few come again and again in chains, so each is made once."""


class Signer(Protocol):
    """A private key that may live in hardware and never leaves it."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes: an Ed25519 signature, or r and s of ESP256."""
        ...


class SoftwareSigner:
    """An Ed25519 private key held in memory."""

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte seed of RFC 8032; the same seed is always the same key."""
        raw, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self._public_key = PublicKey(raw)

    def __repr__(self) -> str:
        return f"SoftwareSigner({self._public_key.kid.hex()})"

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        signed: bytes = bindings.crypto_sign(message, self._secret)
        return signed[:SIGNATURE_BYTES]


class SoftwareP256Signer:
    """A P-256 private key held in memory. Secure hardware signs in the same form."""

    def __init__(self, secret: bytes) -> None:
        """Take the secret number in 32 bytes, big-endian.

        Raises:
            UnsupportedAlgorithm: this build has no package for P-256.
            ValueError: the number is not in 1..n-1.
        """
        if p256 is None:
            raise UnsupportedAlgorithm("keys for ESP256 need the extra `p256`")
        self._private_key = p256.private_key(secret)
        self._public_key = PublicKey(p256.public_point(self._private_key))

    def __repr__(self) -> str:
        return f"SoftwareP256Signer({self._public_key.kid.hex()})"

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        return p256.sign(self._private_key, message)
