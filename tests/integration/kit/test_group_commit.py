"""Commands that share transactions, on both databases: each keeps its own answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool

from server.kit.db import create_engine
from server.kit.errors import Conflict, NotFound, TallyError, Unavailable
from server.kit.group_commit import GroupCommit
from server.kit.unit_of_work import Tx, UnitOfWork

pytestmark = pytest.mark.usefixtures("tables")


class Add(NamedTuple):
    """Write a number; ``fault`` says what goes wrong with it."""

    number: int
    fault: str | None = None


@pytest.fixture
async def tables(uow: UnitOfWork) -> None:
    async def create(tx: Tx) -> None:
        for statement in (
            "CREATE TABLE numbers (place INTEGER PRIMARY KEY, n INTEGER NOT NULL UNIQUE)",
            "CREATE TABLE parents (n INTEGER PRIMARY KEY)",
            "CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
        ):
            await tx.connection.execute(text(statement))

    await uow.run(create)


class Numbers:
    """A handler that writes numbers in the order in which it gets them, and counts its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def __call__(self, tx: Tx, commands: Sequence[Add]) -> Sequence[int | TallyError]:
        self.batches.append([command.number for command in commands])
        count = text("SELECT count(*) FROM numbers")
        place = (await tx.connection.execute(count)).scalar_one()
        answers: list[int | TallyError] = []
        for command in commands:
            if command.fault == "refused":
                answers.append(NotFound(f"no {command.number}"))
                continue
            if command.fault == "raises":
                raise LookupError(str(command.number))
            if command.fault == "refusal raised":
                raise Conflict(str(command.number))
            if command.fault == "database":
                await tx.connection.execute(text("INSERT INTO numbers VALUES (-1, NULL)"))
            if command.fault == "at commit":
                await tx.connection.execute(text("INSERT INTO children VALUES (7)"))
            await tx.connection.execute(
                text("INSERT INTO numbers VALUES (:place, :n)"),
                {"place": place, "n": command.number},
            )
            place += 1
            answers.append(command.number * 10)
        return answers


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
async def group(uow: UnitOfWork, numbers: Numbers) -> AsyncIterator[GroupCommit[Add, int]]:
    group = GroupCommit(uow, numbers)
    yield group
    await group.drained()
    pool = uow.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0


async def _written(uow: UnitOfWork) -> list[int]:
    async def read(tx: Tx) -> list[int]:
        rows = await tx.connection.execute(text("SELECT n FROM numbers ORDER BY place"))
        return [row[0] for row in rows]

    return await uow.read(read)


async def test_callers_share_transactions_in_order(
    group: GroupCommit[Add, int], numbers: Numbers, uow: UnitOfWork
) -> None:
    answers = await asyncio.gather(*(group.submit(Add(n)) for n in range(100)))
    assert answers == [n * 10 for n in range(100)]
    assert await _written(uow) == list(range(100))
    assert len(numbers.batches) <= 2


async def test_a_lone_command_waits_for_nobody(
    group: GroupCommit[Add, int], numbers: Numbers, uow: UnitOfWork
) -> None:
    assert await group.submit(Add(1)) == 10
    assert await group.submit(Add(2)) == 20
    assert numbers.batches == [[1], [2]]
    assert await _written(uow) == [1, 2]


async def test_a_batch_has_at_most_so_many(uow: UnitOfWork, numbers: Numbers) -> None:
    group = GroupCommit(uow, numbers, batch_max=7)
    await asyncio.gather(*(group.submit(Add(n)) for n in range(50)))
    assert max(map(len, numbers.batches)) == 7
    assert await _written(uow) == list(range(50))


async def test_each_has_its_own_refusal(group: GroupCommit[Add, int], uow: UnitOfWork) -> None:
    commands = [Add(n, "refused" if n % 3 == 0 else None) for n in range(30)]
    answers = await asyncio.gather(*map(group.submit, commands), return_exceptions=True)
    for command, answer in zip(commands, answers, strict=True):
        if command.fault is None:
            assert answer == command.number * 10
        else:
            assert isinstance(answer, NotFound)
            assert answer.detail == f"no {command.number}"
    assert await _written(uow) == [n for n in range(30) if n % 3]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("raises", LookupError),
        ("refusal raised", Conflict),
        ("database", IntegrityError),
        ("at commit", IntegrityError),
    ],
)
async def test_a_poisoned_command_fails_alone(
    group: GroupCommit[Add, int], uow: UnitOfWork, fault: str, error: type[Exception]
) -> None:
    poisoned = {5, 6, 40}
    commands = [Add(n, fault if n in poisoned else None) for n in range(64)]
    answers = await asyncio.gather(*map(group.submit, commands), return_exceptions=True)
    for command, answer in zip(commands, answers, strict=True):
        if command.number in poisoned:
            assert isinstance(answer, error)
        else:
            assert answer == command.number * 10
    assert await _written(uow) == [n for n in range(64) if n not in poisoned]


async def test_one_poisoned_command_costs_few_transactions(
    group: GroupCommit[Add, int], numbers: Numbers
) -> None:
    commands = [Add(n, "raises" if n == 77 else None) for n in range(128)]
    await asyncio.gather(*map(group.submit, commands), return_exceptions=True)
    assert len(numbers.batches) <= 2 + 2 * 7


async def test_a_handler_that_forgets_an_answer_writes_nothing(uow: UnitOfWork) -> None:
    numbers = Numbers()

    async def forget(tx: Tx, commands: Sequence[Add]) -> Sequence[int | TallyError]:
        return (await numbers(tx, commands))[1:]

    group = GroupCommit(uow, forget)
    answers = await asyncio.gather(
        *(group.submit(Add(n)) for n in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [ValueError] * 3
    assert await _written(uow) == []


async def test_the_first_caller_may_leave_and_nothing_of_the_others_is_lost(
    group: GroupCommit[Add, int], uow: UnitOfWork
) -> None:
    for steps in range(40):
        first = steps * 100
        callers = [asyncio.create_task(group.submit(Add(first + n))) for n in range(8)]
        for _ in range(steps):
            await asyncio.sleep(0)
        callers[0].cancel()
        callers[3].cancel()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        stayed = [n for n in range(8) if n not in {0, 3}]
        assert [answers[n] for n in stayed] == [(first + n) * 10 for n in stayed]
        written = set(await _written(uow))
        assert {first + n for n in stayed} <= written
        for n in (0, 3):
            assert answers[n] == (first + n) * 10 or isinstance(answers[n], asyncio.CancelledError)
            if isinstance(answers[n], int):
                assert first + n in written


async def test_a_command_withdrawn_before_its_batch_is_not_done(
    group: GroupCommit[Add, int], uow: UnitOfWork
) -> None:
    callers = [asyncio.create_task(group.submit(Add(n))) for n in range(10)]
    await asyncio.sleep(0)
    late = asyncio.create_task(group.submit(Add(99)))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(*callers)
    await group.drained()
    assert await _written(uow) == list(range(10))


async def test_when_the_work_itself_is_cancelled_nobody_waits_for_ever(
    group: GroupCommit[Add, int], uow: UnitOfWork
) -> None:
    for steps in range(30):
        first = steps * 100
        await group.drained()
        before = asyncio.all_tasks()
        callers = [asyncio.create_task(group.submit(Add(first + n))) for n in range(4)]
        await asyncio.sleep(0)
        (work,) = asyncio.all_tasks() - before - set(callers)
        for _ in range(steps):
            await asyncio.sleep(0)
        work.cancel()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        written = set(await _written(uow))
        for n, answer in enumerate(answers):
            assert answer == (first + n) * 10 or isinstance(answer, asyncio.CancelledError)
            if isinstance(answer, int):
                assert first + n in written
        assert await group.submit(Add(first + 99)) == (first + 99) * 10


async def test_too_many_are_told_at_once_to_come_later(uow: UnitOfWork, numbers: Numbers) -> None:
    group = GroupCommit(uow, numbers, batch_max=5, waiting_max=20)
    answers = await asyncio.gather(
        *(group.submit(Add(n)) for n in range(30)), return_exceptions=True
    )
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, Unavailable)]
    assert refused == list(range(20, 30))
    assert await _written(uow) == list(range(20))
    assert await group.submit(Add(30)) == 300


async def test_a_serialization_failure_is_tried_again_and_shown_to_nobody(
    uow: UnitOfWork,
) -> None:
    if uow.dialect != "postgresql":
        pytest.skip("SQLite has one writer")
    numbers = Numbers()
    all_have_read, tries = asyncio.Barrier(4), 0

    async def snapshot(tx: Tx, commands: Sequence[Add]) -> Sequence[int | TallyError]:
        nonlocal tries
        tries += 1
        await tx.connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        await tx.connection.execute(text("SELECT count(*) FROM numbers"))
        if tries <= 4:
            await all_have_read.wait()
        return await numbers(tx, commands)

    groups = [GroupCommit(uow, snapshot) for _ in range(4)]
    wanted = range(80)
    answers = await asyncio.gather(*(groups[n % 4].submit(Add(n)) for n in wanted))
    assert answers == [n * 10 for n in wanted]
    assert sorted(await _written(uow)) == list(wanted)
    assert tries > 4, "of four that read the same and wrote, at most one came through"


async def test_a_lost_connection_is_nobodys_fault(uow: UnitOfWork) -> None:
    if uow.dialect != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    numbers = Numbers()
    tries = 0

    async def cut_off(tx: Tx, commands: Sequence[Add]) -> Sequence[int | TallyError]:
        nonlocal tries
        tries += 1
        answers = await numbers(tx, commands)
        if tries == 1:
            await tx.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return answers

    group = GroupCommit(uow, cut_off)
    answers = await asyncio.gather(
        *(group.submit(Add(n)) for n in range(9)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Unavailable] * 9
    assert isinstance(answers[0], Unavailable)
    assert isinstance(answers[0].__cause__, DBAPIError)
    assert tries == 1
    again = await asyncio.gather(*(group.submit(Add(n)) for n in range(9)))
    assert again == [n * 10 for n in range(9)]
    assert await _written(uow) == list(range(9))


async def test_a_database_that_is_not_there(uow: UnitOfWork, numbers: Numbers) -> None:
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    if uow.dialect == "sqlite":
        url = "sqlite+aiosqlite:////nowhere/at/all.sqlite"
    engine = create_engine(url)
    gone = UnitOfWork(engine, clock=uow._clock, ids=uow._ids)
    group = GroupCommit(gone, numbers)
    answers = await asyncio.gather(
        *(group.submit(Add(n)) for n in range(9)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Unavailable] * 9
    assert numbers.batches == []
    await engine.dispose()
