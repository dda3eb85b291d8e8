"""Whatever is sent, the answer is clear and nothing changes."""

import json
from typing import Any

import pytest
from sqlalchemy import func, select

from server.kit.db import Base
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import trial_balance
from server.offline.schemas import RECORDS_PER_SYNC_MAX
from tests.e2e.offline.conftest import MakeWallet, Wallet

# Signing in, proofs of possession and refusals themselves leave their own traces.
_MAY_GROW = ("identity_", "outgoing_message")

TOP_UPS, VOUCHERS, SYNC = "/v1/top-ups", "/v1/offline/vouchers", "/v1/offline/sync"
GOOD = {
    TOP_UPS: {"amount": 100, "currency": "EUR", "card": "sandbox-ok"},
    VOUCHERS: {"amount": 100, "currency": "EUR"},
    SYNC: {"cursor": 0, "records": []},
}
AMOUNTS: list[Any] = [0, -1, 1.0, "1", None, True, 2**53, 10**30, [1], {}]
CURRENCIES: list[Any] = ["", "eur", "EURO!", "XXX", 978, None, "E" * 99]
RECORDS: list[Any] = [
    None,
    {},
    [{}],
    [{"kind": "transfer"}],
    [{"kind": "money", "object": "AA"}],
    [{"kind": "transfer", "object": 7}],
    [{"kind": "transfer", "object": ""}],
    [{"kind": "transfer", "object": "A" * 16_385}],
    [{"kind": "transfer", "object": "AA", "more": 1}],
    [{"kind": "transfer", "object": "AA"}] * (RECORDS_PER_SYNC_MAX + 1),
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((path, {"amount": bad}) for path in (TOP_UPS, VOUCHERS) for bad in AMOUNTS),
    *((path, {"currency": bad}) for path in (TOP_UPS, VOUCHERS) for bad in CURRENCIES),
    *((TOP_UPS, {"card": bad}) for bad in ("", " ", "a" * 65, 4242424242424242, "a b")),
    *((SYNC, {"cursor": bad}) for bad in (-1, 1.5, "0", None, 2**53)),
    *((SYNC, {"records": bad}) for bad in RECORDS),
    *((path, {"surprise": 1}) for path in (TOP_UPS, VOUCHERS, SYNC)),
]


async def _everything(uow: UnitOfWork) -> tuple[object, dict[str, int]]:
    async def query(tx: Tx) -> tuple[object, dict[str, int]]:
        counts = {}
        for table in Base.metadata.sorted_tables:
            if not table.name.startswith(_MAY_GROW):
                counts[table.name] = int(
                    await tx.session.scalar(select(func.count()).select_from(table)) or 0
                )
        return await trial_balance(tx, 1), counts

    return await uow.read(query)


async def _raw(wallet: Wallet, path: str, body: bytes, **headers: str) -> Any:
    token = wallet.device.tokens["access_token"]
    sent = {
        "Content-Type": "application/json",
        "Authorization": f"DPoP {token}",
        "DPoP": wallet.device.proof("POST", path, body, token=token),
        "Idempotency-Key": "raw",
    } | headers
    return await wallet.device.client.post(
        path, content=body, headers={name: value for name, value in sent.items() if value}
    )


def _assert_clear(response: Any) -> None:
    assert 400 <= response.status_code < 500, response.text
    document = response.json()
    assert document["status"] == response.status_code
    assert document["code"]
    assert document["detail"]


async def test_a_wrong_body_is_refused_and_changes_nothing(
    make_wallet: MakeWallet, uow: UnitOfWork
) -> None:
    ada = await make_wallet("ada_online")
    await ada.load(1_000)
    before = await _everything(uow)
    for path, change in CASES:
        _assert_clear(await ada.money_call(path, GOOD[path] | change))
    for path, good in GOOD.items():
        for name in good.keys() - {"card"}:
            rest = {key: value for key, value in good.items() if key != name}
            _assert_clear(await ada.money_call(path, rest))
        for body in (b"", b"[]", b"null", b"{", b"\xff\xfe", json.dumps([good]).encode()):
            _assert_clear(await _raw(ada, path, body))
        doubled = json.dumps(good).encode()[:-1] + b', "amount": 7, "amount": 8}'
        _assert_clear(await _raw(ada, path, doubled))
        _assert_clear(
            await _raw(ada, path, json.dumps(good).encode(), **{"Content-Type": "text/plain"})
        )
    assert await _everything(uow) == before


@pytest.mark.parametrize("path", [TOP_UPS, VOUCHERS])
async def test_money_does_not_move_without_an_idempotency_key(
    make_wallet: MakeWallet, uow: UnitOfWork, path: str
) -> None:
    ada = await make_wallet("ada_online")
    before = await _everything(uow)
    body = json.dumps(GOOD[path]).encode()
    for key in ("", "k" * 129, "k\x7f"):
        response = await _raw(ada, path, body, **{"Idempotency-Key": key})
        assert response.status_code == 400, response.text
        _assert_clear(response)
    assert await _everything(uow) == before


async def test_a_key_that_is_used_for_something_else_is_a_conflict(
    make_wallet: MakeWallet, uow: UnitOfWork
) -> None:
    ada = await make_wallet("ada_online")
    await ada.load(1_000)
    await ada.money_call(TOP_UPS, GOOD[TOP_UPS], key="same")
    await ada.money_call(VOUCHERS, GOOD[VOUCHERS], key="same")
    before = await _everything(uow)
    for path in (TOP_UPS, VOUCHERS):
        response = await ada.money_call(path, GOOD[path] | {"amount": 99}, key="same")
        assert (response.status_code, response.json()["code"]) == (409, "idempotency_conflict")
    assert await _everything(uow) == before


async def test_more_than_there_is_or_may_be_is_refused(
    make_wallet: MakeWallet, uow: UnitOfWork
) -> None:
    ada = await make_wallet("ada_online")
    await ada.load(1_000)
    before = await _everything(uow)
    for amount, code in ((1, "insufficient_funds"), (10**9, "over_offline_limit")):
        response = await ada.money_call(VOUCHERS, {"amount": amount, "currency": "EUR"})
        assert (response.status_code, response.json()["code"]) == (422, code)
    assert await _everything(uow) == before


async def test_other_peoples_things_are_not_found(make_wallet: MakeWallet, uow: UnitOfWork) -> None:
    ada, eve = await make_wallet("ada_online"), await make_wallet("eve_online")
    made = await ada.money_call(TOP_UPS, GOOD[TOP_UPS])
    before = await _everything(uow)
    for path in (
        f"{TOP_UPS}/{made.json()['id']}",
        f"{TOP_UPS}/01890a5d-ac96-774b-bcce-b302099a8057",
        f"/v1/offline/fraud-proofs/{'A' * 43}",
    ):
        assert (await eve.device.call("GET", path)).status_code == 404
    for path in (
        "/v1/history?cursor=nonsense",
        "/v1/history?limit=0",
        "/v1/history?limit=1000",
        "/v1/offline/vouchers?cursor=AAAA",
        "/v1/offline/conflicts?cursor=%00",
        "/v1/offline/fraud-proofs/short",
        f"{TOP_UPS}/not-an-id",
    ):
        _assert_clear(await eve.device.call("GET", path))
    assert await _everything(uow) == before


async def test_an_unbound_session_gets_no_offline_money(make_wallet: MakeWallet) -> None:
    ada = await make_wallet("ada_online")
    person = ada.device.client
    signed_in = await person.post(
        "/v1/sessions",
        json={
            "identifier": "ada_online",
            "password": "plum radio under seven",
            "device_name": "Browser",
        },
    )
    token = signed_in.json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    for path in (VOUCHERS, SYNC):
        response = await person.post(path, json=GOOD[path], headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert (await person.get("/v1/balances", headers=headers)).status_code == 200


async def test_a_replayed_call_is_refused(make_wallet: MakeWallet, uow: UnitOfWork) -> None:
    ada = await make_wallet("ada_online")
    await ada.load(1_000)
    body = json.dumps(GOOD[SYNC]).encode()
    token = ada.device.tokens["access_token"]
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"DPoP {token}",
        "DPoP": ada.device.proof("POST", SYNC, body, token=token),
    }
    first = await ada.device.client.post(SYNC, content=body, headers=headers)
    assert first.status_code == 200
    before = await _everything(uow)
    again = await ada.device.client.post(SYNC, content=body, headers=headers)
    assert again.status_code == 401
    assert await _everything(uow) == before
