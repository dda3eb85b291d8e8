"""The reader of docs/events.md runs as it stands."""

import ast
import re
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from typing import Any

from redis.asyncio import Redis

from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.relay import Relay
from server.kit.unit_of_work import UnitOfWork
from tests.architecture.test_docs import ROOT
from tests.brokers import Server
from tests.fakes.clock import ManualClock
from tests.integration.brokers.conftest import RedisStream
from tests.integration.kit.test_outbox import TENANT, Large, Moved

_PAGE = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")


async def test_the_reader_counts_each_event_once(uow: UnitOfWork, redis_server: Server) -> None:
    [program] = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    stream = RedisStream(redis_server)
    events = [Moved(thing="a", number=1), Large(thing="b", note="x"), Moved(thing="c", number=2)]
    await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))
    holder = SystemIds(ManualClock()).uuid()
    relay = Relay(uow, stream.open(), tenant=TENANT, holder=holder, pause_s=0.01)
    while await relay.run_once():
        pass
    await relay.close()
    # The page reads a topic of the house, and repeats happen.
    redis: Any = Redis.from_url(stream.url)
    await redis.copy("tallystick.tests", "tallystick.payments")
    [[_, fields]] = await redis.xrange("tallystick.tests", count=1)
    await redis.xadd("tallystick.payments", fields)
    await redis.aclose()

    process = await create_subprocess_exec(
        sys.executable, "-c", program, env={"REDIS_URL": stream.url}, stdout=PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    assert ast.literal_eval(printed.decode()) == {"thing.moved": 2, "thing.grown": 1}
