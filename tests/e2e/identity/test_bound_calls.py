"""Calls with a token that is bound to a device key (RFC 9449), and every way to cheat at them."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import text

from server.identity import purge
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.factories.identity import Device, Person, jwk, make_proof, sign_jwt, signer
from tests.fakes.clock import ManualClock

URL = "http://testserver.local/v1/me"


async def _show(device: Device, proof: str | None, **headers: str) -> Response:
    shown = {"Authorization": f"DPoP {device.tokens['access_token']}"}
    if proof is not None:
        shown["DPoP"] = proof
    return await device.client.get("/v1/me", headers=shown | headers)


def _proof(device: Device, **changes: Any) -> str:
    facts: dict[str, Any] = {
        "method": "GET",
        "url": URL,
        "now": device.clock.now(),
        "token": device.tokens["access_token"],
        "nonce": "a nonce of this test",
    } | changes
    assert device.key is not None
    return make_proof(facts.pop("key", device.key), **facts)


async def _signals(uow: UnitOfWork) -> list[tuple[str, str]]:
    async def query(tx: Tx) -> list[tuple[str, str]]:
        rows = await tx.connection.execute(
            text("SELECT kind, CAST(detail AS TEXT) FROM identity_signal ORDER BY at, id")
        )
        return [(str(kind), str(detail)) for kind, detail in rows]

    return await uow.read(query)


async def test_a_proof_is_good_for_one_call(ada: Person, uow: UnitOfWork) -> None:
    device = await ada.device()
    proof = _proof(device)
    assert (await _show(device, proof)).status_code == 200
    again = await _show(device, proof)
    assert (again.status_code, again.json()["code"]) == (401, "proof_replayed")
    assert again.headers["www-authenticate"]
    assert [kind for kind, _ in await _signals(uow)] == ["proof_replayed"]


async def test_one_proof_sent_ten_times_at_once_is_good_once(ada: Person) -> None:
    device = await ada.device()
    proof = _proof(device)
    answers = await asyncio.gather(*(_show(device, proof) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 9


_UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"method": "POST"}, "another method"),
    ({"method": "get"}, "another method"),
    ({"url": "http://testserver.local/v1/devices"}, "another address"),
    ({"url": "http://testserver.local/v1/me/"}, "another address"),
    ({"url": "http://testserver.local/v1/me?a=1"}, "another address"),
    ({"url": "https://testserver.local/v1/me"}, "another address"),
    ({"url": "http://evil.example/v1/me"}, "another address"),
    ({"url": "http://testserver.local:81/v1/me"}, "another address"),
    ({"url": "http://testserver.local:99999/v1/me"}, "another address"),
    ({"url": "/v1/me"}, "another address"),
    ({"body": b"{}"}, "another body"),
    ({"bh": "é"}, "another body"),
    ({"token": "another token"}, "another access token"),
    ({"ath": None}, "another access token"),
]


async def test_a_proof_made_for_something_else_is_refused(ada: Person) -> None:
    device = await ada.device()
    for changes, what in _UNFIT:
        response = await _show(device, _proof(device, **changes))
        assert (response.status_code, response.json()["code"]) == (401, "proof_invalid"), changes
        assert what in response.json()["detail"], changes
    assert (await _show(device, _proof(device))).status_code == 200, "no nonce was used up"


_MALFORMED: list[dict[str, Any]] = [
    {"header": {"typ": "JWT"}},
    {"header": {"typ": None}},
    {"header": {"alg": "none"}},
    {"header": {"alg": "HS256"}},
    {"header": {"alg": "ES256"}},
    {"header": {"alg": ["EdDSA"]}},
    {"header": {"jwk": None}},
    {"header": {"jwk": jwk(signer()) | {"d": "AAAA"}}},
    {"header": {"jwk": jwk(signer()) | {"kty": "oct", "k": "AAAA"}}},
    {"header": {"jwk": jwk(signer()) | {"x": "AAAA"}}},
    {"header": {"jwk": jwk(signer()) | {"x": "A" * 43}}},
    {"header": {"jwk": jwk(signer(2))}},
    {"header": {"crit": ["exp"], "exp": 1}},
    {"jti": None},
    {"jti": "short"},
    {"jti": "x" * 129},
    {"jti": 5},
    {"iat": None},
    {"iat": "now"},
    {"iat": 1.5},
    {"bh": None},
    {"htm": None},
    {"htu": None},
    {"htu": "x" * 2049},
]


async def test_a_malformed_proof_is_refused(ada: Person) -> None:
    device = await ada.device()
    for changes in _MALFORMED:
        response = await _show(device, _proof(device, **changes))
        assert (response.status_code, response.json()["code"]) == (401, "proof_invalid"), changes
    assert (await _show(device, _proof(device))).status_code == 200


async def test_a_header_that_is_no_proof_is_refused(ada: Person) -> None:
    device = await ada.device()
    for proof in ("", "x", "a.b.c", "..", "x" * 5000, "eyJ." * 3, "W" * 4000 + ".e30.AAAA"):
        assert (await _show(device, proof)).json()["code"] == "proof_invalid", proof


async def test_two_proof_headers_are_refused(ada: Person) -> None:
    device = await ada.device()
    token = device.tokens["access_token"]
    headers = [
        ("Authorization", f"DPoP {token}"),
        ("DPoP", _proof(device)),
        ("DPoP", _proof(device)),
    ]
    response = await device.client.get("/v1/me", headers=headers)
    assert response.json()["code"] == "proof_invalid"


async def test_two_authorization_headers_are_refused(ada: Person) -> None:
    device = await ada.join()
    header = ("Authorization", f"Bearer {device.tokens['access_token']}")
    response = await device.client.get("/v1/me", headers=[header, header])
    assert response.json()["code"] == "token_invalid"


async def test_a_proof_out_of_time_is_refused_with_the_servers_time(ada: Person) -> None:
    device = await ada.device()
    now = int(device.clock.now().timestamp())
    for seconds in (-61, 61, -86_400, 10**9):
        response = await _show(device, _proof(device, iat=now + seconds))
        assert (response.status_code, response.json()["code"]) == (401, "proof_out_of_time")
        assert response.json()["server_time"] == now


@pytest.mark.parametrize("seconds", [-60, 60])
async def test_a_proof_is_remembered_as_long_as_its_time_is_good(
    ada: Person, clock: ManualClock, uow: UnitOfWork, seconds: int
) -> None:
    device = await ada.device()
    proof = _proof(device, iat=int(clock.now().timestamp()) + seconds)
    assert (await _show(device, proof)).status_code == 200
    clock.advance(timedelta(seconds=60 + seconds))
    await purge(uow)
    assert (await _show(device, proof)).json()["code"] == "proof_replayed"
    clock.advance(timedelta(seconds=1))
    assert (await _show(device, proof)).json()["code"] == "proof_out_of_time"


async def test_a_token_with_another_devices_key_is_refused_and_recorded(
    ada: Person, uow: UnitOfWork
) -> None:
    device = await ada.device()
    stolen = await _show(device, _proof(device, key=signer(2)))
    assert (stolen.status_code, stolen.json()["code"]) == (401, "proof_invalid")
    bearer = await device.client.get(
        "/v1/me", headers={"Authorization": f"Bearer {device.tokens['access_token']}"}
    )
    assert (bearer.status_code, bearer.json()["code"]) == (401, "proof_invalid")
    signals = await _signals(uow)
    assert [kind for kind, _ in signals] == ["token_wrong_key"] * 2
    assert (await _show(device, _proof(device))).status_code == 200


async def test_signals_of_one_session_do_not_fill_the_database(
    ada: Person, uow: UnitOfWork
) -> None:
    device = await ada.device()
    for _ in range(25):
        await _show(device, None, Authorization=f"Bearer {device.tokens['access_token']}")
    assert len(await _signals(uow)) == 20


async def test_an_unbound_token_with_a_proof_is_refused(ada: Person) -> None:
    device = await ada.join()
    device.key = signer()
    assert (await _show(device, _proof(device))).json()["code"] == "proof_invalid"


async def test_the_body_of_a_call_cannot_be_altered(ada: Person) -> None:
    device = await ada.device()
    path = f"/v1/devices/{device.tokens['device_id']}"
    token = device.tokens["access_token"]
    body = json.dumps({"name": "Signed"}).encode()
    proof = device.proof("PATCH", path, body, token=token)
    headers = {
        "Authorization": f"DPoP {token}",
        "DPoP": proof,
        "Content-Type": "application/json",
    }
    altered = json.dumps({"name": "Changed"}).encode()
    response = await device.client.patch(path, content=altered, headers=headers)
    assert response.json()["code"] == "proof_invalid"
    response = await device.client.patch(path, content=body, headers=headers)
    assert response.json()["name"] == "Signed"


async def test_a_query_may_be_signed_and_must_then_agree(ada: Person) -> None:
    device = await ada.device()
    token = device.tokens["access_token"]

    async def call(signed: str, sent: str, nonce: str) -> int:
        proof = _proof(device, url=f"{URL}{signed}", nonce=f"{nonce} of this test")
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
        return (await device.client.get(f"/v1/me{sent}", headers=headers)).status_code

    assert await call("?limit=5", "?limit=5", "first nonce") == 200
    assert await call("?limit=5", "?limit=6", "second nonce") == 401
    assert await call("", "?limit=6", "third nonce") == 200


async def test_an_access_token_made_by_the_device_itself_is_refused(ada: Person) -> None:
    device = await ada.join()
    header = {"typ": "at+jwt", "alg": "EdDSA", "kid": "mine"}
    token = sign_jwt(signer(), header, {"iss": "tallystick", "aud": "tallystick-api"})
    response = await device.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (response.status_code, response.json()["code"]) == (401, "token_invalid")
