"""Movements of many callers in shared transactions, on both databases."""

import asyncio
import random
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.errors import IdempotencyConflict, Unavailable
from server.kit.unit_of_work import UnitOfWork
from server.ledger import EntryRequest, Outcome, Poster, post_groups
from tests.integration.ledger.ledgers import balance_of, post, results, verified
from tests.unit.ledger.books import ANNA, BERK, CAROL, capture, fresh_id, fund, hold, move, user


@pytest.fixture
async def poster(uow: UnitOfWork) -> Poster:
    await post(uow, fund(ANNA, 1000), fund(BERK, 1000))
    return Poster(uow)


async def _answers(poster: Poster, *requests: EntryRequest) -> list[str]:
    outcomes = await asyncio.gather(*map(poster.post, requests), return_exceptions=True)
    return [_word(outcome) for outcome in outcomes]


def _word(answer: Outcome | BaseException) -> str:
    if isinstance(answer, Outcome):
        return str(answer.reason or ("replayed" if answer.replayed else "applied"))
    return type(answer).__name__


async def test_each_gets_its_own_outcome(poster: Poster, uow: UnitOfWork) -> None:
    known = move(ANNA, BERK, 1)
    await post(uow, known)
    twice = move(ANNA, BERK, 2)
    answers = await _answers(
        poster,
        move(ANNA, CAROL, 10),
        move(CAROL, BERK, 11),
        move(CAROL, BERK, 10),
        known,
        move(BERK, ANNA, 5, id=known.id),
        twice,
        twice,
        move(ANNA, BERK, 3, id=twice.id),
        move(ANNA, BERK, 4),
    )
    assert answers == [
        "applied",
        "insufficient_funds",
        "applied",
        "replayed",
        "IdempotencyConflict",
        "applied",
        "replayed",
        "IdempotencyConflict",
        "applied",
    ]
    assert (await balance_of(uow, ANNA)).posted == 1000 - 10 - 1 - 2 - 4
    await verified(uow)


async def test_a_chain_is_applied_whole_or_not_and_alone(poster: Poster, uow: UnitOfWork) -> None:
    def chain(*amounts: int) -> list[EntryRequest]:
        link = fresh_id()
        return [move(ANNA, CAROL, amount, chain=link) for amount in amounts]

    good, bad, again = chain(1, 2), chain(3, 100_000), chain(4, 5)
    taken = [again[0], move(ANNA, CAROL, 6, id=again[1].id, chain=again[1].chain)]
    late = [move(ANNA, CAROL, 7, chain=good[0].chain)]
    answers = await asyncio.gather(
        *(poster.post_chain(group) for group in (good, bad, again, taken, late, again)),
        return_exceptions=True,
    )
    words = [
        _word(answer) if isinstance(answer, BaseException) else [_word(one) for one in answer]
        for answer in answers
    ]
    assert words == [
        ["applied", "applied"],
        ["chain_failed", "insufficient_funds"],
        ["applied", "applied"],
        "IdempotencyConflict",
        "IdempotencyConflict",
        ["replayed", "replayed"],
    ]
    assert (await balance_of(uow, CAROL)).posted == 1 + 2 + 4 + 5
    with pytest.raises(IdempotencyConflict):
        await poster.post_chain([*good, *late])
    await verified(uow)


async def test_a_conflict_leaves_what_it_shares_with_others(
    uow: UnitOfWork,
) -> None:
    """A group that contradicts the books is left out, not what another group has too."""
    await post(uow, fund(ANNA, 1000))
    used, shared, link = move(ANNA, CAROL, 1), move(ANNA, CAROL, 2), fresh_id()
    await post(uow, used)
    wrong = move(ANNA, CAROL, 9, id=used.id)
    never = move(ANNA, CAROL, 50)
    answers = await uow.run(
        lambda tx: post_groups(
            tx,
            [
                [shared, wrong, never],
                [shared],
                [],
                [move(ANNA, CAROL, 4, chain=link), wrong],
                [move(ANNA, CAROL, 8, chain=link)],
            ],
        )
    )
    assert isinstance(answers[0], IdempotencyConflict)
    assert isinstance(answers[3], IdempotencyConflict)
    assert not isinstance(answers[1], IdempotencyConflict)
    assert [_word(one) for one in answers[1]] == ["applied"]
    assert answers[2] == []
    assert (await balance_of(uow, CAROL)).posted in {1 + 2, 1 + 2 + 8}
    assert await results(uow, move(ANNA, CAROL, 51, id=never.id)) == ["applied"]
    await verified(uow)


async def test_a_memo_that_is_too_long_is_its_callers_alone(poster: Poster) -> None:
    answers = await _answers(
        poster, move(ANNA, BERK, 1), move(ANNA, BERK, 1, memo={"text": "x" * 5000})
    )
    assert answers == ["applied", "ValueError"]


async def test_tenants_share_a_transaction_and_nothing_else(
    poster: Poster, uow: UnitOfWork
) -> None:
    mine, theirs = user(1), user(1, tenant=2)
    request = fund(mine, 5)
    twin = fund(theirs, 7, id=request.id)
    assert await _answers(poster, twin, request, fund(theirs, 1)) == ["applied"] * 3
    assert (await balance_of(uow, theirs)).posted == 8
    with pytest.raises(ValueError, match="one tenant"):
        await poster.post_chain([fund(mine, 1), fund(theirs, 1)])


async def test_sixty_four_callers_drain_one_account_to_the_last_unit(
    poster: Poster, uow: UnitOfWork
) -> None:
    async def caller(number: int) -> int:
        took = 0
        for _ in range(20):
            took += (await poster.post(move(ANNA, user(100 + number), 1))).applied
        return took

    took = await asyncio.gather(*(caller(number) for number in range(64)))
    assert sum(took) == 1000
    assert (await balance_of(uow, ANNA)).posted == 0
    for number in range(64):
        assert (await balance_of(uow, user(100 + number))).posted == took[number]
    await verified(uow)


async def test_two_posters_and_single_writers_cross_without_a_loss(
    poster: Poster, uow: UnitOfWork, engine: AsyncEngine
) -> None:
    """Movements in both directions, repeated, shuffled, by two processes' worth of posters."""
    del engine
    other = Poster(uow)
    chance = random.Random(7)
    pairs = [(ANNA, BERK), (BERK, ANNA)]
    requests = [move(*pairs[number % 2], 1 + number % 5) for number in range(300)]
    copies = requests * 3
    chance.shuffle(copies)

    async def send(number: int, request: EntryRequest) -> Outcome:
        if number % 10 == 0:
            return (await post(uow, request))[0]
        return await (poster, other)[number % 2].post(request)

    outcomes = await asyncio.gather(*(send(n, request) for n, request in enumerate(copies)))
    assert all(outcome.applied for outcome in outcomes)
    fresh = [outcome.id for outcome in outcomes if not outcome.replayed]
    assert sorted(fresh) == sorted(request.id for request in requests)
    moved = sum(r.amount if r.debit == ANNA else -r.amount for r in requests)
    assert (await balance_of(uow, ANNA)).posted == 1000 - moved
    await verified(uow)


async def test_a_hold_is_taken_once_by_those_who_race_for_it(
    poster: Poster, uow: UnitOfWork
) -> None:
    request = hold(ANNA, BERK, 10)
    assert (await poster.post(request)).applied
    captures = [capture(request, 3) for _ in range(6)]
    answers = await _answers(poster, *captures)
    assert answers == ["applied"] * 3 + ["hold_exceeded"] * 3
    assert (await balance_of(uow, BERK)).posted == 1009
    await verified(uow)


async def test_a_full_queue_refuses_at_once_and_loses_nothing(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 1000))
    poster = Poster(uow, batch_max=10, waiting_max=50)
    requests = [move(ANNA, BERK, 1) for _ in range(80)]
    outcomes = await asyncio.gather(*map(poster.post, requests), return_exceptions=True)
    assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 30
    await poster.drained()
    assert (await balance_of(uow, BERK)).posted == 50
    again = [await poster.post(request) for request in requests]
    assert [outcome.replayed for outcome in again] == [
        isinstance(outcome, Outcome) for outcome in outcomes
    ]
    assert (await balance_of(uow, BERK)).posted == 80
    await verified(uow)


async def test_the_same_id_between_other_accounts_at_the_same_moment(
    poster: Poster, uow: UnitOfWork
) -> None:
    """Neither waits for the other's accounts: the key of the entry decides who has a conflict."""
    other = Poster(uow)
    for number in range(20):
        same: UUID = fresh_id()
        one = move(ANNA, user(200 + number), 1, id=same)
        two = move(BERK, user(300 + number), 1, id=same)
        neighbours = [move(ANNA, CAROL, 1), move(BERK, CAROL, 1)]
        answers = await asyncio.gather(
            poster.post(one),
            other.post(two),
            poster.post(neighbours[0]),
            other.post(neighbours[1]),
            return_exceptions=True,
        )
        words = [_word(answer) for answer in answers]
        assert sorted(words[:2]) == ["IdempotencyConflict", "applied"], words
        assert words[2:] == ["applied", "applied"]
    await verified(uow)
