import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

from server.kit.unit_of_work import Tx, UnitOfWork


@pytest.fixture
async def counter(uow: UnitOfWork) -> None:
    async def create(tx: Tx) -> None:
        await tx.connection.execute(text("CREATE TABLE counter (n INTEGER NOT NULL)"))
        await tx.connection.execute(text("INSERT INTO counter VALUES (0)"))

    await uow.run(create)


async def _read(tx: Tx) -> int:
    return int((await tx.connection.execute(text("SELECT n FROM counter"))).scalar_one())


@pytest.mark.usefixtures("counter")
async def test_concurrent_commands_lose_no_update(uow: UnitOfWork) -> None:
    async def increment(tx: Tx) -> None:
        lock = " FOR UPDATE" if tx.dialect == "postgresql" else ""
        n = (await tx.connection.execute(text(f"SELECT n FROM counter{lock}"))).scalar_one()
        await tx.connection.execute(text("UPDATE counter SET n = :n"), {"n": n + 1})

    await asyncio.gather(*(uow.run(increment) for _ in range(50)))
    assert await uow.read(_read) == 50


@pytest.mark.usefixtures("counter")
async def test_a_command_that_raises_changes_nothing(uow: UnitOfWork) -> None:
    async def fail(tx: Tx) -> None:
        await tx.connection.execute(text("UPDATE counter SET n = 7"))
        raise LookupError

    with pytest.raises(LookupError):
        await uow.run(fail)
    assert await uow.read(_read) == 0


@pytest.mark.usefixtures("counter")
async def test_a_read_cannot_write_on_postgresql_and_rolls_back_nothing(uow: UnitOfWork) -> None:
    assert await uow.read(_read) == 0
    assert await uow.run(_read) == 0


@pytest.mark.usefixtures("counter")
async def test_a_command_that_is_cancelled_anywhere_leaves_no_half_and_no_open_transaction(
    uow: UnitOfWork,
) -> None:
    async def increment_twice(tx: Tx) -> None:
        await tx.connection.execute(text("SELECT count(*) FROM counter"))
        for _ in range(2):
            await tx.connection.execute(text("UPDATE counter SET n = n + 1"))

    done = 0
    for steps in range(60):
        task = asyncio.create_task(uow.run(increment_twice))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        done += outcome is None
        await uow.read(_read)
        await asyncio.wait_for(uow.run(increment_twice), 60)
        done += 1
    await uow.drained()
    counted = await uow.read(_read)
    assert counted % 2 == 0
    assert counted >= 2 * done
    await uow.run(increment_twice)
    assert await uow.read(_read) == counted + 2
    pool = uow.engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedout() == 0


async def test_commands_of_one_turn_wait_without_a_connection(uow: UnitOfWork) -> None:
    pool = uow.engine.pool
    assert isinstance(pool, QueuePool)
    most = 0

    async def look(_: Tx) -> None:
        nonlocal most
        most = max(most, pool.checkedout())
        await asyncio.sleep(0)

    await asyncio.gather(*(uow.run(look, turn="one at a time") for _ in range(20)))
    assert most == 1
