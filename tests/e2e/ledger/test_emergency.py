"""The emergency balance over HTTP: out of the reach of payments, and of whoever holds a token."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

from httpx import Response

from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many, verify_ledger
from tests.e2e.ledger.conftest import Fund
from tests.factories.identity import Device, Person, signer
from tests.fakes.clock import ManualClock


async def move(
    device: Device, direction: str, amount: object, key: str | None = "k1", currency: str = "EUR"
) -> Response:
    body = json.dumps({"amount": amount, "currency": currency}).encode()
    path = f"/v1/emergency-balance/{direction}"
    token = device.tokens["access_token"]
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"{device.tokens['token_type']} {token}",
    }
    if device.tokens["token_type"] == "DPoP":
        headers["DPoP"] = device.proof("POST", path, body, token=token)
    if key is not None:
        headers["Idempotency-Key"] = key
    return await device.client.post(path, content=body, headers=headers)


async def balances(device: Device) -> tuple[int, int]:
    (item,) = (await device.call("GET", "/v1/balances")).json()["items"]
    return item["available"], item["emergency"]


async def test_money_is_locked_away_and_unlocked(
    ada: Person, fund: Fund, clock: ManualClock, uow: UnitOfWork
) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    locked = await move(device, "lock", 400)
    assert locked.status_code == 200, locked.text
    answer = locked.json()
    assert (answer["emergency"], answer["available"]) == (400, 600)
    assert answer["as_of"].startswith(f"{clock.now():%Y-%m-%dT%H:%M}")
    assert await balances(device) == (600, 400)
    unlocked = await move(device, "unlock", 150, "k2")
    assert (unlocked.json()["emergency"], unlocked.json()["available"]) == (250, 750)
    assert (await uow.read(verify_ledger)).sound


async def test_a_key_moves_money_once(ada: Person, fund: Fund) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    answers = await asyncio.gather(*(move(device, "lock", 300) for _ in range(6)))
    assert {answer.text for answer in answers} == {answers[0].text}
    assert await balances(device) == (700, 300)
    assert (await move(device, "lock", 301)).json()["code"] == "idempotency_conflict"
    assert (await move(device, "unlock", 300)).status_code == 200
    assert await balances(device) == (1_000, 0)


async def test_unlocking_needs_a_fresh_sign_in(ada: Person, fund: Fund, clock: ManualClock) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    await move(device, "lock", 400)
    clock.advance(timedelta(minutes=10))
    device.tokens = (await device.refresh()).json()
    refused = await move(device, "unlock", 1, "k2")
    assert (refused.status_code, refused.json()["code"]) == (403, "sign_in_again")
    assert (await move(device, "lock", 1, "k3")).status_code == 200
    fresh = await ada.sign_in(device_name="Library")
    assert (await move(fresh, "unlock", 1, "k2")).status_code == 200
    assert await balances(device) == (600, 400)


async def test_a_phone_signs_in_again_beside_its_bound_session(
    ada: Person, fund: Fund, clock: ManualClock
) -> None:
    device = await ada.join()
    await device.enrol(signer())
    await fund(device, 500)
    assert (await move(device, "lock", 500)).status_code == 200
    clock.advance(timedelta(minutes=11))
    device.tokens = (await device.refresh()).json()
    assert (await move(device, "unlock", 500, "k2")).json()["code"] == "sign_in_again"
    fresh = await ada.sign_in()
    assert (await move(fresh, "unlock", 500, "k2")).status_code == 200


async def test_an_ordinary_payment_cannot_touch_what_is_locked(
    ada: Person, fund: Fund, uow: UnitOfWork
) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    await move(device, "lock", 900)
    me = UUID((await device.call("GET", "/v1/me")).json()["id"])
    request = EntryRequest(
        id=UUID(int=5),
        kind="test",
        debit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", me),
        credit=AccountRef(AccountKind.USER_AVAILABLE, "EUR", UUID(int=6)),
        amount=101,
    )
    (outcome,) = await uow.run(lambda tx: post_many(tx, [request]))
    assert outcome.reason == "insufficient_funds"


async def test_what_cannot_be_is_refused(ada: Person, fund: Fund) -> None:
    device = await ada.join()
    await fund(device, 100)
    await move(device, "lock", 50)
    for direction, amount, key, code in (
        ("lock", 51, "a", "insufficient_funds"),
        ("unlock", 51, "b", "insufficient_funds"),
        ("lock", 0, "c", "invalid_request"),
        ("lock", -5, "d", "invalid_request"),
        ("lock", "5", "e", "invalid_request"),
        ("unlock", 1.5, "f", "invalid_request"),
        ("lock", 2**62, "g", "invalid_request"),
        ("lock", 5, None, "invalid_request"),
    ):
        assert (await move(device, direction, amount, key)).json()["code"] == code, (amount, key)
    assert (await move(device, "lock", 5, "h", "XXX")).json()["code"] == "unknown_currency"
    assert await balances(device) == (50, 50)


async def test_racing_locks_and_unlocks_lose_nothing(
    ada: Person, fund: Fund, uow: UnitOfWork
) -> None:
    device = await ada.join()
    await fund(device, 100)
    answers = await asyncio.gather(
        *(move(device, "lock", 30, f"l{n}") for n in range(6)),
        *(move(device, "unlock", 10, f"u{n}") for n in range(6)),
    )
    assert {answer.status_code for answer in answers} <= {200, 422}
    available, emergency = await balances(device)
    assert available + emergency == 100
    assert min(available, emergency) >= 0
    assert (await uow.read(verify_ledger)).sound
