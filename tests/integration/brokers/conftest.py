"""Real brokers, each read by its own client and not by the library that publishes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import aio_pika
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from redis.asyncio import Redis

from server.kit.brokers import OpenPublisher, publisher_of
from server.kit.event_log import Told
from tests import brokers

_QUEUE = "tests.reader"


class Broker(Protocol):
    """A broker that can be stopped, and what somebody who reads along sees."""

    name: str

    @property
    def url(self) -> str: ...
    def open(self) -> OpenPublisher: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    async def read(self, count: int) -> list[Told]:
        """Return the oldest events, at least so many; each with what is stored, repeats too."""
        ...


def first_tellings(events: Sequence[Told]) -> dict[str, list[int]]:
    """Return each key's numbers in the order of the broker, without what it had before."""
    seen: set[UUID] = set()
    by_key: dict[str, list[int]] = {}
    for told in events:
        if told.id not in seen:
            seen.add(told.id)
            by_key.setdefault(told.key, []).append(told.data()["number"])
    return by_key


@dataclass
class RedisStream:
    server: brokers.Server
    name: str = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}/0"

    def open(self) -> OpenPublisher:
        return publisher_of(self.url)

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    async def read(self, count: int) -> list[Told]:
        client: Any = Redis.from_url(self.url)
        try:
            while len(found := await client.xrange("tallystick.tests")) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            return [Told.from_json(fields[b"__data__"]) for _, fields in found]
        finally:
            await client.aclose()


@dataclass
class NatsStream:
    server: brokers.Server
    name: str = "nats"

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.server.port}"

    def open(self) -> OpenPublisher:
        return publisher_of(self.url)

    def stop(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server.start()

    async def read(self, count: int) -> list[Told]:
        client = await nats.connect(self.url)
        try:
            streams = client.jetstream()
            while await _stored(streams) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            state = (await streams.stream_info("TALLYSTICK")).state
            messages = [
                await streams.get_msg("TALLYSTICK", seq)
                for seq in range(state.first_seq, state.last_seq + 1)
            ]
            return [Told.from_json(message.data or b"") for message in messages]
        finally:
            await client.close()


async def _stored(streams: JetStreamContext) -> int:
    try:
        return (await streams.stream_info("TALLYSTICK")).state.messages
    except NotFoundError:
        return 0


@dataclass
class RabbitQueue:
    server: brokers.Server
    name: str = "rabbitmq"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.server.port}/"

    def open(self) -> OpenPublisher:
        return publisher_of(self.url)

    def stop(self) -> None:
        self.server.stop()

    def start(self) -> None:
        self.server.start()

    async def bind(self) -> None:
        """Begin to listen: an empty durable queue at the exchange."""
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(
                "tallystick.tests", aio_pika.ExchangeType.TOPIC, durable=True
            )
            queue = await channel.declare_queue(_QUEUE, durable=True)
            await queue.bind(exchange, "#")
            await queue.purge()

    async def read(self, count: int) -> list[Told]:
        """Read without acknowledging, so that the messages are there the next time too."""
        found: list[Told] = []
        async with await aio_pika.connect(self.url) as connection:
            queue = await (await connection.channel()).get_queue(_QUEUE)
            while len(found) < count:
                message = await queue.get(no_ack=False, fail=False)
                if message is None:
                    await asyncio.sleep(0.01)
                else:
                    found.append(Told.from_json(message.body))
        return found


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[brokers.Server]:
    with brokers.rabbitmq() as server:
        yield server


@pytest.fixture
def redis_server() -> Iterator[brokers.Server]:
    with brokers.redis() as server:
        yield server


@pytest.fixture
def nats_server() -> Iterator[brokers.Server]:
    with brokers.nats() as server:
        yield server


@pytest.fixture(params=["redis", "nats", pytest.param("rabbitmq", marks=pytest.mark.slow)])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    """Each broker in turn, empty."""
    server: brokers.Server = request.getfixturevalue(f"{request.param}_server")
    if request.param == "redis":
        yield RedisStream(server)
    elif request.param == "nats":
        yield NatsStream(server)
    else:
        rabbit = RabbitQueue(server)
        await rabbit.bind()
        yield rabbit
