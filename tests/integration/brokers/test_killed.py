"""kill -9 in the middle: of the relay after the broker confirmed, of a consumer in its effect."""

import asyncio
import random
import signal
import sys

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.relay import Relay
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.brokers.conftest import Broker, first_tellings
from tests.integration.kit.test_outbox import TENANT, Moved

_IDS = SystemIds(ManualClock())
EVENTS = 60
KILLS = 3
pytestmark = pytest.mark.slow


async def _doomed(what: str, database: Database, broker: Broker, deadly: int) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.brokers.doomed",
        what,
        database.url,
        broker.url,
        str(deadly),
        stdin=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def _tell(uow: UnitOfWork) -> None:
    events = [Moved(thing=str(n % 4), number=n) for n in range(EVENTS)]
    await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))


@pytest.mark.parametrize("broker", ["redis", "nats"], indirect=True)
async def test_a_relay_that_is_killed_again_and_again(
    uow: UnitOfWork, database: Database, broker: Broker
) -> None:
    await _tell(uow)
    rng = random.Random(5)
    kills = 0
    for _ in range(KILLS):
        ended = await _doomed("relay", database, broker, rng.randrange(1, EVENTS))
        kills += ended == -signal.SIGKILL
    assert kills == KILLS
    assert await _doomed("relay", database, broker, 0) == 0

    told = first_tellings(await broker.read(EVENTS))
    assert told == {str(key): list(range(key, EVENTS, 4)) for key in range(4)}


@pytest.mark.parametrize("broker", ["redis", "nats"], indirect=True)
async def test_a_consumer_that_is_killed_in_the_middle_of_its_effects(
    uow: UnitOfWork, database: Database, broker: Broker
) -> None:
    await uow.run(_make_table)
    await _tell(uow)
    relay = Relay(uow, broker.open(), tenant=TENANT, holder=_IDS.uuid(), pause_s=0.01)
    while await relay.run_once():
        pass
    await relay.close()
    if broker.name == "redis":
        # A group that FastStream makes begins with what comes next.
        client = Redis.from_url(broker.url)
        await client.xgroup_create("tallystick.tests", "doomed", id="0")
        await client.aclose()

    rng = random.Random(6)
    for _ in range(KILLS):
        assert await _doomed("consumer", database, broker, rng.randrange(1, 12)) == -signal.SIGKILL
    assert await _doomed("consumer", database, broker, 0) == 0

    async def effects(tx: Tx) -> list[int]:
        return list((await tx.connection.execute(text("SELECT number FROM effect"))).scalars())

    assert sorted(await uow.read(effects)) == list(range(EVENTS))


async def _make_table(tx: Tx) -> None:
    await tx.connection.execute(text("CREATE TABLE effect (key TEXT, number INTEGER)"))
