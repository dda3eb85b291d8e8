"""Proofs that a call comes from the device that holds the key (DPoP, RFC 9449).

Beyond the RFC a proof carries ``bh``, the SHA-256 of the body (of no bytes when there is none), so
a call cannot be altered on the way. Whether a proof was seen before is the database's to say.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from offline_protocol import p256
from offline_protocol.algorithms import Algorithm
from offline_protocol.errors import ProtocolError
from offline_protocol.keys import PublicKey
from server.identity.errors import ProofInvalid, ProofOutOfTime
from server.identity.json_web_keys import SIGNED_AS, Jwk, public_key_of, thumbprint
from server.identity.tokens import unix_seconds
from server.kit.errors import InvalidRequest
from server.kit.schema import to_base64url

PROOF_MAX: Final = 4_096
PROOF_TYPE: Final = "dpop+jwt"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SIGNATURE_ONLY: Final[Any] = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class _Header(msgspec.Struct, frozen=True):
    typ: Literal["dpop+jwt"]
    alg: Literal["EdDSA", "ES256"]
    jwk: Jwk


class _Claims(msgspec.Struct, frozen=True):
    jti: Annotated[str, msgspec.Meta(pattern="^[ -~]{16,128}$")]
    htm: str
    htu: Annotated[str, msgspec.Meta(max_length=2_048)]
    iat: int
    bh: str
    ath: str | None = None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """The call that a proof has to fit. ``url`` is the address as the client sees it."""

    method: str
    url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that fits its call: by which key, and how it is known again."""

    key: PublicKey
    thumbprint: str
    nonce_digest: bytes
    expires_at: datetime
    """From then on its time alone refuses it, so it need not be remembered."""


def verify_proof(
    header: str, call: CallFacts, *, access_token: str | None, now: datetime, window: timedelta
) -> Proof:
    """Check a proof against the call it came with (RFC 9449 section 4.3).

    Args:
        header: value of the ``DPoP`` header.
        call: what was called.
        access_token: the token shown beside it, or None when none was (a refresh).
        now: the server's time.
        window: how far the proof's time may be off, either way.

    Raises:
        ProofInvalid: it is malformed, or made for something else.
        ProofOutOfTime: only its time is wrong; carries the server's.
    """
    if len(header) > PROOF_MAX:
        raise _malformed()
    key, claims = _read(header)
    if claims.htm != call.method:
        raise _unfit("another method")
    if not same_target(claims.htu, call.url):
        raise _unfit("another address")
    if not _is_hash_of(claims.bh, call.body):
        raise _unfit("another body")
    if access_token is None and claims.ath is not None:
        raise _unfit("a call with an access token")
    if access_token is not None and not _is_hash_of(claims.ath or "", access_token.encode()):
        raise _unfit("another access token")
    now_s, window_s = unix_seconds(now), int(window.total_seconds())
    if abs(claims.iat - now_s) > window_s:
        raise ProofOutOfTime(
            f"The proof's time is more than {window_s} s away from the server's.",
            fix="Correct the clock by server_time (Unix seconds) and sign a new proof.",
            server_time=now_s,
        )
    name = thumbprint(key.raw)
    return Proof(
        key=key,
        thumbprint=name,
        nonce_digest=hashlib.sha256(f"{name}\x00{claims.jti}".encode()).digest(),
        expires_at=now + timedelta(seconds=claims.iat - now_s + window_s + 1),
    )


def same_target(claimed: str, actual: str) -> bool:
    """Whether two addresses are the same; a query must agree when the claim has one.

    RFC 9449 leaves queries out of ``htu``. Who signs it gets it checked.
    """
    try:
        left, right = urlsplit(claimed), urlsplit(actual)
        same_place = _origin(left) == _origin(right) and _path(left) == _path(right)
    except ValueError:
        return False
    return same_place and left.query in {"", right.query}


def _read(header: str) -> tuple[PublicKey, _Claims]:
    try:
        head = msgspec.convert(jwt.get_unverified_header(header), _Header)
        key = public_key_of(head.jwk)
        payload = jwt.decode(
            header,
            _verifier(key),
            algorithms=[SIGNED_AS[key.algorithm]],  # the key's to say, never the header's
            options=_SIGNATURE_ONLY,
        )
        return key, msgspec.convert(payload, _Claims)
    except (
        jwt.PyJWTError,
        msgspec.ValidationError,
        ProtocolError,
        InvalidRequest,
        ValueError,
        RecursionError,
    ):
        raise _malformed() from None


def _verifier(key: PublicKey) -> Ed25519PublicKey | EllipticCurvePublicKey:
    if key.algorithm is Algorithm.ESP256:
        return p256.load(key.raw)
    return Ed25519PublicKey.from_public_bytes(key.raw)


def _malformed() -> ProofInvalid:
    return ProofInvalid(
        "The DPoP header is not a proof.",
        fix="Send one JWT of type dpop+jwt, signed with EdDSA or ES256, with jwk in its header "
        "and the claims jti, htm, htu, iat, bh and, beside a token, ath.",
    )


def _unfit(what: str) -> ProofInvalid:
    return ProofInvalid(
        f"The proof was made for {what}.", fix="Sign a new proof for each call, over this call."
    )


def _is_hash_of(claimed: str, content: bytes) -> bool:
    expected = to_base64url(hashlib.sha256(content).digest())
    return hmac.compare_digest(claimed.encode("utf-8", "surrogatepass"), expected.encode())


def _origin(url: SplitResult) -> tuple[str, str, int | None]:
    scheme = url.scheme.lower()
    return scheme, (url.hostname or "").lower(), url.port or _DEFAULT_PORTS.get(scheme)


def _path(url: SplitResult) -> str:
    return quote(unquote(url.path)) or "/"
