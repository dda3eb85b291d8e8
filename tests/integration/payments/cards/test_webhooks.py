"""Webhooks over HTTP, from the company's process to the whole application: signed, in any order."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from sqlalchemy import select

from server.app import Ports, create_app
from server.kit.clock import SystemClock
from server.kit.unit_of_work import Tx
from server.payments.cards import follow_payments, process_events
from server.payments.cards.models import CardEventRow
from server.payments.cards.top_ups import find_top_up
from server.settings import Settings
from sim.stripe.webhooks import sign
from tests.conftest import Database
from tests.fakes.card_company import API_KEY, CardCompany
from tests.fakes.clock import ManualClock
from tests.integration.payments.cards.books import DISPUTED, GATEWAY, Town

EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "created": 1_790_000_000,
    "data": {"object": {"object": "payment_intent", "id": "pi_1"}},
}


@asynccontextmanager
async def served(settings: Settings, ports: Ports) -> AsyncIterator[str]:
    """Serve the whole application on a port of this machine."""
    app = create_app(settings, ports)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), task
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


def _settings(database: Database, folder: Path, company: CardCompany, *secrets: str) -> Settings:
    return Settings(
        data_dir=folder / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
        card_gateway="stripe",
        stripe_key=API_KEY,
        stripe_url=company.url,
        stripe_webhook_secrets=",".join(secrets),
        background_interval_ms=20,
    )


async def _stored(tx: Tx) -> set[str]:
    return set(await tx.session.scalars(select(CardEventRow.id)))


async def _until(what: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that another process does; the test's own time limit ends it."""
    while not await what():  # noqa: ASYNC110 - it has no event of ours
        await asyncio.sleep(0.05)


async def test_a_payers_confirmation_is_told_by_the_company_itself(
    town: Town, database: Database, tmp_path: Path, company: CardCompany
) -> None:
    made = await town.top_up(card=None)
    endpoint = company.post("/v1/webhook_endpoints", url="http://127.0.0.1:1/").json()
    settings = _settings(database, tmp_path, company, "whsec_old", endpoint["secret"])
    async with served(settings, Ports(clock=SystemClock(), background=False)) as url:
        company.control("endpoint", endpoint=endpoint["id"], url=f"{url}/v1/webhooks/stripe")
        company.control("webhooks", mode="send")
        path = f"/v1/payment_intents/{town.intent()['id']}/confirm"
        await asyncio.to_thread(company.post, path, payment_method="pm_card_visa")

        async def told() -> bool:
            return len(await town.uow.read(_stored)) == len(town.events()) - 1

        # Of the payment's creation nobody was told: there was no endpoint yet.
        await _until(told)
    await process_events(town.uow)
    await follow_payments(town.uow, town.gateway)
    view = await find_top_up(town.uow, town.gateway, town.ada, made.id)
    assert view.status == "succeeded"
    assert await town.available() == 10_000


async def test_webhooks_late_doubled_reordered_and_lost_end_in_the_same_books(
    town: Town, database: Database, tmp_path: Path, company: CardCompany
) -> None:
    url = "http://127.0.0.1:1/"
    first = company.post("/v1/webhook_endpoints", url=url).json()
    settings = _settings(database, tmp_path, company, first["secret"])
    async with served(settings, Ports(clock=SystemClock(), background=False)) as base:
        company.control("endpoint", endpoint=first["id"], url=f"{base}/v1/webhooks/stripe")
        await town.top_up(20_000)
        await town.top_up(10_000, card="pm_card_createDispute")
        await town.top_up(5_000, card="pm_card_createDispute")
        company.control("dispute_result", dispute=town.dispute(0)["id"], result="won")
        company.control("dispute_result", dispute=town.dispute(1)["id"], result="lost")
        events = [event["id"] for event in town.events()]
        chance = random.Random(5)
        wish = [*events, *chance.choices(events, k=12)]
        chance.shuffle(wish)
        lost = chance.sample(events, 3)
        sent = await asyncio.to_thread(company.control, "deliver", events=wish, lose=lost)
        assert set(sent["statuses"]) == {200}

        assert await town.uow.read(_stored) == set(events) - set(lost)
        await town.work()
        assert await town.available() == 25_000
        books = await town.books()
        assert DISPUTED not in books
        assert books[GATEWAY] == town.at_company()

        tampered = await asyncio.to_thread(
            company.control, "deliver", events=events[:1], tampered=True
        )
        assert tampered["statuses"] == [400]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"signature": None}, "missing"),
        ({"signature": "t=1,v1=é".encode().decode("latin-1")}, "ASCII"),
        ({"signature": "t=,v1="}, "signature"),
        ({"signature": "v1=00"}, "signature"),
        ({"secret": "whsec_other"}, "signature"),
        ({"scheme": "v0"}, "signature"),
        ({"age": 301}, "five minutes"),
        ({"age": -301}, "five minutes"),
        ({"body": b"{}"}, "no event"),
        ({"body": b"[" * 50_000}, "no event"),
        ({"body": b"\xff\xfe"}, "signature"),
        ({"body": json.dumps(EVENT | {"id": "e" * 256}).encode()}, "no event"),
        ({"body": json.dumps(EVENT | {"created": 10**18}).encode()}, "no event"),
        ({"body": json.dumps(EVENT | {"object": "v2.core.event"}).encode()}, "no event"),
    ],
)
async def test_what_stripe_has_not_signed_just_now_is_refused(  # noqa: PLR0917 - fixtures
    database: Database,
    tmp_path: Path,
    company: CardCompany,
    clock: ManualClock,
    change: dict[str, object],
    text: str,
) -> None:
    settings = _settings(database, tmp_path, company, "whsec_a", "whsec_b")
    body = change.get("body", json.dumps(EVENT).encode())
    assert isinstance(body, bytes)
    sent_at = int(clock.now().timestamp()) - int(str(change.get("age", 0)))
    signature = sign(str(change.get("secret", "whsec_b")), body, sent_at)
    if "scheme" in change:
        signature = signature.replace("v1=", f"{change['scheme']}=")
    headers = {"Stripe-Signature": change.get("signature", signature)}
    ports = Ports(clock=clock, background=False)
    async with served(settings, ports) as url, httpx.AsyncClient() as client:
        answer = await client.post(
            f"{url}/v1/webhooks/stripe",
            content=body,
            headers={
                name.encode(): str(value).encode("latin-1")
                for name, value in headers.items()
                if value
            },
        )
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "webhook_unsigned"
    assert text in answer.json()["detail"]


async def test_each_current_secret_counts_and_unknown_kinds_are_kept(
    town: Town, database: Database, tmp_path: Path, company: CardCompany, clock: ManualClock
) -> None:
    settings = _settings(database, tmp_path, company, "whsec_a", "whsec_b")
    kinds = ["payment_intent.succeeded", "treasury.something_new", "payment_intent.succeeded"]
    ports = Ports(clock=clock, background=False)
    async with served(settings, ports) as url, httpx.AsyncClient() as client:
        for number, kind in enumerate(kinds):
            secret = ["whsec_a", "whsec_b", "whsec_a"][number]
            event = EVENT | {"id": f"evt_{number % 2}", "type": kind}
            if number == 1:
                event = event | {"data": {"object": {"object": "treasury.thing"}}}
            body = json.dumps(event).encode()
            answer = await client.post(
                f"{url}/v1/webhooks/stripe",
                content=body,
                headers={"Stripe-Signature": sign(secret, body, int(clock.now().timestamp()))},
            )
            assert answer.status_code == 200, answer.text

    async def stored(tx: Tx) -> list[tuple[str, str | None]]:
        rows = await tx.session.scalars(select(CardEventRow).order_by(CardEventRow.id))
        return [(row.type, row.payment) for row in rows]

    assert await town.uow.read(stored) == [
        ("payment_intent.succeeded", "pi_1"),
        ("treasury.something_new", None),
    ]
    # The payment is none of ours; it is asked about, and nothing comes of it.
    await town.work()
    assert await town.books() == {}


async def test_without_stripe_there_is_no_such_address(
    database: Database, tmp_path: Path, clock: ManualClock
) -> None:
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database.url,
        migrate_at_start=False,
        master_key=b"m" * 32,
    )
    ports = Ports(clock=clock, background=False)
    async with served(settings, ports) as url, httpx.AsyncClient() as client:
        answer = await client.post(f"{url}/v1/webhooks/stripe", content=b"{}")
        too_long = await client.post(f"{url}/v1/webhooks/stripe", content=b" " * 300_000)
    assert answer.status_code == 404
    assert too_long.status_code == 413
