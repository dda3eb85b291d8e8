"""People with phones and money, over HTTP, in the loop of the test."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx import AsyncClient, Response

from tests.e2e.identity.conftest import client, deliver
from tests.factories.identity import Deliver, Device, Person
from tests.fakes.clock import ManualClock

__all__ = ["client", "deliver"]
Join = Callable[..., Awaitable["Customer"]]


class Customer:
    """Somebody signed in, who moves money under fresh keys."""

    def __init__(self, person: Person, device: Device) -> None:
        self.person, self.device = person, device
        self._keys = 0

    async def post(self, path: str, document: Any = None, *, key: str | None = None) -> Response:
        self._keys += 1
        headers = {
            "Authorization": f"Bearer {self.device.tokens['access_token']}",
            "Idempotency-Key": key or f"{self.person.username}-{self._keys}",
        }
        return await self.device.client.post(path, json=document, headers=headers)

    async def get(self, path: str, **query: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.device.tokens['access_token']}"}
        return await self.device.client.get(path, params=query, headers=headers)

    async def send(self, to: str, amount: int, *, key: str | None = None, **more: Any) -> Response:
        document = {"to": to, "amount": amount, "currency": "EUR"} | more
        return await self.post("/v1/transfers", document, key=key)

    async def money(self) -> int:
        items = (await self.get("/v1/history")).json()["items"]
        return int(items[0]["balance"]) if items else 0


@pytest.fixture
def join(client: AsyncClient, clock: ManualClock, deliver: Deliver) -> Join:
    joined = 0

    async def run(name: str, money: int = 0, *, phone: str | None = None) -> Customer:
        nonlocal joined
        joined += 1
        number = phone or f"+90532123{joined:04d}"
        person = Person(client, clock, deliver, name, number, f"{name}@example.com")
        customer = Customer(person, await person.join())
        if money:
            document = {"amount": money, "currency": "EUR", "card": "sandbox-ok"}
            response = await customer.post("/v1/top-ups", document)
            assert response.status_code == 201, response.text
        return customer

    return run
