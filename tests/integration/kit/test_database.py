import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.kit.unit_of_work import Tx, UnitOfWork


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
