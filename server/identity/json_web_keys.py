"""Device keys as JSON Web Keys: Ed25519 (RFC 8037) and P-256 (RFC 7518 section 6.2)."""

import hashlib
import json
from typing import Final, Literal

import msgspec

from offline_protocol import p256
from offline_protocol.algorithms import Algorithm
from offline_protocol.keys import PublicKey
from server.kit.schema import from_base64url, to_base64url

PART_BYTES: Final = 32
SIGNED_AS: Final = {Algorithm.ED25519: "EdDSA", Algorithm.ESP256: "ES256"}
"""The name that JSON Web Signatures give to an algorithm of the protocol."""


class _Exact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kty"):
    """Exactly the public members: a private part, or anything else, is refused."""


class OctetKey(_Exact, frozen=True, tag="OKP"):
    crv: Literal["Ed25519"]
    x: str


class CurveKey(_Exact, frozen=True, tag="EC"):
    crv: Literal["P-256"]
    x: str
    y: str


Jwk = OctetKey | CurveKey


def public_key_of(jwk: Jwk) -> PublicKey:
    """The protocol's key behind a JWK.

    Raises:
        ProtocolError: the point is weak or none.
        InvalidRequest: a part is no base64url or too long.
        ValueError: y does not belong to x.
    """
    x = from_base64url(jwk.x, field="x", size_max=PART_BYTES)
    if isinstance(jwk, OctetKey):
        return PublicKey(x)
    y = from_base64url(jwk.y, field="y", size_max=PART_BYTES)
    if len(x) != PART_BYTES or len(y) != PART_BYTES:
        raise ValueError("coordinates keep their leading zeros")
    key = PublicKey(bytes([2 + (y[-1] & 1)]) + x)
    if _coordinates(key.raw) != (x, y):
        raise ValueError("y does not belong to x")
    return key


def jwk_of(raw: bytes) -> dict[str, str]:
    """The members of a key that name it (RFC 7638), in their order."""
    if len(raw) == PART_BYTES:
        return {"crv": "Ed25519", "kty": "OKP", "x": to_base64url(raw)}
    x, y = _coordinates(raw)
    return {"crv": "P-256", "kty": "EC", "x": to_base64url(x), "y": to_base64url(y)}


def thumbprint(raw: bytes) -> str:
    """The JWK thumbprint of a key (RFC 7638 section 3)."""
    canonical = json.dumps(jwk_of(raw), separators=(",", ":"))
    return to_base64url(hashlib.sha256(canonical.encode()).digest())


def _coordinates(raw: bytes) -> tuple[bytes, bytes]:
    numbers = p256.load(raw).public_numbers()
    return numbers.x.to_bytes(PART_BYTES, "big"), numbers.y.to_bytes(PART_BYTES, "big")
