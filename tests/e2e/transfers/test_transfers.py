"""Transfers as an app sees them."""

import asyncio
import io

import pytest
import zxingcpp
from PIL import Image

from server.kit.crypto import Vault
from server.kit.unit_of_work import UnitOfWork
from server.payments.transfers import Transfers
from server.payments.transfers.pending import settle_pending
from server.settings import Settings
from tests.e2e.transfers.conftest import Join


async def test_money_goes_from_one_to_another_and_both_see_it(join: Join) -> None:
    ada, bob = await join("ada", 1_000), await join("bob")
    sent = await ada.send("+90 532 123 00 02", 250, note="For lunch")
    assert sent.status_code == 201, sent.text
    view = sent.json()
    assert (view["state"], view["note"], view["counterpart"]["name"]) == (
        "completed", "For lunch", "b•••",
    )  # fmt: skip
    assert (await ada.money(), await bob.money()) == (750, 250)
    seen = (await bob.get(f"/v1/transfers/{view['id']}")).json()
    assert (seen["direction"], seen["counterpart"]["username"]) == ("received", "ada")
    back = await bob.post(f"/v1/transfers/{view['id']}/refunds", {"amount": 50})
    assert (back.status_code, back.json()["refund_of"]) == (201, view["id"])
    assert (await ada.get(f"/v1/transfers/{view['id']}")).json()["refunded"] == 50
    assert await ada.money() == 800


async def test_refusals_have_stable_codes(join: Join) -> None:
    ada, _ = await join("ada", 1_000), await join("bob")
    for to, more, status, code in (
        ("bob", {"amount": 1_001}, 422, "insufficient_funds"),
        ("nobody_here", {}, 422, "recipient_unknown"),
        ("ada", {}, 422, "self_transfer"),
        ("TALLY:U:AAAA", {}, 422, "pay_code_invalid"),
        ("bob", {"note": "a\u0000b"}, 422, "note_invalid"),
        ("bob", {"currency": "XXX"}, 422, "unknown_currency"),
        ("bob", {"amount": 0}, 400, "invalid_request"),
        ("bob", {"amount": "1"}, 400, "invalid_request"),
        ("bob", {"amount": 1.0}, 400, "invalid_request"),
        ("", {}, 400, "invalid_request"),
        ("bob", {"unknown": 1}, 400, "invalid_request"),
    ):
        response = await ada.send(to, **({"amount": 1} | more))
        assert (response.status_code, response.json()["code"]) == (status, code), response.text
    unkeyed = await ada.device.call(
        "POST", "/v1/transfers", {"to": "bob", "amount": 1, "currency": "EUR"}
    )
    assert unkeyed.status_code == 400
    assert await ada.money() == 1_000


async def test_a_double_submit_is_one_transfer_and_another_body_a_conflict(join: Join) -> None:
    ada, bob = await join("ada", 1_000), await join("bob")
    answers = await asyncio.gather(*(ada.send("bob", 10, key="same") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await ada.send("bob", 11, key="same")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert await bob.money() == 10


async def test_nobody_reads_or_touches_what_is_other_peoples(join: Join) -> None:
    ada, bob, eve = await join("ada", 1_000), await join("bob"), await join("eve", 10)
    sent = (await ada.send("bob", 100)).json()["id"]
    waiting = (await ada.send("+905559990001", 100)).json()["id"]
    asked = (await ada.post("/v1/money-requests", {"currency": "EUR", "to": "bob"})).json()["id"]
    planned = await ada.post(
        "/v1/transfer-schedules",
        {"to": "bob", "amount": 1, "currency": "EUR", "every": "day", "starts_on": "2026-03-09"},
    )
    assert planned.status_code == 201, planned.text
    schedule = planned.json()["id"]
    for method, path, document in (
        ("get", f"/v1/transfers/{sent}", None),
        ("post", f"/v1/transfers/{sent}/refunds", {"amount": 1}),
        ("post", f"/v1/transfers/{waiting}/cancel", None),
        ("get", f"/v1/money-requests/{asked}", None),
        ("get", f"/v1/money-requests/{asked}/qr", None),
        ("post", f"/v1/money-requests/{asked}/pay", {"amount": 1}),
        ("post", f"/v1/money-requests/{asked}/decline", None),
        ("post", f"/v1/money-requests/{asked}/cancel", None),
        ("get", f"/v1/transfer-schedules/{schedule}", None),
        ("get", f"/v1/transfer-schedules/{schedule}/runs", None),
        ("post", f"/v1/transfer-schedules/{schedule}/end", None),
    ):
        answer = await (eve.get(path) if method == "get" else eve.post(path, document))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await eve.get("/v1/transfers")).json()["items"] == []
    assert await bob.money() == 100


async def test_money_waits_for_somebody_who_registers_and_confirms(
    join: Join, uow: UnitOfWork
) -> None:
    ada = await join("ada", 1_000)
    view = (await ada.send("+905559990001", 250)).json()
    assert (view["state"], view["counterpart"]["address"]) == ("pending", "+90•••01")
    told = await ada.person.messages("+905559990001")
    assert "@ada sent you 2.50 EUR" in told[-1].text
    bob = await join("bob", phone="+905559990001")
    transfers = Transfers(uow, vault=Vault(b"m" * 32), settings=Settings())
    assert await settle_pending(uow, transfers.desk) == 1
    assert await bob.money() == 250
    after = (await ada.get(f"/v1/transfers/{view['id']}")).json()
    assert (after["state"], after["counterpart"]["name"]) == ("completed", "b•••")
    late = await ada.post(f"/v1/transfers/{view['id']}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "transfer_decided")


async def test_lists_are_filtered_and_go_page_by_page(join: Join) -> None:
    ada, bob = await join("ada", 1_000), await join("bob", 1_000)
    sent = [(await ada.send("bob", at + 1)).json()["id"] for at in range(5)]
    got = (await bob.send("ada", 7)).json()["id"]
    await ada.send("+905559990001", 9)
    found, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await ada.get("/v1/transfers", direction="sent", state="completed", **query)).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == sent[::-1]
    both = (await ada.get("/v1/transfers")).json()["items"]
    assert [item["direction"] for item in both] == ["sent", "received"] + ["sent"] * 5
    received = (await ada.get("/v1/transfers", direction="received")).json()["items"]
    assert [item["id"] for item in received] == [got]
    assert (await ada.get("/v1/transfers", currency="USD")).json()["items"] == []
    assert (await ada.get("/v1/transfers", until="2026-03-02T09:00:00Z")).json()["items"] == []
    assert len((await ada.get("/v1/transfers", since="2026-03-02T09:00:00Z")).json()["items"]) == 7
    for bad in ({"cursor": "x"}, {"cursor": "AAAA"}, {"limit": 0}, {"direction": "up"}):
        assert (await ada.get("/v1/transfers", **bad)).status_code == 400


async def test_a_name_is_shown_as_far_as_one_may_know_it(join: Join) -> None:
    ada, _ = await join("ada"), await join("bob")

    async def ask(to: str) -> dict[str, object]:
        response = await ada.post("/v1/recipients", {"to": to})
        assert response.status_code == 200, response.text
        found: dict[str, object] = response.json()
        return found

    assert await ask("bob") == {"name": "bob", "username": "bob", "waits": False}
    assert await ask("bob@example.com") == {"name": "b•••", "username": None, "waits": False}
    assert await ask("+905559990001") == {"name": None, "username": None, "waits": True}
    unknown = await ada.post("/v1/recipients", {"to": "nobody_here"})
    assert unknown.json()["code"] == "recipient_unknown"
    answers = [await ada.post("/v1/recipients", {"to": "bob"}) for _ in range(60)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize(("form", "kind"), [("png", "image/png"), ("svg", "image/svg+xml")])
async def test_a_code_to_pay_is_drawn_and_read(join: Join, form: str, kind: str) -> None:
    ada, bob = await join("ada", 1_000), await join("bob")
    text = (await bob.get("/v1/me/pay-code")).json()["pay_code"]
    drawn = await bob.get("/v1/me/qr", format=form)
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, kind)
    assert drawn.headers["x-content-type-options"] == "nosniff"
    if form == "svg":
        assert drawn.text.startswith("<svg ")
        assert "<script" not in drawn.text
    else:
        (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(drawn.content)))
        assert found.text == text
    assert (await ada.send(text, 5)).status_code == 201
    assert await bob.money() == 5
    assert (await bob.get("/v1/me/qr", format="gif")).status_code == 400


async def test_a_request_is_scanned_and_paid(join: Join) -> None:
    ada, bob = await join("ada"), await join("bob", 1_000)
    made = (await ada.post("/v1/money-requests", {"currency": "EUR", "amount": 40})).json()
    drawn = await ada.get(f"/v1/money-requests/{made['id']}/qr", format="png")
    (read,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(drawn.content)))
    assert read.text == made["pay_code"]
    found = (await bob.get(f"/v1/money-requests/scanned/{read.text}")).json()
    assert (found["id"], found["amount"], found["requester"]["username"]) == (made["id"], 40, "ada")
    paid = await bob.post(f"/v1/money-requests/{found['id']}/pay", {})
    assert (paid.status_code, paid.json()["amount"]) == (201, 40)
    again = await bob.post(f"/v1/money-requests/{found['id']}/pay", {})
    assert (again.status_code, again.json()["code"]) == (409, "request_closed")
    assert (await ada.get("/v1/money-requests", role="requester")).json()["items"][0][
        "state"
    ] == "paid"


async def test_a_schedule_is_planned_paused_and_ended(join: Join) -> None:
    ada, _ = await join("ada", 1_000), await join("bob")
    plan = {"to": "bob", "amount": 1, "currency": "EUR", "every": "month",
            "starts_on": "2026-03-31", "time_zone": "Europe/Istanbul"}  # fmt: skip
    made = await ada.post("/v1/transfer-schedules", plan)
    assert made.status_code == 201, made.text
    path = f"/v1/transfer-schedules/{made.json()['id']}"
    assert made.json()["next_at"] == "2026-03-31T06:00:00Z"
    assert (await ada.post(f"{path}/pause")).json()["state"] == "paused"
    assert (await ada.post(f"{path}/resume")).json()["state"] == "active"
    assert (await ada.get(f"{path}/runs")).json() == []
    assert (await ada.post(f"{path}/end")).json()["state"] == "ended"
    closed = await ada.post(f"{path}/resume")
    assert (closed.status_code, closed.json()["code"]) == (409, "schedule_closed")
    assert (await ada.post(f"{path}/fly")).status_code in {400, 404}
    assert len((await ada.get("/v1/transfer-schedules")).json()["items"]) == 1
    for wrong in ({"time_zone": "Mars"}, {"starts_on": "2026-02-30"}, {"at_time": "24:00"}):
        assert (await ada.post("/v1/transfer-schedules", plan | wrong)).status_code in {400, 422}
