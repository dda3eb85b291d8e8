"""People with phones and money, over HTTP."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from httpx import Response
from litestar import Litestar
from litestar.testing import AsyncTestClient

from offline_protocol import (
    NO_REQUEST,
    Chain,
    DeviceCertificate,
    KeySet,
    KeyUse,
    PublicKey,
    Signed,
    Transfer,
    TransferKind,
    Voucher,
    seal,
    unseal,
)
from server.kit.crypto import Vault
from server.kit.messaging import deliver_messages
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import UnitOfWork
from tests.factories.identity import Client, Device, Person
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages


@dataclass
class Wallet:
    """An enrolled device that signs transfers by hand, also ones that no wallet would."""

    device: Device
    name: str = ""
    cursor: int = 0
    sequence: int = 0
    certificate: Signed[DeviceCertificate] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    _keys: int = 0

    @property
    def key(self) -> PublicKey:
        assert self.device.key is not None
        return self.device.key.public_key

    async def money_call(
        self, path: str, document: dict[str, Any], *, key: str | None = None
    ) -> Response:
        """POST with an idempotency key; a fresh one unless it is given."""
        self._keys += 1
        body = json.dumps(document).encode()
        token = self.device.tokens["access_token"]
        kind = self.device.tokens["token_type"]
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"{kind} {token}",
            "Idempotency-Key": key or f"key-{self._keys}",
        }
        if kind == "DPoP":
            headers["DPoP"] = self.device.proof("POST", path, body, token=token)
        return await self.device.client.post(path, content=body, headers=headers)

    async def load(self, amount: int) -> list[Chain]:
        """Top up and move the amount to this device."""
        topped = await self.money_call(
            "/v1/top-ups", {"amount": amount, "currency": "EUR", "card": "sandbox-ok"}
        )
        assert topped.status_code == 201, topped.text
        made = await self.money_call("/v1/offline/vouchers", {"amount": amount, "currency": "EUR"})
        assert made.status_code == 201, made.text
        return [
            Chain(unseal(Voucher, from_base64url(text, field="voucher")))
            for text in made.json()["vouchers"]
        ]

    def sign(
        self,
        chain: Chain,
        lo: int,
        hi: int,
        payee: PublicKey,
        kind: TransferKind = TransferKind.PAY,
    ) -> Chain:
        assert self.device.key is not None
        self.sequence += 1
        request = NO_REQUEST if kind is TransferKind.CLAIM else b"q" * 16
        now = int(self.device.clock.now().timestamp())
        body = Transfer(chain.tip_id, lo, hi, payee, request, self.sequence, now, kind)
        holds = chain.voucher.body.holder == self.key
        return chain.extend(seal(body, self.device.key), None if holds else self.certificate)

    async def claim(self, chain: Chain) -> Chain:
        answer = (await self.device.client.get("/v1/offline/key-set")).json()
        key_set = unseal(KeySet, from_base64url(answer["key_set"], field="key_set")).body
        settle = next(key.key for key in key_set.keys if key.use is KeyUse.SETTLE)
        return self.sign(chain, chain.lo, chain.hi, settle, TransferKind.CLAIM)

    async def sync(self, *chains: Chain) -> dict[str, Any]:
        records = [
            {"kind": "transfer", "object": to_base64url(hop.transfer.envelope)}
            for chain in chains
            for hop in chain.hops
        ]
        response = await self.device.call(
            "POST", "/v1/offline/sync", {"cursor": self.cursor, "records": records}
        )
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        self.cursor = answer["cursor"]
        self.events += answer["events"]
        if answer["certificate"] is not None:
            envelope = from_base64url(answer["certificate"], field="certificate")
            self.certificate = unseal(DeviceCertificate, envelope)
        return answer

    async def balance(self) -> dict[str, Any]:
        items = (await self.device.call("GET", "/v1/balances")).json()["items"]
        found: dict[str, Any] = items[0] if items else {}
        return found


MakeWallet = Callable[..., Awaitable[Wallet]]


@pytest.fixture
def make_wallet(
    client: AsyncTestClient[Litestar],
    clock: ManualClock,
    uow: UnitOfWork,
    messages: KeptMessages,
) -> MakeWallet:
    joined = 0

    async def deliver() -> list[Any]:
        while await deliver_messages(uow, messages, Vault(b"m" * 32)):
            pass
        return list(messages.sent)

    async def make(name: str) -> Wallet:
        nonlocal joined
        joined += 1
        person = Person(
            client, clock, deliver, name, f"+9053212345{joined:02d}", f"{name}@example.com"
        )
        wallet = Wallet(await person.device(joined), name)
        await wallet.sync()
        return wallet

    return make


__all__ = ["Client", "MakeWallet", "Wallet"]
