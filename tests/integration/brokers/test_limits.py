"""What a broker refuses for reasons of its own, and what a cache in Redis shares."""

from datetime import timedelta

import pytest

from server.kit.brokers import BrokerUnsupported, publisher_of
from server.kit.cache import RedisCache
from server.kit.dead_letters import dead_letters, try_again
from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.relay import READER, Relay
from server.kit.unit_of_work import UnitOfWork
from tests import brokers
from tests.fakes.clock import ManualClock
from tests.integration.brokers.conftest import NatsStream
from tests.integration.kit.test_outbox import TENANT, Large, Moved

_IDS = SystemIds(ManualClock())


async def test_an_event_that_is_too_large_for_the_broker_stops_no_other(uow: UnitOfWork) -> None:
    with brokers.nats(payload_max=2_000) as server:
        stream = NatsStream(server)
        events = [
            Moved(thing="a", number=1),
            Large(thing="a", number=2, note="x" * 3_000),
            Moved(thing="a", number=3),
        ]
        await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))
        relay = Relay(uow, stream.open(), tenant=TENANT, holder=_IDS.uuid(), pause_s=0.01)
        while await relay.run_once():
            pass
        assert [told.data()["number"] for told in await stream.read(2)] == [1, 3]
        [letter] = await uow.read(lambda tx: dead_letters(tx, TENANT, consumer=READER))
        assert (letter.sequence, letter.state) == (2, "dead")
        assert "max_payload" in letter.error
        await relay.close()

    # The operator allows more, and has it told.
    with brokers.nats() as server:
        stream = NatsStream(server)
        relay = Relay(uow, stream.open(), tenant=TENANT, holder=_IDS.uuid(), pause_s=0.01)
        await uow.run(lambda tx: try_again(tx, TENANT, READER))
        while await relay.run_once():
            pass
        assert [told.seq for told in await stream.read(1)] == [2]
        assert await uow.read(lambda tx: dead_letters(tx, TENANT)) == []
        await relay.close()


async def test_processes_share_a_cache_in_redis(clock: ManualClock) -> None:
    loads = 0

    async def load() -> int:
        nonlocal loads
        loads += 1
        return loads

    with brokers.redis(durable=False) as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        one, other = RedisCache(clock, url), RedisCache(clock, url)
        ttl = timedelta(seconds=5)
        first = await one.cached("balance", ttl, load, int)
        assert await other.cached("balance", ttl, load, int) == first
        clock.advance(ttl)
        assert (await other.cached("balance", ttl, load, int)).value == 2
        await one.forget("balance")
        assert (await other.cached("balance", ttl, load, int)).value == 3
        server.kill()
        assert (await one.cached("balance", ttl, load, int)).value == 4
        await one.close()
        await other.close()


@pytest.mark.parametrize("url", ["", "mqtt://x", "redis:", "nats:///", "http://x", "redis://["])
def test_an_address_of_no_broker_is_refused(url: str) -> None:
    with pytest.raises(BrokerUnsupported):
        publisher_of(url)
