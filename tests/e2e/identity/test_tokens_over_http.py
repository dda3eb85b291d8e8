"""Access tokens as others see them: published keys, rotation, and forgeries."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.kit.schema import from_base64url, to_base64url
from tests.factories.identity import Client, Device, Person
from tests.fakes.clock import ManualClock


async def _keys(client: Client) -> list[dict[str, str]]:
    response = await client.get("/.well-known/jwks.json")
    assert response.status_code == 200
    keys: list[dict[str, str]] = response.json()["keys"]
    return keys


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, claims, _ = token.split(".")
    return json.loads(_decode(head)), json.loads(_decode(claims))


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _join(*parts: dict[str, Any]) -> str:
    return ".".join(to_base64url(json.dumps(part).encode()) for part in parts)


async def test_anybody_can_check_a_token_with_the_published_keys(
    ada: Person,
) -> None:
    device = await ada.device()
    (key,) = await _keys(ada.client)
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")
    claims = jwt.decode(
        device.tokens["access_token"],
        jwt.PyJWK(key),
        algorithms=["EdDSA"],
        audience="tallystick-api",
        issuer="tallystick",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert set(claims) == {
        *("iss", "aud", "sub", "sid", "jti", "iat", "exp", "auth_time", "acr", "role", "cnf")
    }
    assert claims["exp"] - claims["iat"] == 900
    assert claims["role"] == "user"
    said = json.dumps(claims)
    # The name is short enough to stand in an id by chance.
    assert not any(word in said for word in (f'"{ada.username}"', ada.phone, ada.email))
    assert _parts(device.tokens["access_token"])[0] == {
        "typ": "at+jwt",
        "alg": "EdDSA",
        "kid": key["kid"],
    }


async def test_keys_are_published_before_anybody_has_signed_in(client: Client) -> None:
    assert await _keys(client) == await _keys(client) != []


async def test_keys_are_rotated_and_the_one_before_stays_while_its_tokens_live(
    ada: Person, clock: ManualClock
) -> None:
    await ada.join()
    clock.advance(timedelta(days=30) - timedelta(seconds=1))
    old = await ada.sign_in(remember=True)
    clock.advance(timedelta(seconds=1))
    new = await ada.sign_in()
    first, second = await _keys(ada.client)
    assert _parts(new.tokens["access_token"])[0]["kid"] == first["kid"]
    assert _parts(old.tokens["access_token"])[0]["kid"] == second["kid"]
    clock.advance(timedelta(hours=5))
    assert (await old.call("GET", "/v1/me")).status_code == 200
    clock.advance(timedelta(hours=1))
    assert [key["kid"] for key in await _keys(ada.client)] == [first["kid"]]


async def test_forged_tokens_are_refused(ada: Person) -> None:
    device = await ada.join()
    token = device.tokens["access_token"]
    head, claims = _parts(token)
    (key,) = await _keys(ada.client)
    public = Ed25519PublicKey.from_public_bytes(from_base64url(key["x"], field="x"))
    signature = token.rpartition(".")[2]
    rsa_key = rsa.generate_private_key(65537, 2048)

    def with_secret(secret: bytes) -> str:
        signed = _join(head | {"alg": "HS256"}, claims)
        return f"{signed}.{to_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"

    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = {
        "no algorithm, no signature": _join(head | {"alg": "none"}, claims) + ".",
        "no algorithm": f"{_join(head | {'alg': 'none'}, claims)}.{signature}",
        "None": f"{_join(head | {'alg': 'None'}, claims)}.",
        "HS256 with the public key": with_secret(public.public_bytes_raw()),
        "HS256 with its PEM": with_secret(pem),
        "HS256 with nothing": with_secret(b""),
        "RS256": jwt.encode(claims, rsa_key, algorithm="RS256", headers=head | {"alg": "RS256"}),
        "another role": f"{_join(head, claims | {'role': 'admin'})}.{signature}",
        "another type": f"{_join(head | {'typ': 'JWT'}, claims)}.{signature}",
        "unknown key": f"{_join(head | {'kid': 'x'}, claims)}.{signature}",
        "key is a list": f"{_join(head | {'kid': ['x']}, claims)}.{signature}",
        "its own key": f"{_join(head | {'jwk': key}, claims)}.{signature}",
        "cut": token[:-4],
        "longer": token + "AAAA",
        "nested": "W" * 1500 + ".e30.AA",
        "not ASCII": token[:-1] + "é",
    }
    for name, text in forged.items():
        headers = [(b"Authorization", f"Bearer {text}".encode())]
        response = await ada.client.get("/v1/me", headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "token_invalid"), name
    assert (await device.call("GET", "/v1/me")).status_code == 200


async def test_an_authorization_header_that_is_no_token_is_refused(client: Client) -> None:
    long = "Bearer " + "x" * 5000
    for header in ("", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "bearer", "DPoP", long):
        response = await client.get("/v1/me", headers={"Authorization": header})
        assert (response.status_code, response.json()["code"]) == (401, "token_invalid"), header


async def test_a_token_of_one_person_never_speaks_for_another(ada: Person, eve: Person) -> None:
    theirs, mine = await ada.join(), await eve.join()
    assert (await mine.call("GET", "/v1/me")).json()["username"] == "eve"
    mixed = Device(ada.client, ada.clock, tokens=theirs.tokens | {"session_id": mine.session_id})
    assert (await mixed.call("GET", "/v1/me")).json()["username"] == "ada"
