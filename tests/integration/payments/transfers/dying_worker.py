"""A worker that is killed in the middle of running a schedule: `dying_worker URL WHERE`."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.crypto import Vault
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.payments.transfers import Transfers, running
from server.settings import Settings
from tests.fakes.clock import ManualClock


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, where: str) -> None:
    clock = ManualClock()
    clock.advance(timedelta(days=1))
    engine: AsyncEngine = create_engine(url)
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    transfers = Transfers(uow, vault=Vault(b"m" * 32), settings=Settings())
    if where == "commit":
        # Everything is written by then, and nothing is committed.
        real = running._finish

        async def finish(*args: Any) -> None:
            await real(*args)
            event.listen(engine.sync_engine, "commit", die)

        setattr(running, "_finish", finish)  # noqa: B010 - mypy compares the signatures
    else:
        setattr(running, where, die)
    await running.run_schedules(uow, transfers.desk)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
