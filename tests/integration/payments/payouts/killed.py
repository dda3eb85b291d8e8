"""A process that carries withdrawals out and kills itself, or hangs, at a named point.

``python -m tests.integration.payments.payouts.killed`` forks such a process for each plan on its
standard input. One that had nothing left to do says ``survived``.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, select

from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflow_engine import WorkflowEngine
from server.kit.workflows import ONCE, JsonValue, Retry, Run, Workflow, WorkflowPlace
from server.payments.payouts import (
    PayoutAnswer,
    PayoutDesk,
    PayoutOrder,
    keep_withdrawals,
    withdrawal_workflow,
)
from server.payments.payouts.domain import OPEN_STATES
from server.payments.payouts.models import WithdrawalRow
from tests.fakes.http_rail import HttpRail
from tests.integration.payments.payouts.people import desk_of

T = TypeVar("T", bound=JsonValue)


class Fuse:
    """Kills this process where it comes to a point, or makes it hang there for the first time."""

    def __init__(self, point: str | None, hang: str | None) -> None:
        self._point, self._hang = point, hang
        self.engine: WorkflowEngine | None = None

    async def reach(self, point: str) -> None:
        if point != self._point:
            return
        self._point = None
        if self._hang is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            await self._hang_there(Path(self._hang))

    async def _hang_there(self, sign: Path) -> None:
        """Say nothing more, and do not go on before the sign is taken away again."""
        assert self.engine is not None
        assert self.engine._beating is not None
        self.engine._beating.get_loop().call_soon_threadsafe(self.engine._beating.cancel)
        sign.touch()  # noqa: ASYNC240
        while sign.exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)


class FusedRun:
    def __init__(self, run: Run, fuse: Fuse) -> None:
        self._run, self._fuse = run, fuse

    async def step(
        self,
        name: str,
        work: Callable[[], Awaitable[T]],
        *,
        retry: Retry = ONCE,
        timeout_s: float = 60,
    ) -> T:
        async def fused() -> T:
            await self._fuse.reach(f"{name}/begun")
            result = await work()
            await self._fuse.reach(f"{name}/worked")
            return result

        await self._fuse.reach(f"{name}/before")
        result = await self._run.step(name, fused, retry=retry, timeout_s=timeout_s)
        await self._fuse.reach(f"{name}/marked")
        return result

    async def sleep(self, pause: timedelta) -> None:
        await self._fuse.reach("sleep/before")
        await self._run.sleep(pause)
        await self._fuse.reach("sleep/after")


class FusedRail(HttpRail):
    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        await self._fuse.reach("send/before")
        answer = await super().send(order)
        await self._fuse.reach("send/after")
        return answer

    async def find(self, order: PayoutOrder) -> PayoutAnswer | None:
        await self._fuse.reach("find/before")
        answer = await super().find(order)
        await self._fuse.reach("find/after")
        return answer


def fused(desk: PayoutDesk, fuse: Fuse) -> Workflow:
    real = withdrawal_workflow(desk)

    async def body(run: Run, key: str) -> str:
        return await real.body(FusedRun(run, fuse), key)

    return Workflow(real.name, body, real.failed)


async def main(plan: dict[str, Any]) -> None:
    clock = SystemClock()
    database = create_engine(plan["url"], pool_size=5)
    uow = UnitOfWork(database, clock=clock, ids=SystemIds(clock))
    fuse = Fuse(plan["point"], plan["hang"])
    desk = desk_of(uow, plan["url"], {"http": FusedRail(plan["bank"], fuse)})
    engine = WorkflowEngine(
        uow, WorkflowPlace.beside(plan["url"]), [fused(desk, fuse)], executor=plan["executor"]
    )
    fuse.engine = engine
    await engine.open()
    await engine.opened()

    async def left(tx: Tx) -> int:
        open_ones = WithdrawalRow.state.in_(sorted(OPEN_STATES))
        query = select(func.count()).select_from(WithdrawalRow)
        return (
            await tx.session.scalar(query.where(open_ones, WithdrawalRow.stuck_at.is_(None))) or 0
        )

    while await uow.read(left):
        await keep_withdrawals(desk)
        await asyncio.sleep(0.05)
    await engine.close()
    await desk.book.close()
    await database.dispose()
    sys.stdout.write("survived")


def carry_out(plan: dict[str, Any]) -> None:
    """Be the child: go by the plan, say how it went in its file, and end without cleaning up."""
    with Path(plan["said"]).open("w", encoding="utf-8") as said:
        sys.stdout = sys.stderr = said
        code = 0
        try:
            asyncio.run(main(plan))
        except Exception:  # noqa: BLE001 - whoever started it reads the file
            traceback.print_exc()
            code = 1
        said.flush()
    os._exit(code)


def serve() -> None:
    """Fork a child for each plan that comes in; everything is imported already.

    With "start" it answers the child's id at once, with "wait" how the one with that id ended.
    """
    import dbos  # noqa: F401, PLC0415

    for line in sys.stdin:
        what, _, rest = line.partition(" ")
        if what == "start":
            answer = os.fork()
            if answer == 0:
                carry_out(json.loads(rest))
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(int(rest), 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
