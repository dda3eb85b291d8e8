"""The company of the tests keeps the interface's own rules, as its documentation states them."""

import asyncio
from typing import Any

import httpx
import stripe

from tests.fakes.card_company import API_KEY, CardCompany

PAY = {
    "amount": "1000",
    "currency": "eur",
    "payment_method": "pm_card_visa",
    "confirm": "true",
}


def _paid(company: CardCompany) -> int:
    return len(company.get("/v1/payment_intents", limit="100")["data"])


def test_the_same_key_and_parameters_give_the_same_answer(company: CardCompany) -> None:
    first = company.post("/v1/payment_intents", key="k", **PAY)
    again = company.post("/v1/payment_intents", key="k", **dict(reversed(PAY.items())))
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert _paid(company) == 1


def test_a_key_for_other_parameters_is_an_error(company: CardCompany) -> None:
    company.post("/v1/payment_intents", key="k", **PAY)
    for path, form in (
        ("/v1/payment_intents", PAY | {"amount": "1001"}),
        ("/v1/refunds", {"charge": "ch_1"}),
    ):
        answer = company.post(path, key="k", **form)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "idempotency_error"
    assert _paid(company) == 1


def test_a_decline_is_remembered_and_a_malformed_request_is_not(company: CardCompany) -> None:
    declined = PAY | {"payment_method": "pm_card_chargeDeclined"}
    answers = [company.post("/v1/payment_intents", key="d", **declined) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [402, 402]
    assert answers[0].content == answers[1].content
    error = answers[0].json()["error"]
    assert (error["type"], error["code"], error["decline_code"]) == (
        "card_error",
        "card_declined",
        "generic_decline",
    )
    assert error["payment_intent"]["status"] == "requires_payment_method"
    malformed = company.post("/v1/payment_intents", key="m", **PAY | {"amount": "ten"})
    assert malformed.json()["error"]["code"] == "parameter_invalid_integer"
    assert company.post("/v1/payment_intents", key="m", **PAY).status_code == 200


def test_keys_are_forgotten_after_a_day(company: CardCompany) -> None:
    company.post("/v1/payment_intents", key="k", **PAY)
    company.control("clock", seconds=86_401)
    company.post("/v1/payment_intents", key="k", **PAY)
    assert _paid(company) == 2


async def test_many_with_one_key_at_once_are_one(company: CardCompany) -> None:
    def pay() -> httpx.Response:
        return company.post("/v1/payment_intents", key="k", **PAY)

    answers = await asyncio.gather(*(asyncio.to_thread(pay) for _ in range(8)))
    assert len({answer.content for answer in answers}) == 1
    assert _paid(company) == 1


def test_it_remembers_keys_and_objects_over_a_kill(company: CardCompany) -> None:
    first = company.post("/v1/payment_intents", key="k", **PAY)
    company.restart()
    assert company.post("/v1/payment_intents", key="k", **PAY).content == first.content
    assert _paid(company) == 1


def test_errors_have_the_interfaces_form(company: CardCompany) -> None:
    cases: list[tuple[httpx.Response, int, dict[str, Any]]] = [
        (
            company.post("/v1/payment_intents", **PAY | {"amount": "1"}),
            400,
            {"code": "amount_too_small"},
        ),
        (
            company.post("/v1/payment_intents", **PAY | {"colour": "red"}),
            400,
            {"code": "parameter_unknown"},
        ),
        (company.post("/v1/payment_intents/pi_0/cancel"), 404, {"code": "resource_missing"}),
        (company.post("/v1/nothing"), 404, {}),
        (httpx.get(f"{company.url}/v1/balance", headers={"Authorization": "Bearer x"}), 401, {}),
    ]
    for answer, status, expected in cases:
        assert answer.status_code == status, answer.text
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]
        assert {name: error[name] for name in expected} == expected


def test_a_payout_waits_for_the_bank_and_can_come_back(company: CardCompany) -> None:
    form = {"amount": "1200", "currency": "eur"}
    assert company.post("/v1/payouts", **form).json()["error"]["code"] == "balance_insufficient"
    company.control("fund", amount=5_000, currency="eur")
    made = company.post("/v1/payouts", **form).json()
    assert made["status"] == "pending"
    for status, left in (("in_transit", 3_800), ("paid", 3_800), ("failed", 5_000)):
        company.control("payout", payout=made["id"], status=status)
        assert company.get(f"/v1/payouts/{made['id']}")["status"] == status
        assert company.get("/v1/balance")["available"][0]["amount"] == left
    kinds = [event["type"] for event in company.get("/v1/events")["data"]]
    assert kinds == ["payout.failed", "payout.paid", "payout.updated", "payout.created"]


def test_evidence_is_taken_until_it_is_submitted(company: CardCompany) -> None:
    company.post("/v1/payment_intents", **PAY | {"payment_method": "pm_card_createDispute"})
    (dispute,) = company.get("/v1/disputes")["data"]
    path = f"/v1/disputes/{dispute['id']}"
    company.post(path, **{"evidence[product_description]": "a top-up"})
    sent = company.post(path, submit="true").json()
    assert sent["status"] == "under_review"
    assert sent["evidence"] == {"product_description": "a top-up"}
    assert company.post(path, submit="true").status_code == 400
    (line,) = sent["balance_transactions"]
    assert (line["amount"], line["fee"], line["net"]) == (-1_000, 1_500, -2_500)


async def test_the_official_library_pages_through_lists(company: CardCompany) -> None:
    for _ in range(5):
        company.post("/v1/payment_intents", **PAY)
    http = stripe.HTTPXClient()
    client = stripe.StripeClient(API_KEY, base_addresses={"api": company.url}, http_client=http)
    listed = await client.v1.payment_intents.list_async({"limit": 2})
    found = [intent.id async for intent in listed.auto_paging_iter()]
    assert len(set(found)) == 5
    await http.close_async()  # type: ignore[no-untyped-call]
