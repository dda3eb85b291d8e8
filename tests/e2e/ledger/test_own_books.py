"""Balances, statements, proofs: what users read about their own money, over HTTP."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from client_sdk.liabilities import check_proof, read_root
from offline_protocol.keys import SoftwareSigner
from server.kit.unit_of_work import UnitOfWork
from server.ledger import close_days, publish_liabilities, seal_once
from tests.e2e.ledger.conftest import Fund
from tests.e2e.ledger.test_emergency import move
from tests.factories.identity import Person
from tests.fakes.clock import ManualClock

SIGNER = SoftwareSigner(bytes(range(32)))


async def test_balances_now_and_then(ada: Person, fund: Fund, clock: ManualClock) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    before = clock.now()
    clock.advance(timedelta(minutes=5))
    await move(device, "lock", 400)
    now = (await device.call("GET", "/v1/balances")).json()
    assert now["as_of"].startswith(f"{clock.now():%Y-%m-%dT%H:%M}")
    assert now["items"] == [
        {
            "currency": "EUR",
            "posted": 600,
            "held": 0,
            "available": 600,
            "emergency": 400,
            "offline": 0,
        }
    ]

    async def then(moment: str, by: str = "recorded") -> list[dict[str, object]]:
        answer = await device.call("GET", f"/v1/balances?at={moment}&by={by}")
        assert answer.status_code == 200, answer.text
        items: list[dict[str, object]] = answer.json()["items"]
        return items

    for by in ("recorded", "effective"):
        (item,) = await then(f"{before:%Y-%m-%dT%H:%M:%SZ}", by)
        assert (item["available"], item["emergency"], item["offline"]) == (1_000, 0, None)
    assert await then("2020-01-01T00:00:00Z") == []
    for bad in ("at=2020-01-01T00:00:00", "at=2999-01-01T00:00:00Z", "at=x", "by=nothing"):
        answer = await device.call("GET", f"/v1/balances?{bad}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), bad


async def test_a_statement_has_opening_lines_and_closing(
    ada: Person, fund: Fund, clock: ManualClock
) -> None:
    device = await ada.join()
    await fund(device, 1_000)
    clock.advance(timedelta(minutes=1))
    begin = clock.now()
    for n in range(5):
        await move(device, "lock", 10 + n, f"k{n}")
        clock.advance(timedelta(minutes=1))
    end = clock.now()
    await move(device, "lock", 500, "later")
    path = f"/v1/statements?currency=EUR&begin={begin:%Y-%m-%dT%H:%M:%SZ}"
    path += f"&end={end:%Y-%m-%dT%H:%M:%SZ}&limit=2"
    lines, cursor = [], ""
    for size in (2, 2, 1):
        page = (await device.call("GET", path + cursor)).json()
        assert (page["opening"], page["closing"], len(page["lines"])) == (1_000, 940, size)
        lines += page["lines"]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert [line["amount"] for line in lines] == [-10, -11, -12, -13, -14]
    assert [line["balance"] for line in lines] == [990, 979, 967, 954, 940]
    locked = (await device.call("GET", "/v1/statements?currency=EUR&account=emergency")).json()
    assert (locked["opening"], locked["closing"], len(locked["lines"])) == (0, 560, 6)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "currency=eur",
        "currency=EUR&cursor=x",
        "currency=EUR&cursor=-1",
        "currency=EUR&account=house_fees",
        "currency=EUR&limit=0",
        "currency=EUR&limit=101",
        "currency=EUR&begin=2026-03-02T09:00:00",
        "currency=EUR&begin=2026-03-02T09:00:00Z&end=2026-03-01T09:00:00Z",
        "currency=EUR&begin=1900-01-01T00:00:00Z",
    ],
)
async def test_a_statement_that_makes_no_sense_is_refused(ada: Person, query: str) -> None:
    device = await ada.join()
    answer = await device.call("GET", f"/v1/statements?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_liabilities_are_published_and_checked_without_the_server(
    ada: Person, eve: Person, fund: Fund, clock: ManualClock, uow: UnitOfWork
) -> None:
    device, other = await ada.join(), await eve.join()
    await fund(device, 1_000)
    await fund(other, 7_000)
    assert (await device.client.get("/v1/liabilities")).json() == {"items": []}
    answer = await device.call("GET", "/v1/liabilities/proof?currency=EUR")
    assert (answer.status_code, answer.json()["code"]) == (404, "nothing_published")
    today = clock.now().date()
    clock.advance(timedelta(days=1))
    await close_days(uow, SIGNER, upto=today)
    await publish_liabilities(uow, SIGNER)
    device, other = await ada.sign_in(), await eve.sign_in()
    (root,) = (await device.client.get("/v1/liabilities")).json()["items"]
    assert (root["total"], root["leaves"]) == ("8000", 2)
    published = read_root(json.dumps(root))
    for someone, amount in ((device, 1_000), (other, 7_000)):
        proof = (await someone.call("GET", "/v1/liabilities/proof?currency=EUR&round=1")).text
        assert check_proof(proof, published).balance == amount
    checkpoint = (await device.client.get("/v1/ledger/checkpoint")).json()
    assert checkpoint["day"]["hash"] == root["day_hash"]


async def test_an_entry_is_proved_to_its_own_side_alone(
    ada: Person, eve: Person, fund: Fund, uow: UnitOfWork
) -> None:
    device, other = await ada.join(), await eve.join()
    entry = await fund(device, 1_000)
    path = f"/v1/entries/{entry}/proof"
    assert (await device.call("GET", path)).json()["code"] == "not_sealed_yet"
    await seal_once(uow, SIGNER)
    proof = (await device.call("GET", path)).json()
    shown = {part["name"]: part["content"] is not None for part in proof["parts"]}
    assert shown == {"movement": True, "details": False, "debit": False, "credit": True}
    checkpoint = (await device.client.get("/v1/ledger/checkpoint")).json()
    assert proof["seal"] == checkpoint["seal"]
    assert (await other.call("GET", path)).status_code == 404
    assert (await device.call("GET", f"/v1/entries/{UUID(int=1)}/proof")).status_code == 404
