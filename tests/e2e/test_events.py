"""Webhooks and events over HTTP and on the command line, as customers and operators use them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner
from litestar import Litestar
from litestar.testing import AsyncTestClient

from server.cli import events as events_command
from server.identity import Role, set_role, write_to_user
from server.kit.consumers import consume
from server.kit.crypto import Vault
from server.kit.event_log import number_events
from server.kit.event_readers import add_reader
from server.kit.messaging import Message, deliver_messages
from server.kit.outbox import emit
from server.kit.unit_of_work import UnitOfWork
from server.notifications import webhook_consumer
from server.notifications.events import WebhookSwitchedOff
from tests.conftest import Database
from tests.factories.identity import Deliver, Device, Person
from tests.fakes.clock import ManualClock
from tests.fakes.messages import KeptMessages

Client = AsyncTestClient[Litestar]
_URL = "https://shop.example/hooks"


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
async def operator(client: Client, clock: ManualClock, deliver: Deliver, uow: UnitOfWork) -> Device:
    device = await Person(client, clock, deliver, "olga", "+905329999999", "olga@b.example").join()
    await uow.run(lambda tx: set_role(tx, 1, "olga", Role.ADMIN))
    return device


async def _tell(uow: UnitOfWork, user: Device, count: int = 1) -> None:
    user_id = (await user.call("GET", "/v1/me")).json()["id"]
    events = [
        WebhookSwitchedOff(endpoint_id=user_id, user_id=user_id, reason="failing")
        for _ in range(count)
    ]
    await uow.run(lambda tx: emit(tx, *events, tenant=1))
    await number_events(uow, 1)


async def test_a_customer_looks_after_webhook_addresses(ada: Device, uow: UnitOfWork) -> None:
    made = await ada.call("POST", "/v1/webhook-endpoints", {"url": _URL})
    assert made.status_code == 201, made.text
    endpoint = made.json()
    assert endpoint["secret"].startswith("whsec_")
    path = f"/v1/webhook-endpoints/{endpoint['id']}"

    [listed] = (await ada.call("GET", "/v1/webhook-endpoints")).json()["items"]
    assert listed == {name: endpoint[name] for name in listed}
    assert "secret" not in listed

    await _tell(uow, ada)
    await consume(uow, 1, webhook_consumer())
    test = (await ada.call("POST", f"{path}/test")).json()
    messages = (await ada.call("GET", f"{path}/deliveries?limit=1")).json()
    assert [message["id"] for message in messages["items"]] == [test["id"]]
    cursor = messages["next_cursor"]
    [older] = (await ada.call("GET", f"{path}/deliveries?cursor={cursor}")).json()["items"]
    assert (older["type"], older["state"]) == ("webhook.switched_off", "waiting")
    assert (await ada.call("GET", f"{path}/deliveries?state=failed")).json()["items"] == []
    shown = (await ada.call("GET", f"{path}/deliveries/{older['id']}")).json()
    assert json.loads(shown["body"])["type"] == "webhook.switched_off"
    assert shown["log"] == []

    again = await ada.call("POST", f"{path}/deliveries/{older['id']}/replay")
    assert (again.status_code, again.json()["id"]) == (202, older["id"])
    span = {"since": "2020-01-01T00:00:00Z", "until": "2030-01-01T00:00:00Z"}
    assert (await ada.call("POST", f"{path}/replays", span)).json() == {"count": 0}

    secret = (await ada.call("POST", f"{path}/secret")).json()["secret"]
    assert secret != endpoint["secret"]
    off = await ada.call("PATCH", path, {"state": "disabled", "types": []})
    assert off.json()["state"] == "disabled"
    assert (await ada.call("POST", f"{path}/test")).json()["code"] == "webhook_disabled"
    assert (await ada.call("DELETE", path)).status_code == 204
    assert (await ada.call("GET", f"{path}/deliveries")).status_code == 404


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"url": "http://shop.example/"}, "webhook_address_refused"),
        ({"url": "https://169.254.169.254/latest"}, "webhook_address_refused"),
        ({"url": "https://[::1]:8787/v1"}, "webhook_address_refused"),
        ({"url": _URL, "types": ["nothing.happened"]}, "unknown_event_type"),
        ({"url": 5}, "invalid_request"),
        ({"url": _URL, "secret": "mine"}, "invalid_request"),
    ],
)
async def test_an_address_that_will_not_do_is_refused(
    ada: Device, document: dict[str, object], code: str
) -> None:
    answer = await ada.call("POST", "/v1/webhook-endpoints", document)
    assert answer.json()["code"] == code


async def test_a_customer_is_written_to_without_the_address_being_known(
    ada: Device, uow: UnitOfWork, deliver: Deliver
) -> None:
    user_id = UUID((await ada.call("GET", "/v1/me")).json()["id"])
    vault = Vault(b"m" * 32)

    async def write(to: UUID, tenant: int) -> bool:
        return await uow.run(
            lambda tx: write_to_user(tx, vault, to, tenant=tenant, subject="Off", text="It is off.")
        )

    person = Person(ada.client, ada.clock, deliver)
    assert await write(user_id, 1)
    eve = Person(ada.client, ada.clock, deliver, "eve", "+905328888888", "eve@b.example")
    await eve.register()
    await eve.confirm_phone()
    unconfirmed = UUID((await (await eve.sign_in()).call("GET", "/v1/me")).json()["id"])
    assert not await write(unconfirmed, 1)
    assert not await write(user_id, 2)
    assert not await write(UUID(int=1), 1)
    [letter] = [message for message in await deliver() if message.subject == "Off"]
    assert (letter.to, letter.text) == (person.email, "It is off.")


async def test_customers_may_not_look_into_the_log(ada: Device) -> None:
    for method, path in (
        ("GET", "/v1/events"),
        ("GET", "/v1/events/readers"),
        ("DELETE", "/v1/events/readers/webhooks"),
        ("GET", "/v1/events/dead-letters"),
        ("GET", "/v1/events/replays"),
    ):
        assert (await ada.call(method, path)).status_code == 403, path
    asked = {"reason": "curious"}
    assert (await ada.call("POST", "/v1/events/replays", asked)).status_code == 403


async def test_an_operator_reads_the_log_and_has_events_told_again(
    operator: Device, ada: Device, uow: UnitOfWork
) -> None:
    await _tell(uow, ada, 3)
    await uow.run(lambda tx: add_reader(tx, 1, "broker"))
    page = (await operator.call("GET", "/v1/events?limit=2")).json()
    assert [event["sequence"] for event in page["items"]] == [1, 2]
    assert page["items"][0]["type"] == "webhook.switched_off"
    assert page["items"][0]["data"]["reason"] == "failing"
    rest = (await operator.call("GET", f"/v1/events?after={page['next_cursor']}")).json()
    assert [event["sequence"] for event in rest["items"]] == [3]
    assert (await operator.call("GET", "/v1/events?topic=other")).json()["items"] == []

    [reader] = (await operator.call("GET", "/v1/events/readers")).json()
    assert (reader["name"], reader["behind"]) == ("broker", 3)
    asked = await operator.call(
        "POST", "/v1/events/replays", {"from_sequence": 2, "reason": "a test"}
    )
    assert asked.status_code == 202, asked.text
    assert (asked.json()["sequence"], asked.json()["until_sequence"]) == (1, 3)
    late = {"from_time": "2030-01-01T00:00:00Z", "reason": "a test"}
    nothing = (await operator.call("POST", "/v1/events/replays", late)).json()
    assert (nothing["sequence"], nothing["until_sequence"]) == (3, 3)
    assert len((await operator.call("GET", "/v1/events/replays")).json()) == 2

    assert (await operator.call("DELETE", "/v1/events/readers/broker")).status_code == 204
    assert (await operator.call("DELETE", "/v1/events/readers/broker")).status_code == 404
    assert (await operator.call("GET", "/v1/events/dead-letters")).json() == []
    tried = await operator.call("POST", "/v1/events/dead-letters/replays", {"consumer": "webhooks"})
    assert tried.json() == {"count": 0}
    gone = f"/v1/events/dead-letters/webhooks/{asked.json()['id']}"
    assert (await operator.call("DELETE", gone)).status_code == 404


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Callable[..., str]:
    runner = CliRunner(
        env={
            "TALLYSTICK_DATA_DIR": str(tmp_path / "data"),
            "TALLYSTICK_DATABASE_URL": database.url,
        }
    )

    def run(*arguments: str, status: int = 0) -> str:
        result = runner.invoke(events_command, list(arguments))
        assert result.exit_code == status, result.output
        return result.stdout if status == 0 else result.output

    return run


async def test_events_are_replayed_from_the_command_line(
    run: Callable[..., str], uow: UnitOfWork, ada: Device
) -> None:
    await _tell(uow, ada, 5)

    async def call(*arguments: str, status: int = 0) -> str:
        return await asyncio.to_thread(run, *arguments, status=status)

    lines = (await call("replay", "--from", "3", "--until", "4", "--to", "-")).splitlines()
    assert [int(json.loads(line)["sequence"]) for line in lines] == [3, 4]
    everything = await call("replay", "--from", "2020-01-01T00:00", "--to", "-")
    assert len(everything.splitlines()) == 5
    assert await call("replay", "--from", "2030-01-01", "--to", "-") == ""
    other = await call("replay", "--from", "1", "--topic", "payments", "--to", "-")
    assert other == ""
    assert "neither" in await call("replay", "--from", "yesterday", "--to", "-", status=1)
    assert "No broker is set" in await call("replay", "--from", "1", status=1)
    assert "address" in await call("replay", "--from", "1", "--to", "x://y", status=1)

    await consume(uow, 1, webhook_consumer())
    assert await call("readers") == "webhooks: at 5, 0 behind\n"
    assert json.loads(await call("dead-letters", "--json")) == {"dead_letters": []}
    assert await call("retry", "webhooks") == "0 events are tried again.\n"
