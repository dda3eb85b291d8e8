"""A person and their device, as a client that talks to the server sees them."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from httpx import AsyncClient, Response

from offline_protocol.keys import Signer, SoftwareP256Signer, SoftwareSigner
from server.identity.domain import enrolment_message
from server.identity.json_web_keys import SIGNED_AS, jwk_of
from server.kit.messaging import Message
from server.kit.schema import from_base64url, to_base64url
from tests.fakes.clock import ManualClock

PASSWORD = "plum radio under seven"
Client = AsyncClient
Json = dict[str, Any]
Deliver = Callable[[], Awaitable[list[Message]]]


def signer(number: int = 1) -> SoftwareSigner:
    return SoftwareSigner(number.to_bytes(32, "big"))


def p256_signer(number: int = 1) -> SoftwareP256Signer:
    return SoftwareP256Signer(number.to_bytes(32, "big"))


def jwk(key: Signer) -> Json:
    return {**jwk_of(key.public_key.raw)}


def sign_jwt(key: Signer, header: Json, claims: Json) -> str:
    signed = ".".join(
        to_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)
    )
    return f"{signed}.{to_base64url(key.sign(signed.encode()))}"


def make_proof(
    key: Signer,
    *,
    method: str,
    url: str,
    now: datetime,
    body: bytes = b"",
    token: str | None = None,
    nonce: str,
    header: Json | None = None,
    **claims: object,
) -> str:
    """Return a DPoP proof; ``header`` and ``claims`` replace parts of it, None leaves one out."""
    said = {
        "jti": nonce,
        "htm": method,
        "htu": url,
        "iat": int(now.timestamp()),
        "bh": to_base64url(hashlib.sha256(body).digest()),
        "ath": to_base64url(hashlib.sha256(token.encode()).digest()) if token else None,
    } | claims
    name = SIGNED_AS[key.public_key.algorithm]
    head = {"typ": "dpop+jwt", "alg": name, "jwk": jwk(key)} | (header or {})
    return sign_jwt(key, head, {name: value for name, value in said.items() if value is not None})


def code_in(message: Message) -> str:
    found = re.search(r"\b(\d{6})\b", message.text)
    assert found is not None, message.text
    return found.group(1)


def token_in(message: Message) -> str:
    found = re.search(r"#([A-Za-z0-9_-]{43})", message.text)
    assert found is not None, message.text
    return found.group(1)


@dataclass
class Device:
    """Somebody's device: its key, and the tokens of its session."""

    client: Client
    clock: ManualClock
    key: Signer | None = None
    tokens: Json = field(default_factory=dict)
    base_url: str = "http://testserver.local"
    proofs: int = 0

    @property
    def session_id(self) -> str:
        return str(self.tokens["session_id"])

    def proof(self, method: str, path: str, body: bytes, *, token: str | None, **said: Any) -> str:
        assert self.key is not None
        self.proofs += 1
        nonce = said.pop("nonce", f"nonce-{self.session_id}-{self.proofs}")
        at = {"method": method, "url": self.base_url + path, "now": self.clock.now(), **said}
        return make_proof(self.key, body=body, token=token, nonce=nonce, **at)

    async def call(self, method: str, path: str, document: Json | None = None) -> Response:
        """Call with the present tokens, and a proof once they are bound."""
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        if self.tokens:
            token = self.tokens["access_token"]
            headers["Authorization"] = f"{self.tokens['token_type']} {token}"
            if self.tokens["token_type"] == "DPoP":
                headers["DPoP"] = self.proof(method, path, body, token=token)
        return await self.client.request(method, path, content=body, headers=headers)

    async def refresh(self, token: str | None = None) -> Response:
        """Exchange the present refresh token, or a given one, without keeping the answer."""
        path = "/v1/sessions/refresh"
        body = json.dumps({"refresh_token": token or self.tokens["refresh_token"]}).encode()
        headers = {"Content-Type": "application/json"}
        if self.key is not None:
            headers["DPoP"] = self.proof("POST", path, body, token=None)
        return await self.client.post(path, content=body, headers=headers)

    async def enrolment(self, key: Signer, **changes: str) -> Json:
        """Return the document that enrols a key, over a fresh challenge."""
        user_id = UUID((await self.call("GET", "/v1/me")).json()["id"])
        challenge = (await self.call("POST", "/v1/devices/challenges")).json()["challenge"]
        proof = key.sign(enrolment_message(from_base64url(challenge, field="challenge"), user_id))
        return {
            "name": "Phone",
            "public_key": to_base64url(key.public_key.raw),
            "challenge": challenge,
            "proof": to_base64url(proof),
        } | changes

    async def enrol(self, key: Signer, **changes: str) -> Response:
        """Bind the session to a key; on success the new tokens are kept."""
        response = await self.call("POST", "/v1/devices", await self.enrolment(key, **changes))
        if response.status_code == 201:
            self.key, self.tokens = key, response.json()
        return response


@dataclass
class Person:
    """Somebody who registers, confirms and signs in over HTTP."""

    client: Client
    clock: ManualClock
    deliver: Deliver
    username: str = "ada"
    phone: str = "+905321234567"
    email: str = "ada@example.com"
    password: str = PASSWORD

    @property
    def account(self) -> dict[str, str]:
        return {
            "phone": self.phone,
            "email": self.email,
            "username": self.username,
            "password": self.password,
        }

    async def register(self, **changes: str) -> Response:
        return await self.client.post("/v1/registrations", json=self.account | changes)

    async def messages(self, *addresses: str) -> list[Message]:
        """Return what was sent to this person's addresses, or to the given ones."""
        wanted = addresses or (self.phone, self.email)
        return [message for message in await self.deliver() if message.to in wanted]

    async def code(self) -> str:
        return code_in((await self.messages(self.phone))[-1])

    async def confirm_phone(self, code: str | None = None) -> Response:
        document = {"phone": self.phone, "code": code or await self.code()}
        return await self.client.post("/v1/contacts/phone/confirm", json=document)

    async def confirm_email(self) -> Response:
        token = token_in((await self.messages(self.email))[-1])
        return await self.client.post("/v1/contacts/email/confirm", json={"token": token})

    async def try_sign_in(self, **changes: object) -> Response:
        document = {
            "identifier": self.username,
            "password": self.password,
            "device_name": "Phone",
        } | changes
        return await self.client.post("/v1/sessions", json=document)

    async def sign_in(self, **changes: object) -> Device:
        response = await self.try_sign_in(**changes)
        assert response.status_code == 201, response.text
        return Device(self.client, self.clock, tokens=response.json())

    async def join(self) -> Device:
        """Register, confirm both addresses and sign in."""
        assert (await self.register()).status_code == 202
        assert (await self.confirm_phone()).status_code == 204
        assert (await self.confirm_email()).status_code == 204
        return await self.sign_in()

    async def device(self, number: int = 1) -> Device:
        """Join with an enrolled device."""
        device = await self.join()
        response = await device.enrol(signer(number))
        assert response.status_code == 201, response.text
        return device
