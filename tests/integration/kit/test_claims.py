"""Keys claimed in batches mean what a key claimed alone means."""

import asyncio
from uuid import UUID

from server.kit.claims import Claim, change_answers, claim_many
from server.kit.errors import IdempotencyConflict
from server.kit.idempotency import once
from server.kit.unit_of_work import Tx, UnitOfWork

ADA, BOB = UUID(int=1), UUID(int=2)
Answers = list[bytes | IdempotencyConflict | None]


def claim(owner: UUID, key: str, digest: bytes = b"d", answer: bytes = b'"first"') -> Claim:
    return Claim(owner, key, digest, answer)


async def claimed(uow: UnitOfWork, *claims: Claim, tenant: int = 1) -> Answers:
    return await uow.run(lambda tx: claim_many(tx, tenant=tenant, operation="test", claims=claims))


async def test_a_key_is_new_once_for_its_owner_and_tenant(uow: UnitOfWork) -> None:
    assert await claimed(uow, claim(ADA, "k"), claim(BOB, "k"), claim(ADA, "other")) == [None] * 3
    again = await claimed(uow, claim(ADA, "k", answer=b'"second"'), claim(ADA, "new"))
    assert again == [b'"first"', None]
    assert await claimed(uow, claim(ADA, "k"), tenant=2) == [None]


async def test_another_request_under_a_known_key_is_a_conflict(uow: UnitOfWork) -> None:
    await claimed(uow, claim(ADA, "k"))
    known, conflict, new = await claimed(
        uow, claim(ADA, "k"), claim(ADA, "k", digest=b"x"), claim(BOB, "k", digest=b"x")
    )
    assert (known, new) == (b'"first"', None)
    assert isinstance(conflict, IdempotencyConflict)


async def test_of_equal_keys_in_one_batch_the_first_is_new(uow: UnitOfWork) -> None:
    first, second, other = await claimed(
        uow, claim(ADA, "k"), claim(ADA, "k", answer=b'"second"'), claim(ADA, "k", digest=b"x")
    )
    assert (first, second) == (None, b'"first"')
    assert isinstance(other, IdempotencyConflict)


async def test_an_answer_is_changed_in_the_transaction_that_claimed_it(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await claim_many(tx, tenant=1, operation="test", claims=[claim(ADA, "k"), claim(BOB, "k")])
        await change_answers(tx, tenant=1, operation="test", answers=[(ADA, "k", b'"no"')])

    await uow.run(command)
    assert await claimed(uow, claim(ADA, "k"), claim(BOB, "k")) == [b'"no"', b'"first"']


async def test_batches_with_the_same_keys_in_any_order_never_share_a_new_one(
    uow: UnitOfWork,
) -> None:
    keys = [f"k{at}" for at in range(40)]
    orders = [keys, keys[::-1], keys[20:] + keys[:20]]
    answers = await asyncio.gather(
        *(claimed(uow, *(claim(ADA, key) for key in order)) for order in orders for _ in range(3))
    )
    new = [answer for batch in answers for answer in batch if answer is None]
    assert len(new) == len(keys)


async def test_one_request_and_batches_know_each_others_keys(uow: UnitOfWork) -> None:
    await claimed(uow, claim(ADA, "k"))

    async def work() -> str:
        raise AssertionError("it was done before")

    async def command(tx: Tx) -> str:
        return await once(
            tx,
            tenant=1,
            owner=ADA,
            operation="test",
            key="k",
            digest=b"d",
            answer_type=str,
            work=work,
        )

    assert await uow.run(command) == "first"
