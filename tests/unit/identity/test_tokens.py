import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.identity.errors import TokenExpired, TokenInvalid
from server.identity.tokens import (
    AUDIENCE,
    ISSUER,
    AccessClaims,
    Confirmation,
    SigningKey,
    issue_access_token,
    key_id_of,
    refresh_successor,
    token_digest,
    verify_access_token,
)
from server.kit.crypto import Vault
from server.kit.schema import to_base64url

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
KEY = SigningKey.from_seed(b"s" * 32)
CLAIMS = AccessClaims(
    iss=ISSUER,
    aud=AUDIENCE,
    sub=UUID(int=1),
    sid=UUID(int=2),
    jti=UUID(int=3),
    iat=int(NOW.timestamp()),
    exp=int(NOW.timestamp()) + 900,
    auth_time=int(NOW.timestamp()),
    acr="pwd",
    role="user",
)


def _signed(
    key: SigningKey = KEY, header: dict[str, object] | None = None, **changes: object
) -> str:
    """Return a token whose signature is right, whatever it says."""
    claims = msgspec.to_builtins(CLAIMS) | changes
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        Ed25519PrivateKey.from_private_bytes(key.seed),
        algorithm="EdDSA",
        headers={"typ": "at+jwt", "kid": key.kid} | (header or {}),
    )


def _verify(token: str, now: datetime = NOW) -> AccessClaims:
    return verify_access_token(token, KEY.public_raw, now=now)


def test_a_token_says_what_was_put_into_it() -> None:
    bound = msgspec.structs.replace(CLAIMS, cnf=Confirmation("thumb"))
    assert _verify(issue_access_token(bound, KEY)) == bound
    assert _verify(issue_access_token(CLAIMS, KEY)) == CLAIMS


def test_a_token_is_good_until_its_last_second_by_the_clock_that_is_given() -> None:
    token = issue_access_token(CLAIMS, KEY)
    assert _verify(token, NOW + timedelta(seconds=899)).exp == CLAIMS.exp
    for late in (900, 10**8):
        with pytest.raises(TokenExpired):
            _verify(token, NOW + timedelta(seconds=late))
    with pytest.raises(TokenInvalid):
        _verify(token, NOW - timedelta(seconds=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-api"},
        {"aud": ["x"]},
        {"aud": None},
        {"sub": None},
        {"sub": "ada"},
        {"sub": 1},
        {"sid": None},
        {"exp": None},
        {"exp": "never"},
        {"exp": 1e300},
        {"iat": None},
        {"role": None},
        {"role": ["admin"]},
        {"cnf": {"jkt": 1}},
        {"cnf": "thumb"},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"crit": ["b64"]}},
    ],
)
def test_a_token_with_a_good_signature_must_still_fit(changes: dict[str, object]) -> None:
    with pytest.raises(TokenInvalid):
        _verify(_signed(**changes))  # type: ignore[arg-type]


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        _verify(_signed(SigningKey.from_seed(b"x" * 32), {"kid": KEY.kid}))


def test_the_next_refresh_token_follows_from_the_last_and_from_the_servers_key() -> None:
    vault, token = Vault(b"k" * 32), b"t" * 32
    following = refresh_successor(vault, token)
    assert following == refresh_successor(vault, token)
    assert len({following, refresh_successor(Vault(b"x" * 32), token), token_digest(token)}) == 3
    assert refresh_successor(vault, following) not in {token, following}


def test_a_signing_key_does_not_show_its_seed() -> None:
    assert repr(KEY) == f"SigningKey({KEY.kid})"


@pytest.mark.parametrize(
    "name", ["\ud800" * 43, "\x00" * 43, "", "k" * 44, "k" * 42 + "=", 7, None]
)
def test_the_name_of_a_key_has_one_form(name: object) -> None:
    header = {"typ": "at+jwt", "alg": "EdDSA", "kid": name}
    with pytest.raises(TokenInvalid):
        key_id_of(f"{to_base64url(json.dumps(header).encode())}.e30.e30")


def test_a_header_nested_without_end_is_refused() -> None:
    with pytest.raises(TokenInvalid):
        key_id_of(f"{to_base64url(b'[' * 1_400)}.e30.e30")
