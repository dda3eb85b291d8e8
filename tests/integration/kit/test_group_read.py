"""Readers share a statement; nobody gets an answer that is older than the question."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from server.kit.group_read import GroupRead
from server.kit.unit_of_work import Tx, UnitOfWork


async def test_those_who_ask_together_are_answered_together_each_with_its_own(
    uow: UnitOfWork,
) -> None:
    batches: list[int] = []

    async def double(_: Tx, questions: Sequence[int]) -> list[int]:
        batches.append(len(questions))
        return [2 * question for question in questions]

    reading = GroupRead(uow, double)
    answers = await asyncio.gather(*(reading.ask(number) for number in range(100)))
    assert answers == [2 * number for number in range(100)]
    assert len(batches) < 10
    assert sum(batches) == 100


async def test_an_answer_is_never_older_than_its_question(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await tx.connection.execute(text("CREATE TABLE told (number INTEGER)"))
        await tx.connection.execute(text("INSERT INTO told VALUES (0)"))

    await uow.run(command)

    async def look(tx: Tx, questions: Sequence[None]) -> list[int]:
        number = (await tx.connection.execute(text("SELECT number FROM told"))).scalar_one()
        return [number] * len(questions)

    reading = GroupRead(uow, look)
    asked = 0

    async def ask(after: int) -> None:
        nonlocal asked
        assert await reading.ask(None) >= after
        asked += 1

    waiting = []
    for number in range(1, 30):
        waiting += [asyncio.create_task(ask(number - 1)) for _ in range(3)]
        await uow.run(
            lambda tx, number=number: tx.connection.execute(  # type: ignore[misc]
                text("UPDATE told SET number = :number"), {"number": number}
            )
        )
        waiting += [asyncio.create_task(ask(number)) for _ in range(3)]
    await asyncio.gather(*waiting)
    assert asked == 29 * 6


async def test_a_failure_reaches_those_who_asked_and_nobody_after(uow: UnitOfWork) -> None:
    async def look(_: Tx, questions: Sequence[int]) -> list[int]:
        if 13 in questions:
            raise LookupError("thirteen")
        return list(questions)

    reading = GroupRead(uow, look)
    with pytest.raises(LookupError):
        await reading.ask(13)
    assert await reading.ask(7) == 7


async def test_a_caller_that_leaves_stops_nobody(uow: UnitOfWork) -> None:
    go = asyncio.Event()

    async def look(_: Tx, questions: Sequence[int]) -> list[int]:
        await go.wait()
        return list(questions)

    reading = GroupRead(uow, look)
    first = asyncio.create_task(reading.ask(1))
    others = [asyncio.create_task(reading.ask(number)) for number in range(2, 6)]
    await asyncio.sleep(0)
    first.cancel()
    others[0].cancel()
    go.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert answers[2:] == [3, 4, 5]
    assert isinstance(answers[0], asyncio.CancelledError)
