"""ECDSA on P-256 with SHA-256 (ESP256 of RFC 9864), for keys in secure hardware.

Needs the package `cryptography` (the extra `p256`); `keys.py` loads this module when it meets such
a key. Keys are compressed points (SEC 1 section 2.3.3), signatures r and s of 32 bytes each.
"""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from offline_protocol.errors import BadSignature, WeakKey

_ECDSA = ECDSA(SHA256())
_DETERMINISTIC = ECDSA(SHA256(), deterministic_signing=True)
_PART_BYTES = 32


@lru_cache(maxsize=4_096)
def load(point: bytes) -> EllipticCurvePublicKey:
    """The key of a compressed point; finding its other coordinate costs half a verification.

    Raises:
        WeakKey: no point of the curve, or not its one compressed form.
    """
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError as error:
        raise WeakKey("the key is not a compressed point of P-256") from error


def verify(point: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature of 64 bytes; both s and its negative count.

    Raises:
        BadSignature: it is not a signature of this key over the message.
    """
    r = int.from_bytes(signature[:_PART_BYTES], "big")
    s = int.from_bytes(signature[_PART_BYTES:], "big")
    try:
        load(point).verify(encode_dss_signature(r, s), message, _ECDSA)
    except InvalidSignature as error:
        raise BadSignature("the signature does not belong to this key and content") from error


def private_key(secret: bytes) -> EllipticCurvePrivateKey:
    """The key of a secret number.

    Raises:
        ValueError: it is not in 1..n-1.
    """
    return derive_private_key(int.from_bytes(secret, "big"), SECP256R1())


def public_point(key: EllipticCurvePrivateKey) -> bytes:
    """The compressed point, 33 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def sign(key: EllipticCurvePrivateKey, message: bytes) -> bytes:
    """R and s in 64 bytes; the nonce follows from key and message (RFC 6979)."""
    r, s = decode_dss_signature(key.sign(message, _DETERMINISTIC))
    return r.to_bytes(_PART_BYTES, "big") + s.to_bytes(_PART_BYTES, "big")
