"""Webhooks from the event to the customer's server and back into the log."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import ClassVar, Literal
from uuid import UUID

import pytest
from sqlalchemy import text

from server.kit.auth import Caller
from server.kit.consumers import consume, receive
from server.kit.crypto import Vault
from server.kit.errors import NotFound
from server.kit.event_log import events_after, number_events
from server.kit.ids import SystemIds
from server.kit.outbox import Event, emit
from server.kit.unit_of_work import Tx, UnitOfWork
from server.notifications import Courier, send_webhooks, webhook_consumer
from server.notifications.deliveries import (
    KEPT,
    deliveries_of,
    delivery_detail,
    purge_deliveries,
    send_again,
    send_span_again,
    send_test,
)
from server.notifications.endpoints import (
    ENDPOINTS_MAX,
    OLD_SECRET_LIFE,
    change_endpoint,
    endpoints_of,
    make_endpoint,
    remove_endpoint,
    replace_secret,
)
from server.notifications.errors import (
    TooManyWebhooks,
    UnknownEventType,
    WebhookAddressRefused,
    WebhookDisabled,
)
from server.notifications.schemas import (
    DeliveryView,
    WebhookChange,
    WebhookCreate,
    WebhookMade,
    WebhookReplay,
)
from server.notifications.sending import AT_ONCE_EACH, PAUSES, SWITCH_OFF_AFTER
from tests.fakes.clock import ManualClock
from tests.fakes.receiver import Received, Receiver, receiver

TENANT = 1
_IDS = SystemIds(ManualClock())


class Paid(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "tests"
    type: ClassVar[str] = "tests.paid"
    sender_id: UUID
    receiver_id: UUID | None
    amount: int

    def key(self) -> str:
        return str(self.sender_id)


class Hidden(Paid, frozen=True, kw_only=True):
    type: ClassVar[str] = "tests.hidden"
    internal: ClassVar[bool] = True


class World:
    """A house with customers, whose time is in the test's hand."""

    def __init__(self, uow: UnitOfWork, clock: ManualClock) -> None:
        self.uow = uow
        self.clock = clock
        self.vault = Vault(b"w" * 32)
        self.courier = Courier(private=True)
        self.anna, self.berk = (Caller(TENANT, _IDS.uuid(), _IDS.uuid(), "user") for _ in range(2))

    async def register(
        self, url: str, caller: Caller | None = None, types: list[str] | None = None
    ) -> WebhookMade:
        data = WebhookCreate(url=url, types=types or [])
        return await self.uow.run(
            lambda tx: make_endpoint(tx, caller or self.anna, data, vault=self.vault, private=True)
        )

    async def pay(self, *amounts: int, kind: type[Paid] = Paid) -> None:
        events = [
            kind(sender_id=self.anna.user_id, receiver_id=self.berk.user_id, amount=amount)
            for amount in amounts
        ]
        await self.uow.run(lambda tx: emit(tx, *events, tenant=TENANT))
        await number_events(self.uow, TENANT)
        while await consume(self.uow, TENANT, webhook_consumer()):
            pass

    async def send(self) -> int:
        return await send_webhooks(self.uow, self.courier, self.vault, tenant=TENANT)

    async def send_all(self) -> int:
        total = 0
        while sent := await self.send():
            total += sent
        return total

    async def messages(self, made: WebhookMade, state: str | None = None) -> list[DeliveryView]:
        return await self.uow.read(
            lambda tx: deliveries_of(tx, self.anna, made.id, state=state, limit=1000)
        )

    async def state(self, made: WebhookMade) -> str:
        views = await self.uow.read(lambda tx: endpoints_of(tx, self.anna))
        return next(view.state for view in views if view.id == made.id)


@pytest.fixture
async def world(uow: UnitOfWork, clock: ManualClock) -> AsyncIterator[World]:
    world = World(uow, clock)
    yield world
    await world.courier.close()


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


def _verify(request: Received, secret: str) -> bool:
    """Check a request as the specification says, without the code under test."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    headers = request.headers
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(key, content, "sha256").digest()).decode()
    return f"v1,{expected}" in headers["webhook-signature"].split(" ")


async def test_a_customer_is_told_with_a_signature(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    await world.pay(250)
    assert await world.send_all() == 1

    [request] = there.requests
    assert _verify(request, made.secret)
    body = json.loads(request.body)
    assert body == {
        "type": "tests.paid",
        "timestamp": "2026-03-02T09:00:00Z",
        "data": {
            "sender_id": str(world.anna.user_id),
            "receiver_id": str(world.berk.user_id),
            "amount": 250,
        },
    }
    assert request.headers["webhook-timestamp"] == str(int(world.clock.now().timestamp()))
    assert request.headers["content-type"] == "application/json"
    [message] = await world.messages(made)
    assert (message.state, message.attempts) == ("delivered", 1)
    assert request.headers["webhook-id"] == str(message.event_id)
    detail = await world.uow.read(lambda tx: delivery_detail(tx, world.anna, made.id, message.id))
    assert [(line.status, line.error) for line in detail.log] == [(204, None)]
    assert detail.body.encode() == request.body


async def test_only_whose_business_it_is_is_told(world: World) -> None:
    async with receiver() as annas, receiver() as berks, receiver() as strangers:
        stranger = Caller(TENANT, _IDS.uuid(), _IDS.uuid(), "user")
        neighbour = Caller(2, world.anna.user_id, _IDS.uuid(), "user")
        await world.register(annas.url)
        await world.register(berks.url, world.berk)
        await world.register(strangers.url, stranger)
        await world.register(strangers.url, neighbour)
        await world.pay(1)
        await world.pay(2, kind=Hidden)
        assert await world.send_all() == 2
        assert (len(annas.requests), len(berks.requests), strangers.requests) == (1, 1, [])


async def test_only_the_types_that_were_asked_for_are_told(world: World, there: Receiver) -> None:
    await world.register(there.url, types=["webhook.switched_off"])
    await world.pay(1)
    assert await world.send_all() == 0
    for unknown in ("tests.hidden", "no.such", "*"):
        with pytest.raises(UnknownEventType):
            await world.register(there.url, types=[unknown])


async def test_what_happened_before_an_address_was_registered_is_not_sent(
    world: World, there: Receiver
) -> None:
    async def early(tx: Tx) -> None:
        event = Paid(sender_id=world.anna.user_id, receiver_id=None, amount=1)
        await emit(tx, event, tenant=TENANT)

    await world.uow.run(early)
    world.clock.advance(timedelta(seconds=1))
    await world.register(there.url)
    await world.pay(2)
    await world.send_all()
    assert [json.loads(request.body)["data"]["amount"] for request in there.requests] == [2]


async def test_an_event_that_is_read_twice_makes_one_message(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    await world.pay(1)
    consumer = webhook_consumer()
    [told] = await world.uow.read(lambda tx: events_after(tx, TENANT, 0))
    assert await receive(world.uow, consumer, told.as_json())
    assert len(await world.messages(made)) == 1


async def test_a_server_that_fails_is_tried_for_three_days(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    there.answers(500, b"oh no")
    await world.pay(1)
    started = world.clock.now()
    waited = []
    for _ in range(len(PAUSES) + 1):
        assert await world.send_all() == 1
        [message] = await world.messages(made)
        waited.append(message.due_at - world.clock.now())
        assert await world.send_all() == 0, "not before its time"
        world.clock.advance(waited[-1] + timedelta(minutes=12))
    assert message.state == "failed"
    assert timedelta(days=2) < world.clock.now() - started < SWITCH_OFF_AFTER
    for pause, expected in zip(waited, PAUSES, strict=False):
        assert expected * 0.79 < pause < expected * 1.21
    assert len({pause / expected for pause, expected in zip(waited, PAUSES, strict=False)}) > 3
    assert len(there.requests) == len(PAUSES) + 1
    assert {request.headers["webhook-id"] for request in there.requests} == {str(message.event_id)}
    assert {request.body for request in there.requests} == {there.requests[0].body}
    detail = await world.uow.read(lambda tx: delivery_detail(tx, world.anna, made.id, message.id))
    assert [line.answer for line in detail.log] == ["oh no"] * (len(PAUSES) + 1)
    assert await world.send_all() == 0


async def test_a_server_that_comes_back_gets_everything(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    there.answers(503)
    await world.pay(*range(40))
    for _ in range(3):
        await world.send_all()
        world.clock.advance(timedelta(minutes=3))
    there.answers(204)
    there.requests.clear()
    while [view for view in await world.messages(made) if view.state != "delivered"]:
        await world.send_all()
        world.clock.advance(timedelta(minutes=3))
    amounts = sorted(json.loads(request.body)["data"]["amount"] for request in there.requests)
    assert amounts == list(range(40))


async def test_an_address_that_fails_for_days_is_switched_off(
    world: World, there: Receiver
) -> None:
    made = await world.register(there.url)
    there.answers(500)
    for day in range(5):
        await world.pay(day)
        await world.send_all()
        assert await world.state(made) == "active"
        world.clock.advance(timedelta(days=1))
    await world.pay(5)
    await world.send_all()
    assert await world.state(made) == "disabled"

    there.requests.clear()
    await world.pay(6)
    world.clock.advance(timedelta(days=1))
    assert await world.send_all() == 0
    states = {message.state for message in await world.messages(made)}
    assert states == {"held"}
    types = [message.type for message in await world.messages(made)]
    assert types.count("webhook.switched_off") == 1
    with pytest.raises(WebhookDisabled):
        await world.uow.run(lambda tx: send_test(tx, world.anna, made.id))

    there.answers(204)
    await world.uow.run(
        lambda tx: change_endpoint(
            tx, world.anna, made.id, WebhookChange(state="active"), private=True
        )
    )
    again = WebhookReplay(since=world.clock.now() - timedelta(days=30), until=world.clock.now())
    count = await world.uow.run(lambda tx: send_span_again(tx, world.anna, made.id, again))
    assert await world.send_all() == count == 8
    amounts = sorted(
        json.loads(request.body)["data"].get("amount", -1) for request in there.requests
    )
    assert amounts == [-1, 0, 1, 2, 3, 4, 5, 6]


async def test_a_success_between_failures_keeps_an_address_on(
    world: World, there: Receiver
) -> None:
    made = await world.register(there.url)
    for day in range(12):
        there.answers(204 if day % 4 == 3 else 500)
        await world.pay(day)
        await world.send_all()
        world.clock.advance(timedelta(days=1))
    assert await world.state(made) == "active"


async def test_what_waits_is_held_while_an_address_is_off(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    await world.pay(1)

    async def switch(state: Literal["active", "disabled"]) -> None:
        change = WebhookChange(state=state)
        await world.uow.run(
            lambda tx: change_endpoint(tx, world.anna, made.id, change, private=True)
        )

    await switch("disabled")
    await world.pay(2)
    assert await world.send_all() == 0
    await switch("active")
    assert await world.send_all() == 0
    assert [message.state for message in await world.messages(made)] == ["held", "held"]
    await world.pay(3)
    assert await world.send_all() == 1


async def test_gone_means_gone(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    there.answers(410)
    await world.pay(1)
    await world.send_all()
    assert await world.state(made) == "disabled"


async def test_secrets_overlap_for_a_day(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    new = await world.uow.run(lambda tx: replace_secret(tx, world.anna, made.id, vault=world.vault))
    await world.pay(1)
    await world.send_all()
    world.clock.advance(OLD_SECRET_LIFE)
    await world.pay(2)
    await world.send_all()
    both, later = there.requests
    assert (_verify(both, made.secret), _verify(both, new.secret)) == (True, True)
    assert (_verify(later, made.secret), _verify(later, new.secret)) == (False, True)
    assert len(later.headers["webhook-signature"].split(" ")) == 1


async def test_secrets_are_sealed(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    raw = base64.b64decode(made.secret.removeprefix("whsec_"))

    async def query(tx: Tx) -> bytes:
        return bytes(
            (await tx.connection.execute(text("SELECT secret_sealed FROM webhook_endpoint")))
            .scalars()
            .one()
        )

    sealed = await world.uow.read(query)
    assert len(raw) == 32
    assert raw not in sealed
    views = await world.uow.read(lambda tx: endpoints_of(tx, world.anna))
    assert not hasattr(views[0], "secret")


async def test_one_message_and_those_of_a_span_are_sent_again(
    world: World, there: Receiver
) -> None:
    made = await world.register(there.url)
    for amount in range(4):
        await world.pay(amount)
        await world.send_all()
        world.clock.advance(timedelta(hours=1))
    first = (await world.messages(made))[-1]
    there.requests.clear()
    view = await world.uow.run(lambda tx: send_again(tx, world.anna, made.id, first.id))
    assert view.state == "waiting"
    await world.send_all()
    assert [request.headers["webhook-id"] for request in there.requests] == [str(first.event_id)]

    now = world.clock.now()
    span = WebhookReplay(
        since=now - timedelta(hours=3), until=now - timedelta(hours=1), states=["delivered"]
    )
    assert await world.uow.run(lambda tx: send_span_again(tx, world.anna, made.id, span)) == 2
    there.requests.clear()
    await world.send_all()
    amounts = sorted(json.loads(request.body)["data"]["amount"] for request in there.requests)
    assert amounts == [1, 2]


async def test_nobody_sees_or_touches_the_addresses_of_another(
    world: World, there: Receiver
) -> None:
    made = await world.register(there.url)
    await world.pay(1)
    [message] = await world.messages(made)
    span = WebhookReplay(since=world.clock.now(), until=world.clock.now())
    berk, change = world.berk, WebhookChange(url=there.url)
    for attempt in (
        lambda tx: change_endpoint(tx, berk, made.id, change, private=True),
        lambda tx: remove_endpoint(tx, berk, made.id),
        lambda tx: replace_secret(tx, berk, made.id, vault=world.vault),
        lambda tx: send_test(tx, berk, made.id),
        lambda tx: deliveries_of(tx, berk, made.id),
        lambda tx: delivery_detail(tx, berk, made.id, message.id),
        lambda tx: send_again(tx, berk, made.id, message.id),
        lambda tx: send_span_again(tx, berk, made.id, span),
    ):
        with pytest.raises(NotFound):
            await world.uow.run(attempt)
    assert await world.uow.read(lambda tx: endpoints_of(tx, berk)) == []


async def test_a_message_of_one_address_is_not_found_under_another(
    world: World, there: Receiver
) -> None:
    first, second = await world.register(there.url), await world.register(there.url)
    await world.pay(1)
    [message] = await world.messages(first)
    with pytest.raises(NotFound):
        await world.uow.run(lambda tx: send_again(tx, world.anna, second.id, message.id))


async def test_a_removed_address_takes_its_messages_with_it(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    await world.pay(1, 2)
    there.answers(500)
    await world.send_all()
    await world.uow.run(lambda tx: remove_endpoint(tx, world.anna, made.id))
    world.clock.advance(timedelta(days=1))
    there.requests.clear()
    assert await world.send_all() == 0
    assert there.requests == []


async def test_addresses_are_checked_and_counted(world: World, there: Receiver) -> None:
    with pytest.raises(WebhookAddressRefused):
        await world.uow.run(
            lambda tx: make_endpoint(
                tx, world.anna, WebhookCreate(url=there.url), vault=world.vault, private=False
            )
        )
    for _ in range(ENDPOINTS_MAX):
        made = await world.register(there.url)
    with pytest.raises(TooManyWebhooks):
        await world.register(there.url)
    await world.register(there.url, world.berk)
    with pytest.raises(WebhookAddressRefused):
        await world.uow.run(
            lambda tx: change_endpoint(
                tx, world.anna, made.id, WebhookChange(url="https://10.0.0.1/"), private=False
            )
        )


async def test_a_server_that_hangs_holds_up_nobody_else(
    world: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.notifications.destinations.TIMEOUT_S", 0.3)
    async with receiver() as hanging:

        async def hang(_: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        hanging.reply = hang
        slow = await world.register(hanging.url)
        await world.register(there.url, world.berk)
        await world.pay(*range(30))
        rounds = 0
        while len(there.requests) < 30:
            await world.send()
            rounds += 1
        # Of the one that hangs only the first handful was tried; then it was left alone.
        assert len(hanging.requests) == AT_ONCE_EACH
        assert rounds <= 30 // AT_ONCE_EACH + 1
        errors = await world.uow.read(lambda tx: deliveries_of(tx, world.anna, slow.id, limit=100))
        assert {view.state for view in errors} == {"waiting"}


async def test_a_sender_that_was_killed_leaves_the_message_to_another(
    world: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.register(there.url)
    await world.pay(1)

    async def die(*_: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr("server.notifications.sending._note", die)
        with pytest.raises(ConnectionResetError):
            await world.send()
    assert await world.send() == 0, "it is leased"
    world.clock.advance(timedelta(minutes=2))
    assert await world.send() == 1
    first, second = there.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


async def test_several_senders_send_a_message_once(world: World, there: Receiver) -> None:
    await world.register(there.url)
    await world.pay(*range(60))

    async def work() -> None:
        for _ in range(12):
            await world.send()

    await asyncio.gather(*(work() for _ in range(4)))
    await world.send_all()
    amounts = sorted(json.loads(request.body)["data"]["amount"] for request in there.requests)
    assert amounts == list(range(60))


async def test_a_test_message_says_that_it_is_one(world: World, there: Receiver) -> None:
    made = await world.register(there.url, types=["webhook.switched_off"])
    view = await world.uow.run(lambda tx: send_test(tx, world.anna, made.id))
    assert view.type == "webhook.test"
    await world.send_all()
    [request] = there.requests
    assert _verify(request, made.secret)
    assert json.loads(request.body)["data"] == {"endpoint_id": str(made.id)}


async def test_old_messages_go(world: World, there: Receiver) -> None:
    made = await world.register(there.url)
    await world.pay(1)
    await world.send_all()
    world.clock.advance(KEPT - timedelta(minutes=1))
    await world.pay(2)
    assert await world.uow.run(lambda tx: purge_deliveries(tx, TENANT)) == 0
    world.clock.advance(timedelta(minutes=2))
    assert await world.uow.run(lambda tx: purge_deliveries(tx, TENANT)) == 1
    assert [message.state for message in await world.messages(made)] == ["waiting"]
