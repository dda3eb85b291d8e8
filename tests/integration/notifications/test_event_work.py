"""The work beside the rounds, as the serving process does it: a broker and a customer are told."""

import asyncio
import builtins
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from server.kit.auth import Caller
from server.kit.consumers import consume
from server.kit.crypto import Vault
from server.kit.event_log import number_events
from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.unit_of_work import UnitOfWork
from server.notifications import EventWork, webhook_consumer
from server.notifications.endpoints import make_endpoint
from server.notifications.schemas import WebhookCreate
from server.settings import Settings, SettingsError, load_settings
from tests import brokers
from tests.fakes.clock import ManualClock
from tests.fakes.receiver import receiver
from tests.integration.notifications.test_webhooks import Paid

_IDS = SystemIds(ManualClock())
_VAULT = Vault(b"w" * 32)
_SETTINGS = Settings(background_interval_ms=10, webhook_private=True)


async def _until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.01)


async def test_a_broker_and_a_customer_are_told(uow: UnitOfWork) -> None:
    user = Caller(1, _IDS.uuid(), _IDS.uuid(), "user")
    with brokers.redis() as server:
        async with receiver() as there:
            url = f"redis://127.0.0.1:{server.port}"
            work = EventWork(
                uow, settings=replace(_SETTINGS, redis_url=url), vault=_VAULT, ids=_IDS
            )
            running = asyncio.create_task(work.run())
            data = WebhookCreate(url=there.url)
            await uow.run(lambda tx: make_endpoint(tx, user, data, vault=_VAULT, private=True))
            event = Paid(sender_id=user.user_id, receiver_id=None, amount=5)
            await uow.run(lambda tx: emit(tx, event, tenant=1))
            await number_events(uow, 1)
            await consume(uow, 1, webhook_consumer())
            await _until(lambda: len(there.requests) == 1)
            redis: Any = Redis.from_url(url)
            while not await redis.exists("tallystick.tests"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await redis.aclose()
            work.stop()
            await running


async def test_it_goes_on_after_the_broker_was_away(uow: UnitOfWork) -> None:
    with brokers.redis() as server:
        server.kill()
        url = f"redis://127.0.0.1:{server.port}"
        work = EventWork(uow, settings=replace(_SETTINGS, broker_url=url), vault=_VAULT, ids=_IDS)
        running = asyncio.create_task(work.run())
        event = Paid(sender_id=UUID(int=1), receiver_id=None, amount=5)
        await uow.run(lambda tx: emit(tx, event, tenant=1))
        await asyncio.sleep(0.05)
        server.start()
        redis: Any = Redis.from_url(url)
        while not await redis.exists("tallystick.tests"):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
        await redis.aclose()
        work.stop()
        await running


async def test_a_stop_does_not_wait_for_a_broker_that_is_away(uow: UnitOfWork) -> None:
    settings = replace(_SETTINGS, broker_url="redis://127.0.0.1:1")
    work = EventWork(uow, settings=settings, vault=_VAULT, ids=_IDS)
    event = Paid(sender_id=UUID(int=1), receiver_id=None, amount=5)
    await uow.run(lambda tx: emit(tx, event, tenant=1))
    running = asyncio.create_task(work.run())
    await asyncio.sleep(0.1)
    work.stop()
    await running


def test_a_missing_package_names_the_extra(
    uow: UnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("faststream"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(__import__("sys").modules, "server.kit.brokers.jetstream", raising=False)
    with pytest.raises(SettingsError, match=r"tallystick\[broker\]"):
        EventWork(
            uow,
            settings=replace(_SETTINGS, broker_url="nats://127.0.0.1:1"),
            vault=_VAULT,
            ids=_IDS,
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER_URL", "http://x"),
        ("BROKER_URL", "redis:"),
        ("REDIS_URL", "nats://x"),
        ("EVENTS_KEEP_DAYS", "0"),
        ("WEBHOOK_PRIVATE", "yes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, value: str, tmp_path: Path) -> None:
    environment = {"TALLYSTICK_DATA_DIR": str(tmp_path), f"TALLYSTICK_{name}": value}
    with pytest.raises(SettingsError, match=f"TALLYSTICK_{name}"):
        load_settings(environment)
