"""Processes that die at a chosen step: `python -m tests.integration.payments.cards.killed`.

Reads one plan a line and answers with how a fork that carried it out has ended. A step is a
statement, a commit, or a call of the card company before it is made and after it was answered.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any
from uuid import UUID

from sqlalchemy import event

from server.kit.auth import Caller
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.payments import StripeGateway, top_up
from server.payments.cards import (
    follow_payments,
    process_events,
    refund_top_up,
    resume_refunds,
    resume_top_ups,
)
from server.payments.cards.schemas import RefundCreate, TopUpCreate
from tests.fakes.card_company import API_KEY
from tests.fakes.clock import ManualClock


class _Death:
    """Counts steps and kills this process at one of them."""

    def __init__(self, at: int) -> None:
        self._left = at

    def step(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def carry_out(plan: dict[str, Any]) -> None:
    engine = create_engine(plan["database"])
    death = _Death(plan["at"])
    for name in ("before_cursor_execute", "commit"):
        event.listen(engine.sync_engine, name, death.step)
    clock = ManualClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    gateway = StripeGateway(API_KEY, url=plan["company"])
    call = gateway._line.http.request_async

    async def dying_call(*arguments: Any, **named: Any) -> Any:
        death.step()
        answer = await call(*arguments, **named)
        death.step()
        return answer

    gateway._line.http.request_async = dying_call  # type: ignore[method-assign]
    user = UUID(plan["user"])
    caller = Caller(tenant=1, user_id=user, session_id=user, role="user")
    if plan["what"] == "top_up":
        wish = TopUpCreate(amount=10_000, currency="EUR", card=plan["card"])
        await top_up(uow, gateway, caller, wish, key=plan["key"])
    elif plan["what"] == "refund":
        await refund_top_up(
            uow, gateway, caller, UUID(plan["top_up"]), RefundCreate(amount=4_000), key=plan["key"]
        )
    else:
        await process_events(uow)
        await resume_top_ups(uow, gateway)
        await resume_refunds(uow, gateway)
        await follow_payments(uow, gateway)
    await engine.dispose()
    await gateway.close()


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(carry_out(json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - what is asked for


if __name__ == "__main__":
    main()
