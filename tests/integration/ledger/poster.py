"""A process that posts and says what was acknowledged, until somebody kills it."""

import asyncio
from multiprocessing.connection import Connection
from uuid import UUID, uuid5

from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import EntryRequest, Operation, post_many
from tests.unit.ledger.books import ANNA, BERK, CAROL, move

_NAMESPACE = UUID(int=0x1234)


def step(number: int) -> list[EntryRequest]:
    """The requests of a step; the same number gives the same ids."""
    ids = [uuid5(_NAMESPACE, f"{number}/{part}") for part in range(4)]
    return [
        move(ANNA, BERK, 2, id=ids[0]),
        move(ANNA, CAROL, 3, id=ids[1], operation=Operation.HOLD),
        move(ANNA, CAROL, 1, id=ids[2], operation=Operation.CAPTURE, hold=ids[1]),
        move(ANNA, CAROL, 0, id=ids[3], operation=Operation.RELEASE, hold=ids[1]),
    ]


def post_for_ever(url: str, first: int, acknowledged: Connection) -> None:
    asyncio.run(_post_for_ever(url, first, acknowledged))


async def _post_for_ever(url: str, first: int, acknowledged: Connection) -> None:
    clock = SystemClock()
    uow = UnitOfWork(create_engine(url, pool_size=1), clock=clock, ids=SystemIds(clock))
    number = first
    while True:
        requests = step(number)
        outcomes = await uow.run(lambda tx, batch=requests: post_many(tx, batch))  # type: ignore[misc]
        assert all(outcome.applied for outcome in outcomes)
        acknowledged.send(number)
        number += 1
