"""A balance on a screen may be five seconds old when its reader says so; money never is."""

from datetime import timedelta
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from server.kit.crypto import Vault
from server.kit.messaging import Message, deliver_messages
from server.kit.unit_of_work import UnitOfWork
from tests.factories.identity import Deliver, Device, Person
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

Client = AsyncTestClient[Litestar]


@pytest.fixture
def deliver(uow: UnitOfWork, messages: KeptMessages) -> Deliver:
    async def run() -> list[Message]:
        while await deliver_messages(uow, messages, Vault(b"m" * 32)):
            pass
        return messages.sent

    return run


@pytest.fixture
async def ada(client: Client, clock: ManualClock, deliver: Deliver) -> Device:
    return await Person(client, clock, deliver).join()


async def _top_up(device: Device, amount: int) -> None:
    response = await device.client.post(
        "/v1/top-ups",
        json={"amount": amount, "currency": "EUR", "card": "sandbox-ok"},
        headers={
            "Authorization": f"{device.tokens['token_type']} {device.tokens['access_token']}",
            "Idempotency-Key": f"key-{amount}",
        },
    )
    assert response.status_code == 201, response.text


async def _balance(device: Device, query: str = "") -> tuple[int, str]:
    answer: dict[str, Any] = (await device.call("GET", f"/v1/balances{query}")).json()
    return sum(item["available"] for item in answer["items"]), answer["as_of"]


async def test_only_who_asks_for_it_sees_an_old_balance(ada: Device, clock: ManualClock) -> None:
    await _top_up(ada, 100)
    first = await _balance(ada, "?max_age_s=5")
    clock.advance(timedelta(seconds=4))
    await _top_up(ada, 20)
    assert await _balance(ada, "?max_age_s=5") == first == (100, first[1])
    assert (await _balance(ada))[0] == 120
    assert (await _balance(ada, "?max_age_s=3"))[0] == 120, "what is there is too old for this one"
    clock.advance(timedelta(seconds=5))
    second = await _balance(ada, "?max_age_s=5")
    assert second[0] == 120
    assert second[1] > first[1]


async def test_nobody_sees_the_balance_of_another(
    ada: Device, client: Client, clock: ManualClock, deliver: Deliver
) -> None:
    eve = await Person(client, clock, deliver, "eve", "+905329999999", "eve@b.example").join()
    await _top_up(ada, 100)
    assert (await _balance(ada, "?max_age_s=5"))[0] == 100
    assert (await _balance(eve, "?max_age_s=5"))[0] == 0


@pytest.mark.parametrize("age", ["6", "-1", "x"])
async def test_older_than_five_seconds_is_not_to_be_had(ada: Device, age: str) -> None:
    assert (await ada.call("GET", f"/v1/balances?max_age_s={age}")).status_code == 400
