"""A withdrawal through Stripe is transferred once and paid out once, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from server.payments.adapters.stripe_payout_rail import StripePayoutRail
from server.payments.payouts import PayoutOrder, PayoutRail, PayoutStatus, RailUnavailable
from tests.fakes.card_company import API_KEY, CardCompany


@pytest.fixture
async def rail(company: CardCompany) -> AsyncIterator[StripePayoutRail]:
    company.control("fund", amount=10_000, currency="eur")
    made = StripePayoutRail(API_KEY, url=company.url)
    yield made
    await made.close()


@pytest.fixture
def account(company: CardCompany) -> dict[str, Any]:
    """The connected account of a user, with one bank account."""
    made: dict[str, Any] = company.post("/v1/accounts", type="custom").json()
    return made


def _order(account: dict[str, Any], amount: int = 4_000, number: int = 7) -> PayoutOrder:
    bank = account["external_accounts"]["data"][0]["id"]
    return PayoutOrder(UUID(int=number), amount, "EUR", f"{account['id']}/{bank}", "Withdrawal 7")


def _balance(company: CardCompany) -> int:
    return sum(each["amount"] for each in company.get("/v1/balance")["available"])


async def test_it_is_a_rail_and_pays_once(
    rail: StripePayoutRail, company: CardCompany, account: dict[str, Any]
) -> None:
    assert isinstance(rail, PayoutRail)
    order = _order(account)
    assert await rail.find(order) is None
    first = await rail.send(order)
    assert first.status is PayoutStatus.ACCEPTED
    assert first.external_id is not None
    assert first.external_id.startswith("tr_")
    again = await asyncio.gather(*(rail.send(order) for _ in range(4)))
    assert set(again) == {first}
    assert await rail.find(order) == first
    assert _balance(company) == 6_000
    company.control("payout", payout=_payout(company), status="paid")
    assert (await rail.send(order)).status is PayoutStatus.PAID


def _payout(company: CardCompany) -> str:
    """Return the latest payout of the account that the latest transfer went to."""
    account = company.get("/v1/transfers")["data"][0]["destination"]
    headers = {"Authorization": f"Bearer {API_KEY}", "Stripe-Account": account}
    answer = httpx.get(f"{company.url}/v1/payouts", headers=headers)
    return str(answer.json()["data"][0]["id"])


async def test_a_payout_that_fails_is_taken_back_before_it_is_refused(
    rail: StripePayoutRail, company: CardCompany, account: dict[str, Any]
) -> None:
    order = _order(account)
    await rail.send(order)
    company.control("payout", payout=_payout(company), status="failed")
    for ask in (rail.find, rail.send, rail.find):
        answer = await ask(order)
        assert answer is not None
        assert answer.status is PayoutStatus.REFUSED
        assert _balance(company) == 10_000
    assert len(company.get("/v1/transfers")["data"]) == 1


@pytest.mark.parametrize("path", ["POST /v1/transfers", "POST /v1/payouts"])
@pytest.mark.parametrize("fault", ["lose_answer", "drop", "error_500", "before_500", "conflict"])
async def test_lost_answers_of_either_step_pay_once(
    rail: StripePayoutRail,
    company: CardCompany,
    account: dict[str, Any],
    path: str,
    fault: str,
) -> None:
    order = _order(account)
    company.control("fault", path=path, kind=fault)
    with pytest.raises(RailUnavailable):
        await rail.send(order)
    # The next one asks two days later, when the company has forgotten our keys.
    company.control("clock", seconds=2 * 86_400)
    assert (await rail.send(order)).status is PayoutStatus.ACCEPTED
    assert (await rail.send(order)).status is PayoutStatus.ACCEPTED
    assert _balance(company) == 6_000


async def test_what_cannot_be_paid_is_refused_and_costs_nothing(
    rail: StripePayoutRail, company: CardCompany, account: dict[str, Any]
) -> None:
    too_much = await rail.send(_order(account, amount=10_001))
    assert (too_much.status, too_much.reason) == (PayoutStatus.REFUSED, "balance_insufficient")
    nobody = PayoutOrder(UUID(int=8), 100, "EUR", "acct_nobody", "x")
    assert (await rail.send(nobody)).status is PayoutStatus.REFUSED
    fils = PayoutOrder(UUID(int=9), 1_001, "BHD", account["id"], "x")
    assert (await rail.send(fils)).status is PayoutStatus.REFUSED
    assert _balance(company) == 10_000


async def test_a_reversal_whose_answer_is_lost_is_not_called_refused_too_early(
    rail: StripePayoutRail, company: CardCompany, account: dict[str, Any]
) -> None:
    order = _order(account)
    await rail.send(order)
    company.control("payout", payout=_payout(company), status="failed")
    company.control("fault", path="POST /v1/transfers/", kind="before_500")
    with pytest.raises(RailUnavailable):
        await rail.send(order)
    assert _balance(company) == 6_000
    answer = await rail.send(order)
    assert answer.status is PayoutStatus.REFUSED
    assert _balance(company) == 10_000
