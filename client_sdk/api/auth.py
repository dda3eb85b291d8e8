"""DPoP proofs (RFC 9449) made with the device key.

A proof is a small signed JWT (EdDSA, RFC 8037) over method, address, time, access token and, as
the claim `bh`, the SHA-256 of the request body, so that a captured request cannot be altered.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

from client_sdk.ambient import Entropy
from client_sdk.api.encoding import to_text
from offline_protocol.keys import Signer

JTI_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class Session:
    """Tokens of one sign-in; `expires_at` is Unix seconds, `bound` means DPoP is needed."""

    access_token: str
    refresh_token: str
    expires_at: int
    session_id: str
    bound: bool


def json_web_key(signer: Signer) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": to_text(signer.public_key.raw)}


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
    header = {"alg": "EdDSA", "jwk": json_web_key(signer), "typ": "dpop+jwt"}
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
