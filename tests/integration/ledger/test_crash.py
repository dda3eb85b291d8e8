import asyncio
import contextlib
import multiprocessing
import random

import pytest

from server.kit.unit_of_work import UnitOfWork
from tests.conftest import Database
from tests.integration.ledger.ledgers import balance_of, post, verified
from tests.integration.ledger.poster import post_for_ever, step
from tests.unit.ledger.books import ANNA, BERK, CAROL, fund

KILLS = 10
PER_STEP = 3


@pytest.mark.slow
async def test_what_was_acknowledged_before_a_kill_is_there_once_and_retries_add_nothing(
    database: Database, uow: UnitOfWork
) -> None:
    await post(uow, fund(ANNA, 1_000_000))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.ledger.poster"])
    order = random.Random(11)
    last = 0
    for _ in range(KILLS):
        ours, theirs = context.Pipe(duplex=False)
        # The step after the last acknowledged one may or may not have happened: it comes again.
        process = context.Process(target=post_for_ever, args=(database.url, last + 1, theirs))
        process.start()
        theirs.close()
        for _ in range(order.randint(1, 25)):
            last = await asyncio.to_thread(ours.recv)
        process.kill()
        process.join()
        with contextlib.suppress(EOFError):
            while True:
                last = ours.recv()
        ours.close()

    retried = await post(uow, *step(last + 1))
    assert all(outcome.applied for outcome in retried)
    again = await post(uow, *(request for number in range(1, last + 2) for request in step(number)))
    assert all(outcome.applied and outcome.replayed for outcome in again)

    done = last + 1
    anna, berk, carol = [await balance_of(uow, ref) for ref in (ANNA, BERK, CAROL)]
    assert (berk.posted, carol.posted) == (2 * done, done)
    assert (anna.posted, anna.held) == (1_000_000 - PER_STEP * done, 0)
    report = await verified(uow)
    assert report.counts["entries"] == 1 + 4 * done
