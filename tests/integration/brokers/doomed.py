"""Processes that are killed in the middle of their work; run with ``python -m``.

``relay DATABASE BROKER N`` ends by SIGKILL when the broker has confirmed N events and before any of
them is noted; ``consumer DATABASE BROKER N`` in the middle of its Nth effect. With N = 0 they end
by themselves when there is nothing left to do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.redis import RedisBroker, RedisMessage, StreamSub
from nats.js.api import ConsumerConfig, DeliverPolicy
from sqlalchemy import text, update

from server.kit.brokers import publisher_of
from server.kit.brokers.redis_streams import PlainFormat
from server.kit.clock import SystemClock
from server.kit.consumers import Consumer, receive
from server.kit.db import create_engine
from server.kit.event_log import Told
from server.kit.event_readers import ReaderRow
from server.kit.ids import SystemIds
from server.kit.relay import Relay
from server.kit.unit_of_work import Tx, UnitOfWork

Deal = Callable[[Any], Awaitable[None]]
TENANT = 1
IDLE_S = 1.0


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def relay(uow: UnitOfWork, url: str, deadly: int) -> None:
    async def free(tx: Tx) -> None:
        # The lease of the one that was killed would run for a while.
        await tx.session.execute(update(ReaderRow).values(holder=None, held_until=None))

    await uow.run(free)
    ids = SystemIds(SystemClock())
    opened = await publisher_of(url)()
    confirmed = 0

    class Deadly:
        async def publish(self, told: Told, *, copy: str = "") -> None:
            nonlocal confirmed
            await opened.publish(told, copy=copy)
            confirmed += 1
            if confirmed == deadly:
                _die()

        async def close(self) -> None:
            await opened.close()

    async def open_deadly() -> Deadly:
        return Deadly()

    worker = Relay(uow, open_deadly, tenant=TENANT, holder=ids.uuid(), pause_s=0.01)
    while await worker.run_once():
        pass
    await worker.close()


class Effects:
    """Writes the number of each event into a table, and dies in the middle of one."""

    def __init__(self, deadly: int) -> None:
        self.deadly = deadly
        self.begun = 0
        self.progress = asyncio.Event()

    async def write(self, tx: Tx, told: Told) -> None:
        await tx.connection.execute(
            text("INSERT INTO effect (key, number) VALUES (:key, :number)"),
            {"key": told.key, "number": told.data()["number"]},
        )
        self.begun += 1
        self.progress.set()
        if self.begun == self.deadly:
            _die()


async def consumer(uow: UnitOfWork, url: str, deadly: int) -> None:
    effects = Effects(deadly)
    reader = Consumer("doomed", effects.write)

    async def deal(message: Any) -> None:
        await receive(uow, reader, message.body)
        effects.progress.set()

    broker = _nats(url, deal) if url.startswith("nats") else _redis(url, deal)
    await broker.start()
    try:
        while True:
            await asyncio.wait_for(effects.progress.wait(), IDLE_S + 1)
            effects.progress.clear()
    except TimeoutError:
        pass
    await broker.stop()


def _nats(url: str, deal: Deal) -> Any:
    broker = NatsBroker(url, logger=None)

    async def handle(message: NatsMessage) -> None:
        await deal(message)

    broker.subscriber(
        "tallystick.>",
        stream=JStream("TALLYSTICK", declare=False),
        durable="doomed",
        pull_sub=PullSub(batch_size=1, timeout=0.2),
        config=ConsumerConfig(ack_wait=1.0, max_ack_pending=1),
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.ACK,
    )(handle)
    return broker


def _redis(url: str, deal: Deal) -> Any:
    broker = RedisBroker(url, logger=None, message_format=PlainFormat)  # type: ignore[arg-type]

    async def handle(message: RedisMessage) -> None:
        await deal(message)

    # Two readers with one name: of what a killed one left behind, and of what is new.
    for idle_ms in (200, None):
        broker.subscriber(
            stream=StreamSub(
                "tallystick.tests",
                group="doomed",
                consumer="only",
                polling_interval=50,
                min_idle_time=idle_ms,
            ),
            ack_policy=AckPolicy.ACK,
        )(handle)
    return broker


async def main() -> None:
    what, database, url, deadly = sys.argv[1:]
    engine = create_engine(database)
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    await {"relay": relay, "consumer": consumer}[what](uow, url, int(deadly))
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
