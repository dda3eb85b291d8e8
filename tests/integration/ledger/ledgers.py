"""Short ways to a ledger on a real database."""

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import make_url

from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountRef,
    Balance,
    EntryRequest,
    LedgerReport,
    Outcome,
    balance,
    post_many,
    verify_ledger,
)
from tests.conftest import Database


async def post(uow: UnitOfWork, *requests: EntryRequest) -> list[Outcome]:
    return await uow.run(lambda tx: post_many(tx, requests))


async def results(uow: UnitOfWork, *requests: EntryRequest) -> list[str]:
    """Post and return "applied" or the reason for each request."""
    return [str(outcome.reason or "applied") for outcome in await post(uow, *requests)]


async def balance_of(uow: UnitOfWork, ref: AccountRef) -> Balance:
    return await uow.read(lambda tx: balance(tx, ref))


async def verified(uow: UnitOfWork) -> LedgerReport:
    """Return the report after asserting that nothing is broken."""
    report = await uow.read(verify_ledger)
    assert report.sound, report.as_text()
    return report


class RawSql:
    """A plain driver connection, as anybody with the password or the file has it."""

    def __init__(self, database: Database) -> None:
        self._url = make_url(database.url)
        self.dialect = database.dialect

    def id(self, value: UUID) -> UUID | bytes:
        return value if self.dialect == "postgresql" else value.bytes

    def execute(self, *statements: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run statements in one transaction and commit; marks are ``?``, in order.

        Marks are taken by the last statement. Errors are the driver's own.
        """
        if self.dialect == "sqlite":
            return self._sqlite(statements, values)
        return asyncio.run(self._postgresql(statements, values))

    async def run(self, *statements: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(lambda: self.execute(*statements, values=values))

    def _sqlite(self, statements: Sequence[str], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        assert self._url.database is not None
        connection = sqlite3.connect(self._url.database, isolation_level=None, timeout=10)
        try:
            connection.execute("BEGIN IMMEDIATE")
            rows: list[tuple[Any, ...]] = []
            for number, statement in enumerate(statements, start=1):
                last = number == len(statements)
                rows = connection.execute(statement, tuple(values) if last else ()).fetchall()
            connection.execute("COMMIT")
            return rows
        finally:
            connection.close()

    async def _postgresql(
        self, statements: Sequence[str], values: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        address = self._url.set(drivername="postgresql").render_as_string()
        connection = await asyncpg.connect(address)
        try:
            rows: list[tuple[Any, ...]] = []
            async with connection.transaction():
                for number, statement in enumerate(statements, start=1):
                    marked, given = statement, ()
                    if number == len(statements):
                        for place in range(1, len(values) + 1):
                            marked = marked.replace("?", f"${place}", 1)
                        given = tuple(values)
                    rows = [tuple(row) for row in await connection.fetch(marked, *given)]
            return rows
        finally:
            await connection.close()


REFUSALS = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
"""What a guard or constraint says; a statement that is merely wrong raises something else."""
