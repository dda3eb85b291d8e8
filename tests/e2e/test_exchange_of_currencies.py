"""Rates, quotes, exchanges and limits over HTTP, as people and officers use them."""

import asyncio
import itertools
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from litestar import Litestar
from litestar.testing import AsyncTestClient
from msgspec import structs, to_builtins

from server.app import Ports, create_app
from server.fx.rates import Rate, newest_rates
from server.fx.terms import BUILT_IN as TERMS
from server.identity import Role, set_role
from server.kit.crypto import Vault
from server.kit.messaging import Message, deliver_messages
from server.kit.unit_of_work import UnitOfWork
from server.payments.limits.policy import BUILT_IN as LIMITS
from server.settings import Settings
from tests.conftest import Database
from tests.factories.identity import Deliver, Device, Person
from tests.factories.rates import load_rates, rate_file, serving, whole
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

Client = AsyncTestClient[Litestar]
_keys = itertools.count(1)


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


@pytest.fixture
async def officer(
    client: Client, clock: ManualClock, deliver: Deliver, uow: UnitOfWork, role: Role
) -> Device:
    device = await Person(client, clock, deliver, "olga", "+905329999999", "olga@b.example").join()
    await uow.run(lambda tx: set_role(tx, 1, "olga", role))
    return device


async def money_call(device: Device, path: str, document: dict[str, Any]) -> Response:
    headers = {
        "Authorization": f"{device.tokens['token_type']} {device.tokens['access_token']}",
        "Idempotency-Key": f"key-{next(_keys)}",
    }
    return await device.client.post(path, json=document, headers=headers)


async def top_up(device: Device, amount: int) -> None:
    document = {"amount": amount, "currency": "EUR", "card": "sandbox-ok"}
    response = await money_call(device, "/v1/top-ups", document)
    assert response.status_code == 201, response.text


async def ask(device: Device, **document: Any) -> Response:
    wish = {"sell_currency": "EUR", "buy_currency": "USD", "sell_amount": 10_000} | document
    wanted = {name: value for name, value in wish.items() if value is not None}
    return await device.call("POST", "/v1/quotes", wanted)


async def test_money_is_exchanged_by_a_quote_and_stands_in_the_history(
    ada: Device, uow: UnitOfWork
) -> None:
    await load_rates(uow, USD="1.25")
    await top_up(ada, 20_000)
    quote = (await ask(ada)).json()
    assert (quote["mid"], quote["rate"], quote["buy_amount"]) == ("1.25", "1.24375", 12_437)
    assert (quote["payer_country"], quote["charge_kind"]) == ("TR", "domestic")
    response = await money_call(ada, "/v1/exchanges", {"quote_id": quote["id"]})
    assert response.status_code == 201, response.text
    assert response.json()["buy_amount"] == 12_437
    again = await money_call(ada, "/v1/exchanges", {"quote_id": quote["id"]})
    assert (again.status_code, again.json()["code"]) == (409, "fx_quote_taken")
    history = (await ada.call("GET", "/v1/history")).json()["items"]
    assert {(item["currency"], item["amount"]) for item in history} >= {
        ("EUR", -10_000),
        ("USD", 12_437),
    }
    shown = (await ada.call("GET", f"/v1/exchanges/{quote['id']}")).json()
    assert shown == response.json()
    assert (await ada.call("GET", f"/v1/quotes/{quote['id']}")).json()["taken_at"] is not None


async def test_refusals_of_quotes_have_codes_of_their_own(
    ada: Device, uow: UnitOfWork, clock: ManualClock
) -> None:
    assert (await ask(ada)).json()["code"] == "fx_rate_missing"
    await load_rates(uow, USD="1.25", UGX="4000")
    for document, status, code in (
        ({"buy_currency": "XAU"}, 422, "unknown_currency"),
        ({"buy_currency": "EUR"}, 400, "invalid_request"),
        ({"sell_amount": None}, 400, "invalid_request"),
        ({"buy_amount": 5}, 400, "invalid_request"),
        ({"payee": "nobody"}, 404, "not_found"),
        ({"payee": "ada"}, 400, "invalid_request"),
        ({"sell_currency": "UGX", "sell_amount": 1}, 422, "fx_amount_too_small"),
        ({"buy_currency": "UGX", "sell_amount": 2**53 - 1}, 422, "fx_amount_too_large"),
    ):
        refused = await ask(ada, **document)
        assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    quote = (await ask(ada)).json()
    poor = await money_call(ada, "/v1/exchanges", {"quote_id": quote["id"]})
    assert poor.json()["code"] == "insufficient_funds"
    clock.advance(timedelta(seconds=30))
    late = await money_call(ada, "/v1/exchanges", {"quote_id": quote["id"]})
    assert late.json()["code"] == "fx_quote_expired"


async def test_a_payment_abroad_shows_both_countries_and_the_charge(
    ada: Device, client: Client, clock: ManualClock, deliver: Deliver, uow: UnitOfWork
) -> None:
    await load_rates(uow, USD="1.25")
    await Person(client, clock, deliver, "grace", "+254712345678", "grace@b.example").join()
    quote = (await ask(ada, payee="grace")).json()
    assert (quote["payer_country"], quote["payee_country"]) == ("TR", "KE")
    assert (quote["charge_kind"], quote["charge_bps"], quote["charge_amount"]) == (
        "international",
        100,
        100,
    )
    by_id = (await ask(ada, payee_id=quote["payee_id"])).json()
    assert by_id["payee_id"] == quote["payee_id"]
    mine = await money_call(ada, "/v1/exchanges", {"quote_id": quote["id"]})
    assert mine.json()["code"] == "fx_quote_mismatch"


async def test_rates_say_how_old_they_are(ada: Device, uow: UnitOfWork) -> None:
    await load_rates(uow, date(2026, 2, 24), USD="1.25")
    await load_rates(uow, JPY="160")
    view = (await ada.call("GET", "/v1/rates")).json()
    assert (view["base"], view["age_max_working_days"]) == ("EUR", 3)
    assert {
        rate["currency"]: (rate["rate"], rate["age_working_days"], rate["stale"])
        for rate in view["rates"]
    } == {"EUR": ("1", 0, False), "JPY": ("160", 0, False), "USD": ("1.25", 4, True)}
    assert (await ask(ada)).json()["code"] == "fx_rate_stale"


@pytest.mark.parametrize("role", [Role.RISK])
async def test_officers_set_rates_and_terms(ada: Device, officer: Device) -> None:
    rate = {"currency": "KES", "rate": "150", "rate_date": "2026-03-02", "reason": "board"}
    assert (await ada.call("POST", "/v1/fx/rates", rate)).status_code == 403
    assert (await officer.call("POST", "/v1/fx/rates", rate)).status_code == 201
    assert (await ask(ada, buy_currency="KES")).json()["rate_source"] == "officer"
    cheap = to_builtins(structs.replace(TERMS, spread_bps=0))
    change = {"terms": cheap, "reason": "summer", "replaces": 0}
    assert (await ada.call("PUT", "/v1/fx/terms", change)).status_code == 403
    for _ in range(2):
        made = await officer.call("PUT", "/v1/fx/terms", change)
        assert (made.status_code, made.json()["version"]) == (200, 1), made.text
    other = await officer.call("PUT", "/v1/fx/terms", change | {"reason": "winter"})
    assert (other.status_code, other.json()["code"]) == (409, "document_changed")
    assert (await officer.call("GET", "/v1/fx/terms")).json()["terms"]["spread_bps"] == 0
    versions = (await officer.call("GET", "/v1/fx/terms/versions")).json()
    assert [(v["version"], v["changed_by"]) for v in versions["items"]] == [(1, "olga")]
    assert (await ask(ada, buy_currency="KES")).json()["buy_amount"] == 1_500_000
    bad = to_builtins(structs.replace(TERMS, spread_bps=5_001))
    refused = await officer.call("PUT", "/v1/fx/terms", change | {"terms": bad})
    assert refused.status_code == 400


@pytest.mark.parametrize("role", [Role.COMPLIANCE])
async def test_limits_are_shown_and_officers_change_them(ada: Device, officer: Device) -> None:
    view = (await ada.call("GET", "/v1/limits")).json()
    assert (view["level"], view["time_zone"], len(view["limits"])) == (2, "UTC", 6)
    day = next(v for v in view["limits"] if (v["kind"], v["period"]) == ("transfer", "day"))
    assert day == {
        "kind": "transfer",
        "period": "day",
        "currency": "EUR",
        "all_currencies": True,
        "limit": 5_000_000,
        "used": 0,
        "left": 5_000_000,
        "resets_at": "2026-03-03T00:00:00Z",
    }
    level = {"level": 1, "reason": "contacts only"}
    assert (await ada.call("PUT", "/v1/limits/levels/ada", level)).status_code == 403
    assert (await officer.call("PUT", "/v1/limits/levels/nobody", level)).status_code == 404
    assert (await officer.call("PUT", "/v1/limits/levels/ada", level)).status_code == 200
    view = (await ada.call("GET", "/v1/limits")).json()
    assert (view["level"], view["limits"][0]["limit"]) == (1, 100_000)

    rules = to_builtins(structs.replace(LIMITS, base_currency="USD"))
    change = {"rules": rules, "reason": "dollars", "replaces": 0}
    assert (await ada.call("PUT", "/v1/limits/rules", change)).status_code == 403
    made = await officer.call("PUT", "/v1/limits/rules", change)
    assert (made.status_code, made.json()["version"]) == (200, 1), made.text
    assert (await ada.call("GET", "/v1/limits")).json()["limits"][0]["currency"] == "USD"
    bad = to_builtins(structs.replace(LIMITS, time_zone="Mars/Olympus"))
    refused = await officer.call("PUT", "/v1/limits/rules", change | {"rules": bad, "replaces": 1})
    assert (refused.status_code, refused.json()["code"]) == (400, "limits_invalid")
    assert (await officer.call("GET", "/v1/limits/rules")).json()["version"] == 1
    items = (await officer.call("GET", "/v1/limits/rules/versions")).json()["items"]
    assert [(v["version"], v["changed_by"], v["in_force"]) for v in items] == [(1, "olga", True)]


async def test_the_running_server_loads_the_rates_of_its_source(
    database: Database, tmp_path: Path, clock: ManualClock, uow: UnitOfWork
) -> None:
    with serving(whole(rate_file(date(2026, 3, 2), USD="1.1583"))) as url:
        settings = Settings(
            data_dir=tmp_path / "data",
            database_url=database.url,
            migrate_at_start=False,
            master_key=b"m" * 32,
            background_interval_ms=10,
            fx_rates_source=url,
        )
        app = create_app(settings, Ports(clock=clock, messages=KeptMessages()))
        async with AsyncTestClient(app):
            rates: dict[str, Rate] = {}
            while "USD" not in rates:
                await asyncio.sleep(0.02)
                rates = await uow.read(lambda tx: newest_rates(tx, 1))
    assert (rates["USD"].text, rates["USD"].source) == ("1.1583", "reference_file")
