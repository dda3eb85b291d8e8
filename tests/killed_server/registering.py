"""Accounts for the people, made over HTTP; codes are read where the sandbox writes messages."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import httpx

from server.kit.messaging import Message, read_spool
from server.settings import Settings
from tests.factories.identity import PASSWORD, code_in, token_in


@dataclass(frozen=True)
class Account:
    name: str
    user_id: UUID
    token: str


async def register(client: httpx.AsyncClient, settings: Settings, name: str) -> Account:
    number = int(name.removeprefix("payer"))
    phone, email = f"+9053212345{number:02d}", f"{name}@example.com"
    account = {"phone": phone, "email": email, "username": name, "password": PASSWORD}
    response = await client.post("/v1/registrations", json=account)
    assert response.status_code == 202, response.text
    code = code_in(await _message(settings, phone))
    confirmed = await client.post("/v1/contacts/phone/confirm", json={"phone": phone, "code": code})
    assert confirmed.status_code == 204, confirmed.text
    token = token_in(await _message(settings, email))
    confirmed = await client.post("/v1/contacts/email/confirm", json={"token": token})
    assert confirmed.status_code == 204, confirmed.text
    signed_in = await client.post(
        "/v1/sessions", json={"identifier": name, "password": PASSWORD, "device_name": "Phone"}
    )
    access = signed_in.json()["access_token"]
    me = await client.get("/v1/me", headers={"Authorization": f"Bearer {access}"})
    return Account(name, UUID(me.json()["id"]), access)


async def _message(settings: Settings, to: str) -> Message:
    while True:
        for message in read_spool(settings.spool_dir):
            if message.to == to:
                return message
        await asyncio.sleep(0.01)
