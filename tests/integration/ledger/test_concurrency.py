import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.kit.db import create_engine
from server.kit.errors import IdempotencyConflict
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import Outcome, Refusal, expire_holds
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import balance_of, post, results, verified
from tests.unit.ledger.books import (
    ANNA,
    BERK,
    CAROL,
    capture,
    fund,
    hold,
    move,
    release,
    user,
)

CALLERS = 50


@pytest.fixture
async def crowd(database: Database, clock: ManualClock) -> AsyncIterator[UnitOfWork]:
    """A unit of work with a connection for each of fifty callers."""
    engine = create_engine(database.url, pool_size=CALLERS)
    yield UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    await engine.dispose()


async def test_fifty_spenders_never_overdraw_an_account(crowd: UnitOfWork) -> None:
    await post(crowd, fund(ANNA, 100))
    spent = await asyncio.gather(
        *(post(crowd, move(ANNA, user(100 + n), 3)) for n in range(CALLERS))
    )
    reasons = Counter(outcome.reason for (outcome,) in spent)
    assert reasons == {None: 33, Refusal.INSUFFICIENT_FUNDS: 17}
    assert (await balance_of(crowd, ANNA)).available == 1
    await verified(crowd)


async def test_fifty_holds_and_spends_together_never_overdraw_an_account(crowd: UnitOfWork) -> None:
    await post(crowd, fund(ANNA, 100))
    kinds = [hold if n % 2 else move for n in range(CALLERS)]
    taken = await asyncio.gather(*(post(crowd, kind(ANNA, BERK, 3)) for kind in kinds))
    assert sum(outcome.applied for (outcome,) in taken) == 33
    anna = await balance_of(crowd, ANNA)
    assert anna.available == 1
    assert anna.held > 0
    await verified(crowd)


async def test_crossing_movements_all_arrive(crowd: UnitOfWork) -> None:
    await post(crowd, fund(ANNA, 1000), fund(BERK, 1000))
    there_and_back = [move(ANNA, BERK, 7), move(BERK, ANNA, 5)] * 25
    fresh = [move(r.debit, r.credit, r.amount) for r in there_and_back]
    done = await asyncio.gather(*(post(crowd, request) for request in fresh))
    assert all(outcome.applied for (outcome,) in done)
    assert (await balance_of(crowd, ANNA)).posted == 950
    await verified(crowd)


async def test_batches_that_name_the_same_accounts_in_any_order_all_arrive(
    crowd: UnitOfWork,
) -> None:
    people = [user(100 + n) for n in range(6)]
    await post(crowd, *(fund(person, 1000) for person in people))
    order = random.Random(7)
    batches = []
    for _ in range(30):
        pairs = [order.sample(people, 2) for _ in range(5)]
        batches.append([move(debit, credit, order.randint(1, 9)) for debit, credit in pairs])
    done = await asyncio.gather(*(post(crowd, *batch) for batch in batches))
    assert all(outcome.applied for outcomes in done for outcome in outcomes)
    await verified(crowd)


async def test_one_request_sent_fifty_times_at_once_is_applied_once(crowd: UnitOfWork) -> None:
    request = fund(ANNA, 10)
    done = await asyncio.gather(*(post(crowd, request) for _ in range(CALLERS)))
    assert Counter((o.applied, o.replayed) for (o,) in done) == {
        (True, False): 1,
        (True, True): CALLERS - 1,
    }
    assert (await balance_of(crowd, ANNA)).posted == 10
    await verified(crowd)


async def test_shuffled_duplicates_from_many_callers_are_each_decided_once(
    crowd: UnitOfWork,
) -> None:
    await post(crowd, fund(ANNA, 60))
    requests = [move(ANNA, user(100 + n % 5), 1) for n in range(80)]

    async def caller(seed: int) -> list[Outcome]:
        mine = random.Random(seed).sample(requests, len(requests))
        return [o for n in range(0, 80, 8) for o in await post(crowd, *mine[n : n + 8])]

    answers = await asyncio.gather(*(caller(seed) for seed in range(6)))
    decided: dict[object, set[bool]] = {}
    for outcome in (o for outcomes in answers for o in outcomes):
        decided.setdefault(outcome.id, set()).add(outcome.applied)
    assert all(len(verdicts) == 1 for verdicts in decided.values())
    assert Counter(verdict for (verdict,) in decided.values()) == {True: 60, False: 20}
    report = await verified(crowd)
    assert report.counts["entries"] == 81


async def test_one_id_raced_for_two_movements_goes_to_one_of_them(crowd: UnitOfWork) -> None:
    await post(crowd, *(fund(user(100 + n), 10) for n in range(20)))
    first = move(user(100), user(101), 1)
    rivals = [move(user(100 + n), user(101 + n), 1, id=first.id) for n in range(0, 20, 2)]
    done = await asyncio.gather(*(post(crowd, rival) for rival in rivals), return_exceptions=True)
    winners = [result for result in done if not isinstance(result, BaseException)]
    assert len(winners) == 1
    assert winners[0][0].applied
    assert all(isinstance(result, IdempotencyConflict) for result in done if result not in winners)
    await verified(crowd)


async def test_fifty_callers_may_open_one_account_at_once(crowd: UnitOfWork) -> None:
    done = await asyncio.gather(*(post(crowd, fund(CAROL, 1)) for _ in range(CALLERS)))
    assert all(outcome.applied for (outcome,) in done)
    assert (await balance_of(crowd, CAROL)).version == CALLERS


@pytest.mark.parametrize("seed", range(3))
async def test_capture_release_and_expiry_race_for_a_hold_and_nothing_is_lost(
    crowd: UnitOfWork, clock: ManualClock, seed: int
) -> None:
    await post(crowd, fund(ANNA, 100))
    held = hold(ANNA, BERK, 60, for_s=10)
    assert await results(crowd, held) == ["applied"]

    async def time_runs_out() -> list[Outcome]:
        clock.advance(timedelta(seconds=10))
        await expire_holds(crowd)
        return []

    rivals = [post(crowd, capture(held, 7)) for _ in range(6)]
    rivals += [post(crowd, release(held)) for _ in range(2)]
    rivals += [time_runs_out()]
    random.Random(seed).shuffle(rivals)
    done = await asyncio.gather(*rivals)
    captured = sum(o.applied for outcomes in done[:] for o in outcomes)
    anna, berk = await balance_of(crowd, ANNA), await balance_of(crowd, BERK)
    assert (anna.posted + berk.posted, anna.held) == (100, 0)
    assert berk.posted % 7 == 0
    assert captured in {berk.posted // 7, berk.posted // 7 + 1}
    report = await verified(crowd)
    assert report.counts["unsealed"] == report.counts["entries"]
