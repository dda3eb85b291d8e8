"""Others have read Stripe's interface too: our adapter has to get on with theirs as with ours.

localstripe knows no idempotency keys, disputes or Connect, and no fields for them, so the tests
keep to what both have: payments that succeed, are declined or wait for a card, capture by hand, and
refunds.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from server.payments import PaymentStatus, StripeGateway
from server.payments.gateway import GatewayRefused, RefundStatus
from tests.fakes.card_company import API_KEY, CardCompany
from tests.postgres import _die_with_parent, _free_port

_LOCALSTRIPE = """
import sys
import localstripe.resources, localstripe.server
from aiohttp import web
localstripe.resources.store.dump_to_disk = lambda: None
web.run_app(localstripe.server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run localstripe on this machine only, with nothing kept on disk."""
    port = _free_port()
    folder = tmp_path_factory.mktemp("localstripe")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _LOCALSTRIPE, str(port)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
        )
    url = f"http://127.0.0.1:{port}"
    while True:
        assert process.poll() is None, Path(folder / "log").read_text(encoding="utf-8")
        try:
            httpx.get(url, timeout=1)
            break
        except httpx.HTTPError:
            continue
    yield url
    process.kill()
    process.wait()


@pytest.fixture(params=["ours", "localstripe"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "ours":
        company: CardCompany = request.getfixturevalue("company")
        return company.url
    found: str = request.getfixturevalue("localstripe")
    return found


@pytest.fixture
async def gateway(url: str) -> Any:
    made = StripeGateway(API_KEY, url=url, methods=["card"])
    yield made
    await made.close()


async def _pay(gateway: StripeGateway, card: str | None, key: str = "k") -> Any:
    return await gateway.create_payment(
        amount=2_500, currency="EUR", card=card, idempotency_key=key
    )


async def test_a_payment_succeeds_and_is_found_again(gateway: StripeGateway) -> None:
    payment = await _pay(gateway, "pm_card_visa")
    assert payment.status is PaymentStatus.SUCCEEDED
    assert payment.charge is not None
    for known in (payment.id, None):
        found = await gateway.find_payment("k", gateway_id=known)
        assert found is not None
        assert (found.id, found.status, found.charge) == (
            payment.id,
            PaymentStatus.SUCCEEDED,
            payment.charge,
        )


async def test_a_declined_payment_is_cancelled(gateway: StripeGateway) -> None:
    payment = await _pay(gateway, "pm_card_chargeCustomerFail")
    assert payment.status is PaymentStatus.DECLINED
    if payment.id:
        found = await gateway.find_payment("k", gateway_id=payment.id)
        assert found is not None
        assert found.status is PaymentStatus.DECLINED


async def test_a_payment_without_a_card_gives_a_client_secret(gateway: StripeGateway) -> None:
    payment = await _pay(gateway, None)
    assert payment.status is PaymentStatus.REQUIRES_ACTION
    assert payment.client_secret is not None
    assert payment.client_secret.startswith(payment.id)
    ended = await gateway.cancel_payment(payment.id)
    assert ended.status is PaymentStatus.DECLINED
    assert (await gateway.cancel_payment(payment.id)).status is PaymentStatus.DECLINED


async def test_a_part_is_given_back(gateway: StripeGateway) -> None:
    payment = await _pay(gateway, "pm_card_visa")
    refund = await gateway.refund_payment(
        payment.id, amount=1_000, currency="EUR", idempotency_key="r1"
    )
    assert (refund.status, refund.amount, refund.key) == (RefundStatus.SUCCEEDED, 1_000, "r1")


async def test_what_does_not_exist_is_not_found(gateway: StripeGateway) -> None:
    assert await gateway.payment_facts("pi_unknown") is None
    assert await gateway.find_payment("k", gateway_id="pi_unknown") is None
    with pytest.raises(GatewayRefused):
        await gateway.refund_payment("pi_unknown", amount=1, currency="EUR", idempotency_key="r")


async def test_capture_by_hand_is_read_alike(url: str) -> None:
    http = stripe.HTTPXClient()
    client = stripe.StripeClient(API_KEY, base_addresses={"api": url}, http_client=http).v1
    intent = await client.payment_intents.create_async(
        {
            "amount": 2_500,
            "currency": "eur",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "capture_method": "manual",
        }
    )
    assert intent.status == "requires_capture"
    captured = await client.payment_intents.capture_async(intent.id)
    assert captured.status == "succeeded"
    await http.close_async()  # type: ignore[no-untyped-call]
