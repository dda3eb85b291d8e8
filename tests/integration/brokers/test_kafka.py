"""Kafka, as far as librdkafka's built-in cluster is one: partitions, keys, acknowledgements."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

import pytest
from confluent_kafka import Consumer, Producer

from server.kit.brokers import publisher_of
from server.kit.event_log import Told
from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.relay import BrokerDown, Relay
from server.kit.unit_of_work import UnitOfWork
from tests.fakes.clock import ManualClock
from tests.integration.kit.test_outbox import TENANT, Moved
from tests.postgres import _free_port

_IDS = SystemIds(ManualClock())


@pytest.fixture
def kafka() -> Iterator[str]:
    """Address of a cluster of three brokers, in this process."""
    owner = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "ignored:1"})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    owner.flush(1)


def _read(address: str, count: int) -> dict[int, list[tuple[bytes, Told]]]:
    """Return what is stored, by partition."""
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "tests", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["tallystick.tests"])
    found: defaultdict[int, list[tuple[bytes, Told]]] = defaultdict(list)
    while sum(map(len, found.values())) < count:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            partition, key, value = message.partition(), message.key(), message.value()
            assert partition is not None
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            found[partition].append((key, Told.from_json(value)))
    consumer.close()
    return found


async def test_equal_keys_are_in_one_partition_in_order(uow: UnitOfWork, kafka: str) -> None:
    events = [Moved(thing=f"kéy {n % 7}", number=n, whose=UUID(int=n)) for n in range(140)]
    await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))
    relay = Relay(
        uow, publisher_of(f"kafka://{kafka}"), tenant=TENANT, holder=_IDS.uuid(), pause_s=0.01
    )
    while await relay.run_once():
        pass
    await relay.close()

    stored = await asyncio.to_thread(_read, kafka, 140)
    assert len(stored) > 1
    partitions: defaultdict[str, set[int]] = defaultdict(set)
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for partition, messages in stored.items():
        for key, told in messages:
            assert key == told.key.encode()
            partitions[told.key].add(partition)
            numbers[told.key].append(told.data()["number"])
    assert {len(found) for found in partitions.values()} == {1}
    assert numbers == {f"kéy {key}": list(range(key, 140, 7)) for key in range(7)}


async def test_a_cluster_that_is_not_there_is_waited_for(uow: UnitOfWork, kafka: str) -> None:
    await uow.run(lambda tx: emit(tx, Moved(thing="a", number=1), tenant=TENANT))
    addresses = iter([f"kafka://127.0.0.1:{_free_port()}", f"kafka://{kafka}"])
    relay = Relay(
        uow,
        lambda: publisher_of(next(addresses))(),  # noqa: PLW0108 - another one each time
        tenant=TENANT,
        holder=_IDS.uuid(),
        pause_s=0.01,
    )
    with pytest.raises(BrokerDown):
        await relay.run_once()
    assert await relay.run_once() == 1
    await relay.close()
    [[(_, told)]] = (await asyncio.to_thread(_read, kafka, 1)).values()
    assert told.data()["number"] == 1
