"""Access tokens (RFC 9068), their keys (RFC 8037), and refresh tokens.

An access token is a JWT of type ``at+jwt``, signed with EdDSA over Ed25519 and nothing else: the
algorithm is ours to say, never the token's. It names a person and a session by opaque ids and holds
nothing personal. A refresh token is 256 random bits; the next one follows from it under a server
key, so the same answer can be given again without storing a secret.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.identity.errors import TokenExpired, TokenInvalid
from server.identity.json_web_keys import thumbprint
from server.kit.crypto import Vault

ALGORITHM: Final = "EdDSA"
ACCESS_TYPE: Final = "at+jwt"
AUDIENCE: Final = "tallystick-api"
ISSUER: Final = "tallystick"
TOKEN_MAX: Final = 2_048
REFRESH_BYTES: Final = 32
LEVEL_PASSWORD: Final = "pwd"  # noqa: S105 - the name of a level, not a password
LEVEL_DEVICE: Final = "pwd+key"
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_UNCHECKED: Final[Any] = {
    # Times are judged by the clock that is given, the rest by the types below.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "require": ["iss", "aud", "sub", "sid", "iat", "exp"],
}


class Confirmation(msgspec.Struct, frozen=True):
    """The key that a token is bound to (RFC 9449 section 6)."""

    jkt: str


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an access token says; times are Unix seconds."""

    iss: str
    aud: str
    sub: UUID
    sid: UUID
    jti: UUID
    iat: int
    exp: int
    auth_time: int
    acr: str
    role: str
    cnf: Confirmation | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs access tokens, and its name."""

    kid: str
    seed: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.kid})"

    @classmethod
    def from_seed(cls, seed: bytes) -> "SigningKey":
        return cls(thumbprint(_public_raw(seed)), seed)

    @property
    def public_raw(self) -> bytes:
        return _public_raw(self.seed)


def issue_access_token(claims: AccessClaims, key: SigningKey) -> str:
    return jwt.encode(
        msgspec.to_builtins(claims),
        Ed25519PrivateKey.from_private_bytes(key.seed),
        algorithm=ALGORITHM,
        headers={"typ": ACCESS_TYPE, "kid": key.kid},
    )


def key_id_of(token: str) -> str:
    """Return the name of the key that a token claims to be signed with.

    Raises:
        TokenInvalid: it is no access token of ours by its header.
    """
    try:
        header = jwt.get_unverified_header(token) if len(token) <= TOKEN_MAX else {}
    except (jwt.PyJWTError, ValueError, RecursionError):
        header = {}
    kid = header.get("kid")
    if (
        header.get("typ") != ACCESS_TYPE
        or header.get("alg") != ALGORITHM
        or not isinstance(kid, str)
        or not _KEY_NAME.fullmatch(kid)
    ):
        raise _not_ours()
    return kid


def verify_access_token(token: str, public_raw: bytes, *, now: datetime) -> AccessClaims:
    """Return what a token says, once its signature, type, issuer, audience and time are checked.

    Raises:
        TokenInvalid: any of them is wrong.
        TokenExpired: only its time is over.
    """
    claims = read_access_token(token, public_raw)
    check_times(claims, now)
    return claims


def read_access_token(token: str, public_raw: bytes) -> AccessClaims:
    """Return what a token says, once everything of it is checked that no time changes.

    Raises:
        TokenInvalid: its signature, type, issuer or audience is wrong.
    """
    key_id_of(token)
    try:
        return msgspec.convert(
            jwt.decode(
                token,
                Ed25519PublicKey.from_public_bytes(public_raw),
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options=_UNCHECKED,
            ),
            AccessClaims,
        )
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as error:
        raise _not_ours() from error


def check_times(claims: AccessClaims, now: datetime) -> None:
    """Raise TokenInvalid when a token is from the future, TokenExpired when it is over."""
    now_s = now.timestamp()
    if claims.iat > now_s + 1:
        raise _not_ours()
    if claims.exp <= now_s:
        raise TokenExpired(
            "The access token has expired.", fix="Get a new one with POST /v1/sessions/refresh."
        )


def refresh_successor(vault: Vault, token: bytes) -> bytes:
    """Return the refresh token that follows; nobody without the server key can work it out."""
    return hmac.digest(vault.derive("identity.refresh"), token, "sha256")


def token_digest(token: bytes) -> bytes:
    """Return what is stored for a random token. 256 random bits need no slow hash."""
    return hashlib.sha256(token).digest()


def unix_seconds(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1))


def _public_raw(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _not_ours() -> TokenInvalid:
    return TokenInvalid(
        "This is not an access token of this service.", fix="Sign in with POST /v1/sessions."
    )
