"""Top-ups, refunds, disputes, debts and withdrawals through the card company, over HTTP."""

import itertools
from typing import Any

import httpx
import pytest
from httpx import Response

from server.identity import Role, set_role
from server.kit.unit_of_work import UnitOfWork
from server.payments import StripeGateway
from server.payments.cards import card_jobs
from server.payments.cards.news import hint
from tests.factories.identity import Deliver, Device, Person
from tests.fakes.card_company import API_KEY, CardCompany
from tests.fakes.clock import ManualClock

Json = dict[str, Any]
_keys = itertools.count(1)


async def money_call(device: Device, path: str, document: Json, key: str | None = None) -> Response:
    headers = {
        "Authorization": f"{device.tokens['token_type']} {device.tokens['access_token']}",
        "Idempotency-Key": key or f"key-{next(_keys)}",
    }
    return await device.client.post(path, json=document, headers=headers)


@pytest.fixture
async def payer(ada: Person) -> Device:
    return await ada.join()


@pytest.fixture
async def officer(
    ada: Person, clock: ManualClock, deliver: Deliver, uow: UnitOfWork, payer: Device
) -> Device:
    person = Person(ada.client, clock, deliver, "olga", "+905329999999", "olga@b.example")
    device = await person.join()
    await uow.run(lambda tx: set_role(tx, 1, "olga", Role.RISK))
    assert payer.tokens != device.tokens
    return device


async def top_up(device: Device, card: str | None = "pm_card_visa", amount: int = 10_000) -> Json:
    document = {"amount": amount, "currency": "EUR"} | ({"card": card} if card else {})
    response = await money_call(device, "/v1/top-ups", document)
    assert response.status_code == 201, response.text
    found: Json = response.json()
    return found


async def hear(uow: UnitOfWork, company: CardCompany) -> None:
    """Ask about every payment at the company, as its webhooks would make us."""
    listed = company.get("/v1/payment_intents", limit="100")["data"]
    for intent in listed:
        await uow.run(lambda tx, intent=intent: hint(tx, 1, intent["id"]))  # type: ignore[misc]
    gateway = StripeGateway(API_KEY, url=company.url)
    for job in card_jobs(uow, gateway, tenant=1).values():
        await job()
    await gateway.close()


async def test_a_top_up_that_the_payer_finishes_at_the_company(
    payer: Device, company: CardCompany, uow: UnitOfWork
) -> None:
    made = await top_up(payer, card=None)
    assert made["status"] == "requires_action"
    intent = made["client_secret"].partition("_secret_")[0]
    shown = (await payer.call("GET", f"/v1/top-ups/{made['id']}")).json()
    assert shown["client_secret"] == made["client_secret"]
    company.post(
        f"/v1/payment_intents/{intent}/confirm",
        client_secret=made["client_secret"],
        payment_method="pm_card_visa",
    )
    await hear(uow, company)
    shown = (await payer.call("GET", f"/v1/top-ups/{made['id']}")).json()
    assert (shown["status"], shown["client_secret"]) == ("succeeded", None)
    history = (await payer.call("GET", "/v1/history")).json()["items"]
    assert [item["amount"] for item in history] == [10_000]


async def test_refunds_over_http(payer: Device, officer: Device) -> None:
    made = await top_up(payer)
    path = f"/v1/top-ups/{made['id']}/refunds"
    first = await money_call(payer, path, {"amount": 4_000}, key="r")
    assert (first.status_code, first.json()["status"]) == (201, "succeeded"), first.text
    assert (await money_call(payer, path, {"amount": 4_000}, key="r")).json() == first.json()
    conflict = await money_call(payer, path, {"amount": 4_001}, key="r")
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")
    rest = await money_call(payer, path, {})
    assert rest.json()["amount"] == 6_000
    none_left = await money_call(payer, path, {})
    assert (none_left.status_code, none_left.json()["code"]) == (422, "refund_too_large")
    listed = (await payer.call("GET", path)).json()["items"]
    assert [item["amount"] for item in listed] == [4_000, 6_000]
    assert (await officer.call("GET", path)).status_code == 403, "it is none of the officer's"
    keyless = await payer.call("POST", path, {})
    assert keyless.status_code == 400


async def test_a_lost_dispute_its_debt_and_its_end(
    payer: Device, officer: Device, company: CardCompany, uow: UnitOfWork
) -> None:
    made = await top_up(payer)
    company.control("dispute", charge=company.get("/v1/charges")["data"][0]["id"])
    refused = await money_call(payer, f"/v1/top-ups/{made['id']}/refunds", {"amount": 10_000})
    assert refused.json()["status"] == "failed", "the company refuses what is contested"
    await hear(uow, company)
    (dispute,) = (await payer.call("GET", "/v1/card-disputes")).json()["items"]
    assert (dispute["status"], dispute["held"]) == ("open", 10_000)
    assert (await officer.call("GET", "/v1/card-desk/disputes")).json()["items"] == [dispute]
    company.control("dispute_result", dispute=dispute["id"], result="lost")
    by_hand = await top_up(payer, amount=5_000)
    charge = company.get("/v1/charges")["data"][0]["id"]
    me = (await payer.call("GET", "/v1/me")).json()["id"]
    # Refunded by hand at the company while the user has it no more.
    assert (await money_call(payer, f"/v1/top-ups/{by_hand['id']}/refunds", {})).status_code == 201
    assert company.post("/v1/refunds", charge=charge).status_code == 400
    await hear(uow, company)
    assert (await payer.call("GET", "/v1/card-debts")).json()["items"] == []
    write_off = {"user_id": me, "currency": "EUR", "reason": "gone"}
    nothing = await money_call(officer, "/v1/card-desk/debts/write-off", write_off)
    assert nothing.status_code == 404
    stranger = await money_call(payer, "/v1/card-desk/debts/write-off", write_off)
    assert stranger.status_code == 403
    assert (await payer.call("GET", "/v1/card-desk/debts")).status_code == 403
    assert (await officer.call("GET", "/v1/card-desk/debts")).json()["items"] == []


async def test_a_withdrawal_goes_to_the_users_connected_account(
    payer: Device, officer: Device, company: CardCompany
) -> None:
    await top_up(payer, amount=50_000)
    account = company.post("/v1/accounts", type="custom").json()
    bank = account["external_accounts"]["data"][0]["id"]
    me = (await payer.call("GET", "/v1/me")).json()["id"]
    payee = {
        "user_id": me,
        "destination": f"{account['id']}/{bank}",
        "currency": "EUR",
        "label": "Bank ending in 6789",
    }
    assert (await money_call(payer, "/v1/card-desk/payees", payee)).status_code == 403
    added = await money_call(officer, "/v1/card-desk/payees", payee, key="p")
    assert added.status_code == 201, added.text
    again = await money_call(officer, "/v1/card-desk/payees", payee, key="p")
    assert again.json() == added.json()
    taken = await money_call(officer, "/v1/card-desk/payees", payee)
    assert (taken.status_code, taken.json()["code"]) == (409, "card_payee_taken")
    (listed,) = (await payer.call("GET", "/v1/card-payees")).json()["items"]
    assert listed == added.json()

    wish = {"amount": 20_000, "currency": "EUR", "bank_account": listed["id"]}
    asked = await money_call(payer, "/v1/withdrawals", wish)
    assert asked.status_code in {201, 202}, asked.text
    headers = {"Authorization": f"Bearer {API_KEY}", "Stripe-Account": account["id"]}
    paid_out: list[Json] = []
    async with httpx.AsyncClient(headers=headers) as stripe:
        while not paid_out:
            paid_out = (await stripe.get(f"{company.url}/v1/payouts")).json()["data"]
    assert [payout["amount"] for payout in paid_out] == [20_000]
    (transfer,) = company.get("/v1/transfers")["data"]
    assert transfer["amount"] == 20_000
    assert transfer["destination"] == account["id"]
