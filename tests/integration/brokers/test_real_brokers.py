"""The relay and real brokers: restarts, repeats, order, readers of other makes."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from server.kit.event_log import Told
from server.kit.event_readers import LEASE
from server.kit.event_replays import ask_for_replay
from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.relay import BrokerDown, Relay
from server.kit.unit_of_work import UnitOfWork
from tests.fakes.clock import ManualClock
from tests.integration.brokers.conftest import Broker, first_tellings
from tests.integration.kit.test_outbox import TENANT, Moved

_IDS = SystemIds(ManualClock())


def _relay(uow: UnitOfWork, broker: Broker) -> Relay:
    return Relay(uow, broker.open(), tenant=TENANT, holder=_IDS.uuid(), pause_s=0.01)


async def _tell(uow: UnitOfWork, numbers: Sequence[int]) -> None:
    events = [Moved(thing=f"kéy {n % 5}", number=n, whose=UUID(int=n)) for n in numbers]
    await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))


async def _drain(relay: Relay) -> None:
    while await relay.run_once():
        pass


def _expected(count: int) -> dict[str, list[int]]:
    return {f"kéy {key}": list(range(key, count, 5)) for key in range(5)}


async def test_a_reader_of_another_make_gets_what_was_emitted(
    uow: UnitOfWork, broker: Broker
) -> None:
    await _tell(uow, range(40))
    relay = _relay(uow, broker)
    await _drain(relay)
    await relay.close()
    events = await broker.read(40)
    assert len(events) == 40
    assert first_tellings(events) == _expected(40)
    first = next(told for told in events if told.data()["number"] == 0)
    assert (first.seq, first.topic, first.type, first.version) == (1, "tests", "thing.moved", 1)
    assert first.data() == {"thing": "kéy 0", "number": 0, "whose": str(UUID(int=0))}


async def test_nothing_is_lost_while_the_broker_restarts(uow: UnitOfWork, broker: Broker) -> None:
    relay = _relay(uow, broker)
    await _tell(uow, range(20))
    await _drain(relay)

    broker.stop()
    await _tell(uow, range(20, 40))
    with pytest.raises(BrokerDown):
        await relay.run_once()
    with pytest.raises(BrokerDown):
        await relay.run_once()
    await _tell(uow, range(40, 60))
    broker.start()
    await _drain(relay)
    await relay.close()

    assert first_tellings(await broker.read(60)) == _expected(60)


async def test_a_broker_that_dies_under_load(uow: UnitOfWork, broker: Broker) -> None:
    """It is stopped while the relay is at work; writers never notice."""
    relay = _relay(uow, broker)
    running = asyncio.create_task(relay.run())

    async def write() -> None:
        for start in range(0, 600, 20):
            await _tell(uow, range(start, start + 20))
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    await broker.read(1)
    await asyncio.to_thread(broker.stop)
    await writing
    await asyncio.to_thread(broker.start)
    events = await _until_all(broker, 600)
    relay.stop()
    await running
    assert first_tellings(events) == _expected(600)


async def _until_all(broker: Broker, count: int) -> list[Told]:
    """Read until so many different events are there; repeats come on top of them."""
    wanted = count
    while True:
        events = await broker.read(wanted)
        different = len({told.id for told in events})
        if different >= count:
            return events
        wanted = len(events) + count - different


async def test_a_relay_that_died_before_it_stored_its_position(
    uow: UnitOfWork, broker: Broker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _tell(uow, range(20))
    killed = _relay(uow, broker)

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(killed, "_store", die)
    with pytest.raises(asyncio.CancelledError):
        await killed.run_once()
    clock.advance(LEASE)
    other = _relay(uow, broker)
    await _tell(uow, range(20, 25))
    await _drain(other)
    await other.close()
    await killed.close()

    # JetStream drops what it has by its id; the others keep both.
    stored = await broker.read(25 if broker.name == "nats" else 45)
    assert len(stored) == (25 if broker.name == "nats" else 45)
    assert first_tellings(stored) == _expected(25)


async def test_a_replay_arrives_although_the_broker_has_it_already(
    uow: UnitOfWork, broker: Broker
) -> None:
    relay = _relay(uow, broker)
    await _tell(uow, range(10))
    await _drain(relay)
    await uow.run(
        lambda tx: ask_for_replay(
            tx, TENANT, after=4, until=7, topics=[], asked_by=UUID(int=1), reason="test"
        )
    )
    await _drain(relay)
    await relay.close()
    stored = await broker.read(13)
    assert sorted(told.seq for told in stored) == sorted([*range(1, 11), 5, 6, 7])
