import asyncio
from uuid import UUID

import pytest

from server.kit.errors import IdempotencyConflict, InvalidRequest
from server.kit.idempotency import check_key, fingerprint, once
from server.kit.schema import Schema
from server.kit.unit_of_work import Tx, UnitOfWork

OWNER = UUID(int=7)


class Answer(Schema):
    number: int


class Work:
    """Counts how often it was really done."""

    def __init__(self) -> None:
        self.done = 0

    async def __call__(self) -> Answer:
        self.done += 1
        return Answer(number=self.done)


async def _once(uow: UnitOfWork, work: Work, *, key: str = "k", body: object = 1) -> Answer:
    async def command(tx: Tx) -> Answer:
        return await once(
            tx,
            tenant=1,
            owner=OWNER,
            operation="test",
            key=key,
            digest=fingerprint(body),
            answer_type=Answer,
            work=work,
        )

    return await uow.run(command)


async def test_the_same_key_and_body_give_the_first_answer(uow: UnitOfWork) -> None:
    work = Work()
    answers = [await _once(uow, work) for _ in range(3)]
    assert answers == [Answer(number=1)] * 3
    assert work.done == 1


async def test_the_same_key_with_another_body_is_a_conflict(uow: UnitOfWork) -> None:
    work = Work()
    await _once(uow, work, body=1)
    with pytest.raises(IdempotencyConflict):
        await _once(uow, work, body=2)
    assert work.done == 1


async def test_twenty_at_once_do_the_work_once(uow: UnitOfWork) -> None:
    work = Work()
    answers = await asyncio.gather(*(_once(uow, work) for _ in range(20)))
    assert answers == [Answer(number=1)] * 20


async def test_work_that_fails_leaves_the_key_free(uow: UnitOfWork) -> None:
    class Failing(Work):
        async def __call__(self) -> Answer:
            raise LookupError

    with pytest.raises(LookupError):
        await _once(uow, Failing())
    assert await _once(uow, Work()) == Answer(number=1)


@pytest.mark.parametrize("key", [None, "", "x" * 129, "with\nbreak", "café"])
def test_a_key_must_be_printable_and_short(key: str | None) -> None:
    with pytest.raises(InvalidRequest):
        check_key(key)
