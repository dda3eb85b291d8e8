import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.kit.db import create_engine
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.conftest import Database


async def test_an_error_of_the_database_does_not_tell_what_a_statement_carried(
    uow: UnitOfWork,
) -> None:
    async def command(tx: Tx) -> None:
        await tx.connection.execute(
            text("INSERT INTO no_such_table (a) VALUES (:a)"), {"a": "s3cret-value"}
        )

    with pytest.raises(DBAPIError) as failed:
        await uow.run(command)
    assert "no_such_table" in str(failed.value)
    assert "s3cret-value" not in str(failed.value)


@pytest.mark.parametrize("idle_s_max", [5.0, -1.0])
async def test_connections_that_the_server_ended_are_replaced(
    database: Database, uow: UnitOfWork, monkeypatch: pytest.MonkeyPatch, idle_s_max: float
) -> None:
    """Whether a connection was heard to end, or has to be asked because it was idle for long."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    monkeypatch.setattr("server.kit.db._IDLE_S_MAX", idle_s_max)

    async def backend(tx: Tx) -> int:
        return int((await tx.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    first = await asyncio.gather(*(uow.run(backend) for _ in range(5)))
    other = create_engine(database.url)
    async with other.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    await other.dispose()
    later = await asyncio.gather(*(uow.run(backend) for _ in range(5)))
    assert not set(first) & set(later)
