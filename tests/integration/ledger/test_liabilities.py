"""Publishing liabilities, and checking them as a user does, on both databases."""

import asyncio
import json
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from client_sdk.liabilities import ProofBroken, check_proof, read_root
from offline_protocol.keys import SoftwareSigner
from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    BooksUnbalanced,
    DayNotClosed,
    LiabilityRoot,
    NothingPublished,
    close_days,
    liability_roots,
    limit_account,
    prove_liability,
    publish_due_liabilities,
    publish_liabilities,
)
from server.ledger import liability_rounds as publishing
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import REFUSALS, RawSql, post, verified
from tests.unit.ledger.books import ANNA, START, fund, move, user

SIGNER = SoftwareSigner(bytes(range(32)))
TODAY, DAY = START.date(), timedelta(days=1)


async def _publish(uow: UnitOfWork, clock: ManualClock, day: int = 0) -> dict[str, LiabilityRoot]:
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=TODAY + day * DAY)
    return {root.asset: root for root in await publish_liabilities(uow, SIGNER)}


async def test_every_user_finds_their_own_money_in_the_published_sum(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    for n in range(1, 12):
        await post(uow, fund(user(n), n * 100))
        emergency = AccountRef(AccountKind.USER_EMERGENCY, "EUR", UUID(int=n))
        await post(uow, move(user(n), emergency, n))
    await post(uow, fund(user(3, "USD"), 77))
    roots = await _publish(uow, clock)
    assert {asset: (root.total, root.leaves) for asset, root in roots.items()} == {
        "EUR": (6600, 11),
        "USD": (77, 1),
    }
    published = read_root(json.dumps(roots["EUR"].as_json()))
    for n in range(1, 12):
        proof = await uow.read(partial(prove_liability, tenant=1, owner=UUID(int=n), asset="EUR"))
        included = check_proof(json.dumps(proof.as_json()), published)
        assert (included.user, included.balance) == (UUID(int=n), n * 100)
        other = read_root(json.dumps(roots["USD"].as_json()))
        with pytest.raises(ProofBroken):
            check_proof(json.dumps(proof.as_json()), other)
    assert await uow.read(lambda tx: liability_roots(tx, 1)) == list(roots.values())
    await verified(uow)


async def test_whoever_is_below_zero_or_at_zero_makes_the_sum_no_smaller(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, fund(user(1), 100), fund(user(2), 5), move(user(2), user(1), 5))
    await uow.run(lambda tx: limit_account(tx, user(3), floor=-500, reason="agreed", by="olga"))
    await post(uow, move(user(3), user(1), 40))
    root = (await _publish(uow, clock))["EUR"]
    assert (root.total, root.leaves, root.below_zero, root.below_zero_sum) == (145, 1, 1, -40)
    read_root(json.dumps(root.as_json()))
    for n in (2, 3, 4):
        with pytest.raises(NothingPublished):
            await uow.read(partial(prove_liability, tenant=1, owner=UUID(int=n), asset="EUR"))


async def test_a_round_is_that_of_a_closed_day_and_comes_once(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    assert await publish_due_liabilities(uow, SIGNER) == []
    with pytest.raises(DayNotClosed):
        await publish_liabilities(uow, SIGNER)
    await post(uow, fund(ANNA, 100))
    first = await _publish(uow, clock)
    await post(uow, fund(ANNA, 900))
    again = await asyncio.gather(*(publish_liabilities(uow, SIGNER) for _ in range(3)))
    assert again == [list(first.values())] * 3
    second = await _publish(uow, clock, 1)
    assert (first["EUR"].total, second["EUR"].total) == (100, 1000)
    assert (first["EUR"].number, second["EUR"].number) == (1, 2)
    assert first["EUR"].root != second["EUR"].root


async def test_two_at_once_publish_one_round(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, *(fund(user(n), n) for n in range(1, 20)))
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=TODAY)
    rounds = await asyncio.gather(*(publish_liabilities(uow, SIGNER) for _ in range(4)))
    assert all(each == rounds[0] for each in rounds)
    assert rounds[0][0].number == 1


async def test_salts_are_fresh_in_each_round_and_old_leaves_go(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, fund(ANNA, 100), fund(user(2), 50))
    roots = [(await _publish(uow, clock, day))["EUR"] for day in range(9)]
    assert len({root.root for root in roots}) == 9

    async def proof(number: int) -> bool:
        assert ANNA.owner is not None
        try:
            found = await uow.read(
                partial(prove_liability, tenant=1, owner=ANNA.owner, asset="EUR", number=number)
            )
        except NothingPublished:
            return False
        published = read_root(json.dumps(roots[number - 1].as_json()))
        return check_proof(json.dumps(found.as_json()), published).balance == 100

    assert [await proof(number) for number in range(1, 10)] == [False] * 2 + [True] * 7


async def test_what_was_published_stays(
    uow: UnitOfWork, clock: ManualClock, database: Database
) -> None:
    await post(uow, fund(ANNA, 100))
    await _publish(uow, clock)
    for statement in ("DELETE FROM liability_round", "UPDATE liability_round SET leaves = 9"):
        with pytest.raises(REFUSALS):
            await RawSql(database).run(statement)


async def test_balances_that_are_not_those_of_the_day_are_not_published(
    uow: UnitOfWork, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(DAY)
    await close_days(uow, SIGNER, upto=TODAY)
    hidden = publishing._OWED.replace("sum(balance)", "sum(balance) - 1")
    monkeypatch.setattr(publishing, "_OWED", hidden)
    with pytest.raises(BooksUnbalanced):
        await publish_liabilities(uow, SIGNER)
