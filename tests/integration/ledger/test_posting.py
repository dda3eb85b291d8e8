from uuid import UUID

import pytest

from server.kit.errors import IdempotencyConflict
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import InsufficientFunds, Refusal, close_account, post_many
from server.ledger.entries import BATCH_MAX
from server.ledger.errors import AccountInUse
from tests.conftest import Database
from tests.integration.ledger.ledgers import (
    REFUSALS,
    RawSql,
    balance_of,
    post,
    results,
    verified,
)
from tests.unit.ledger.books import ANNA, BERK, CAROL, GATEWAY, fresh_id, fund, hold, move, user

CHAIN = UUID(int=500)


async def test_a_movement_is_booked_on_both_sides(uow: UnitOfWork) -> None:
    assert await results(uow, fund(ANNA, 100), move(ANNA, BERK, 30)) == ["applied", "applied"]
    anna, berk, gateway = [await balance_of(uow, ref) for ref in (ANNA, BERK, GATEWAY)]
    assert (anna.posted, berk.posted, gateway.posted) == (70, 30, -100)
    assert gateway.shown == 100
    assert (anna.version, berk.version) == (2, 1)
    await verified(uow)


async def test_nothing_to_post_is_no_error(uow: UnitOfWork) -> None:
    assert await post(uow) == []


async def test_an_unopened_account_has_nothing(uow: UnitOfWork) -> None:
    assert await results(uow, move(ANNA, BERK, 1)) == ["insufficient_funds"]
    assert (await balance_of(uow, CAROL)).available == 0


async def test_the_same_request_again_gives_the_first_answer(uow: UnitOfWork) -> None:
    request = fund(ANNA, 100)
    first, again = [(await post(uow, request))[0] for _ in range(2)]
    assert first.applied
    assert again.applied
    assert (first.replayed, again.replayed) == (False, True)
    assert (await balance_of(uow, ANNA)).posted == 100


async def test_a_refusal_is_final_also_when_money_came_meanwhile(uow: UnitOfWork) -> None:
    request = move(ANNA, BERK, 10)
    assert await results(uow, request) == ["insufficient_funds"]
    await post(uow, fund(ANNA, 100))
    (outcome,) = await post(uow, request)
    assert outcome.replayed
    assert outcome.reason is Refusal.INSUFFICIENT_FUNDS
    with pytest.raises(InsufficientFunds):
        outcome.raise_for_refusal()
    assert await results(uow, move(ANNA, BERK, 10)) == ["applied"]


async def test_a_known_id_with_another_request_is_a_conflict_and_nothing_is_written(
    uow: UnitOfWork,
) -> None:
    request = fund(ANNA, 100)
    await post(uow, request)
    with pytest.raises(IdempotencyConflict):
        await post(uow, fund(BERK, 5), fund(ANNA, 101, id=request.id))
    assert (await balance_of(uow, BERK)).posted == 0
    assert (await balance_of(uow, ANNA)).posted == 100


async def test_a_request_twice_in_one_batch_is_one_movement(uow: UnitOfWork) -> None:
    request = fund(ANNA, 100)
    outcomes = await post(uow, request, fund(BERK, 1), request)
    assert [outcome.replayed for outcome in outcomes] == [False, False, True]
    assert (await balance_of(uow, ANNA)).posted == 100


async def test_one_id_for_two_requests_of_a_batch_is_a_conflict(uow: UnitOfWork) -> None:
    request = fund(ANNA, 100)
    with pytest.raises(IdempotencyConflict):
        await post(uow, request, fund(ANNA, 99, id=request.id))


async def test_a_chain_is_stored_whole_and_replayed_whole(uow: UnitOfWork) -> None:
    chain = [move(ANNA, BERK, 10, chain=CHAIN), move(BERK, CAROL, 11, chain=CHAIN)]
    await post(uow, fund(ANNA, 10))
    assert await results(uow, *chain) == ["chain_failed", "insufficient_funds"]
    await post(uow, fund(BERK, 100))
    assert await results(uow, *chain) == ["chain_failed", "insufficient_funds"]
    assert (await balance_of(uow, ANNA)).posted == 10


async def test_nothing_joins_a_chain_afterwards(uow: UnitOfWork) -> None:
    first = fund(ANNA, 10, chain=CHAIN)
    await post(uow, first)
    with pytest.raises(IdempotencyConflict):
        await post(uow, first, move(ANNA, BERK, 5, chain=CHAIN))


async def test_several_calls_in_one_transaction_see_each_other(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await post_many(tx, [fund(ANNA, 10)])
        (outcome,) = await post_many(tx, [move(ANNA, BERK, 10)])
        assert outcome.applied

    await uow.run(command)
    assert (await balance_of(uow, BERK)).posted == 10


async def test_a_command_that_raises_leaves_no_entry(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await post_many(tx, [fund(ANNA, 10)])
        raise LookupError

    with pytest.raises(LookupError):
        await uow.run(command)
    report = await verified(uow)
    assert report.counts["entries"] == 0


async def test_tenants_do_not_see_each_other(uow: UnitOfWork) -> None:
    request, elsewhere = fund(ANNA, 10), fund(user(1, tenant=2), 20)
    same_id = fund(user(2, tenant=2), 5, id=request.id)
    await post(uow, request)
    assert await results(uow, elsewhere, same_id) == ["applied", "applied"]
    assert (await balance_of(uow, ANNA)).posted == 10
    await verified(uow)


async def test_a_batch_is_for_one_tenant(uow: UnitOfWork) -> None:
    with pytest.raises(ValueError, match="one tenant"):
        await post(uow, fund(ANNA, 1), fund(user(1, tenant=2), 1))


async def test_a_batch_has_a_limit_that_both_databases_take(uow: UnitOfWork) -> None:
    requests = [fund(user(number), 1) for number in range(BATCH_MAX)]
    with pytest.raises(ValueError, match="the most is"):
        await post(uow, *requests, fund(ANNA, 1))
    assert set(await results(uow, *requests)) == {"applied"}
    assert (await balance_of(uow, GATEWAY)).posted == -BATCH_MAX


async def test_currencies_are_kept_apart(uow: UnitOfWork) -> None:
    await post(uow, fund(ANNA, 10))
    assert await results(uow, move(user(1, "JPY"), user(2, "JPY"), 1)) == ["insufficient_funds"]


async def test_an_account_closes_only_when_it_is_empty(uow: UnitOfWork, database: Database) -> None:
    await post(uow, fund(ANNA, 10), hold(ANNA, BERK, 10))
    with pytest.raises(AccountInUse):
        await uow.run(lambda tx: close_account(tx, ANNA))
    await post(uow, fund(BERK, 5), move(BERK, GATEWAY, 5))
    await uow.run(lambda tx: close_account(tx, BERK))
    await uow.run(lambda tx: close_account(tx, BERK))
    assert (
        await results(uow, fund(BERK, 5), move(BERK, ANNA, 1, id=fresh_id()))
        == ["account_closed"] * 2
    )
    await verified(uow)
    with pytest.raises(REFUSALS):
        await RawSql(database).run("UPDATE account SET closed_at = NULL")
