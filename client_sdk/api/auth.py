"""DPoP proofs (RFC 9449) made with the device key.

A proof is a small signed JWT (EdDSA or ES256) over method, address, time, access token and, as the
claim `bh`, the SHA-256 of the request body, so that a captured request cannot be altered.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from client_sdk.ambient import Entropy
from client_sdk.api.encoding import to_text
from offline_protocol.algorithms import Algorithm
from offline_protocol.keys import PublicKey, Signer

JTI_BYTES: Final = 16
PART_BYTES: Final = 32
SIGNED_AS: Final = {Algorithm.ED25519: "EdDSA", Algorithm.ESP256: "ES256"}


@dataclass(frozen=True, kw_only=True)
class Session:
    """Tokens of one sign-in; `expires_at` is Unix seconds, `bound` means DPoP is needed."""

    access_token: str
    refresh_token: str
    expires_at: int
    session_id: str
    bound: bool


def json_web_key(key: PublicKey) -> dict[str, str]:
    """The public members of a key (RFC 8037 section 2, RFC 7518 section 6.2)."""
    if key.algorithm is Algorithm.ED25519:
        return {"crv": "Ed25519", "kty": "OKP", "x": to_text(key.raw)}
    from offline_protocol import p256  # noqa: PLC0415 -- needs the extra, which such a key has

    numbers = p256.load(key.raw).public_numbers()
    x, y = (to_text(part.to_bytes(PART_BYTES, "big")) for part in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def make_proof(
    signer: Signer,
    *,
    method: str,
    url: str,
    body: bytes,
    access_token: str | None,
    now: int,
    entropy: Entropy,
) -> str:
    """The value of the `DPoP` header.

    Args:
        signer: the device key; its public half travels in the header of the proof.
        method: upper-case HTTP method.
        url: address without query and fragment.
        body: exact bytes of the request body, empty if there is none.
        access_token: the token shown beside the proof, or None when none is (a refresh).
        now: Unix seconds as the server sees them.
        entropy: source of the proof's unique id.
    """
    key = signer.public_key
    header = {"alg": SIGNED_AS[key.algorithm], "jwk": json_web_key(key), "typ": "dpop+jwt"}
    claims: dict[str, str | int] = {
        "bh": to_text(hashlib.sha256(body).digest()),
        "htm": method,
        "htu": url,
        "iat": now,
        "jti": to_text(entropy(JTI_BYTES)),
    }
    if access_token is not None:
        claims["ath"] = to_text(hashlib.sha256(access_token.encode()).digest())
    signed = ".".join(
        to_text(json.dumps(part, separators=(",", ":"), sort_keys=True).encode())
        for part in (header, claims)
    )
    return f"{signed}.{to_text(signer.sign(signed.encode()))}"
