from itertools import pairwise

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.db import Base, create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import seal_once
from server.ledger.models import (
    AccountRow,
    AssetRow,
    EntryRow,
    HoldRow,
    LeafRow,
    PostingRow,
    SealRow,
    UnsealedRow,
)
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import post
from tests.unit.ledger.books import capture, fund, hold, move, release, user

ROWS = (AccountRow, AssetRow, EntryRow, HoldRow, LeafRow, PostingRow, SealRow, UnsealedRow)


async def test_rows_and_tables_agree(engine: AsyncEngine) -> None:
    def compare(connection: Connection) -> None:
        found = inspect(connection)
        for row in ROWS:
            table = Base.metadata.tables[row.__tablename__]
            columns = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
            assert columns == {c.name: c.nullable for c in table.columns}, table.name
            key = found.get_pk_constraint(table.name)["constrained_columns"]
            assert key == [c.name for c in table.primary_key], table.name
            indexes = {str(i["name"]) for i in found.get_indexes(table.name)}
            assert {str(i.name) for i in table.indexes} <= indexes, table.name

    async with engine.connect() as connection:
        await connection.run_sync(compare)


async def test_sqlite_tables_are_strict(uow: UnitOfWork) -> None:
    async def strict(tx: Tx) -> set[str]:
        if tx.dialect == "postgresql":
            pytest.skip("types are always strict there")
        rows = await tx.connection.exec_driver_sql(
            "SELECT name FROM pragma_table_list WHERE strict"
        )
        return {row[0] for row in rows}

    assert {row.__tablename__ for row in ROWS} <= await uow.read(strict)


async def test_a_first_load_on_empty_tables_is_not_planned_as_scans(
    database: Database, clock: ManualClock
) -> None:
    """Plans made while the tables were empty would be kept while they grow."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite plans by the schema alone here")
    engine = create_engine(database.url, pool_size=1)
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    people = [user(100 + n) for n in range(200)]
    for person in people[:20]:
        await post(uow, fund(person, 100))
    for _ in range(5):
        await post(uow, *(fund(person, 100) for person in people))
        held = [hold(person, people[0], 5) for person in people[1:50]]
        await post(uow, *held, *(capture(request, 5) for request in held))
    for n in range(50):
        await post(uow, move(people[n], people[n + 1], 1))

    async def rows_scanned(tx: Tx) -> dict[str, int]:
        await tx.connection.execute(text("SELECT pg_stat_force_next_flush()"))
        rows = await tx.connection.execute(
            text("SELECT relname, seq_tup_read FROM pg_stat_user_tables")
        )
        return {name: count for name, count in rows if name in {r.__tablename__ for r in ROWS}}

    await uow.run(rows_scanned)
    scanned = await uow.run(rows_scanned)
    await engine.dispose()
    assert {name: count for name, count in scanned.items() if count > 100 and name != "asset"} == {}


async def test_a_batch_on_a_grown_ledger_reads_only_its_own_rows(
    database: Database, clock: ManualClock
) -> None:
    """On empty tables reading all of a tenant through an index looks as cheap as reading by key."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite plans by the schema alone here")
    engine = create_engine(database.url, pool_size=1)
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    people = [user(100 + number) for number in range(300)]
    await post(uow, *(fund(person, 1000) for person in people))
    for _ in range(10):
        await post(uow, *(move(payer, payee, 1) for payer, payee in pairwise(people)))
        held = [hold(person, people[0], 5) for person in people[1:40]]
        await post(uow, *held, *(capture(request, 2) for request in held))
        await post(uow, *(release(request) for request in held))

    async def reads() -> dict[str, int]:
        async def flush(tx: Tx) -> None:
            await tx.connection.execute(text("SELECT pg_stat_force_next_flush()"))

        async def look(tx: Tx) -> dict[str, int]:
            rows = await tx.connection.execute(
                text("SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes")
            )
            return {row.indexrelname: row.idx_tup_read for row in rows}

        await uow.run(flush)
        return await uow.run(look)

    before = await reads()
    fresh = [hold(person, people[0], 5) for person in people[1:11]]
    await post(uow, *(move(people[n], people[n + 1], 1) for n in range(10)), *fresh)
    await post(uow, *(capture(request, 5) for request in fresh))
    after = await reads()
    await seal_once(uow)
    sealed = await reads()
    await engine.dispose()
    own = ("account", "entry", "posting", "hold", "unsealed", "leaf", "seal")
    many = {
        name: count
        for name, total in after.items()
        if name.removeprefix("ix_").startswith(own) and (count := total - before[name]) > 30 * 10
    }
    assert many == {}
    whole = sum(count - after[name] for name, count in sealed.items() if name.startswith("posting"))
    assert whole <= 4 * 1000
