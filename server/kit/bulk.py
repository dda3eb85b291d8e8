"""Thousands of rows in one statement, read by their ids or written.

The statements go to the driver as they are: put together parameter by parameter they would cost
more than the database needs for them. Values are what the driver takes: bytes, text, integers,
booleans (0 and 1 come back from SQLite), None. Names of tables and columns are constants of the
caller, never input.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from server.kit.unit_of_work import Tx

T = TypeVar("T")
_MARKS_MAX = 4_096
"""SQLite takes 32,766 parameters in a statement."""


async def rows_among(
    tx: Tx,
    table: str,
    columns: str,
    *,
    tenant: int,
    column: str,
    values: Iterable[Any],
    value_type: str = "bytea",
    where: str = "",
) -> list[Sequence[Any]]:
    """Return some columns of the tenant's rows in which a column has one of the values.

    ``value_type`` is PostgreSQL's name for the column's type, ``where`` a further condition.
    """
    wanted = list(dict.fromkeys(values))
    if not wanted:
        return []
    further = f" AND {where}" if where else ""
    if tx.dialect == "postgresql":
        # A join: with an array of unknown length the planner could prefer to read a whole table.
        statement = (
            f"SELECT {columns} FROM unnest($2::{value_type}[]) AS wanted "  # noqa: S608 - constants
            f"(wanted_value) JOIN {table} ON {column} = wanted_value WHERE tenant = $1{further}"
        )
        return list(await tx.connection.exec_driver_sql(statement, (tenant, wanted)))
    driver = await _driver(tx)
    found: list[Sequence[Any]] = []
    for part in _parts(wanted):
        slots = 1 << (len(part) - 1).bit_length()
        statement = (
            f"SELECT {columns} FROM {table} WHERE tenant = ? "  # noqa: S608 - constants and marks
            f"AND {column} IN ({', '.join('?' * slots)}){further}"
        )
        padding = [None] * (slots - len(part))
        found += await driver.execute_fetchall(statement, (tenant, *part, *padding))
    return found


async def rows_of_pairs(
    tx: Tx,
    table: str,
    columns: str,
    *,
    tenant: int,
    pair: Mapping[str, str],
    values: Iterable[tuple[Any, Any]],
    where: str,
) -> list[Sequence[Any]]:
    """Return some columns of the tenant's rows in which two columns have one of the pairs.

    ``pair`` names the two, with PostgreSQL's names of their types; ``where`` is one condition more.
    """
    wanted = list(dict.fromkeys(values))
    if not wanted:
        return []
    (first, first_type), (second, second_type) = pair.items()
    join = f"JOIN {table} t ON t.{first} = wanted_first AND t.{second} = wanted_second"
    if tx.dialect == "postgresql":
        statement = (
            f"SELECT {columns} FROM unnest($2::{first_type}[], $3::{second_type}[]) "  # noqa: S608
            f"AS wanted (wanted_first, wanted_second) {join} WHERE t.tenant = $1 AND {where}"
        )
        parameters = (tenant, [one for one, _ in wanted], [other for _, other in wanted])
        return list(await tx.connection.exec_driver_sql(statement, parameters))
    driver = await _driver(tx)
    found: list[Sequence[Any]] = []
    for part in _parts(wanted):
        slots = 1 << (len(part) - 1).bit_length()
        marks = ", ".join(["(?, ?)"] * slots)
        statement = (
            f"WITH wanted (wanted_first, wanted_second) AS (VALUES {marks}) "  # noqa: S608
            f"SELECT {columns} FROM wanted CROSS {join} WHERE t.tenant = ? AND {where}"
        )
        flat = [value for one in part for value in one]
        padding = [None] * (2 * (slots - len(part)))
        found += await driver.execute_fetchall(statement, (*flat, *padding, tenant))
    return found


async def pairs_repeated(
    tx: Tx,
    table: str,
    *,
    tenant: int,
    columns: tuple[str, str],
    pairs: Iterable[tuple[bytes, int]],
) -> list[tuple[bytes, int]]:
    """Return which of these values of two columns stand in several of the tenant's rows."""
    first, second = columns
    return await _joined(
        tx,
        f"t.{first}, t.{second}",
        f"JOIN {table} t ON t.{first} = wanted_first AND t.{second} = wanted_second",
        "GROUP BY 1, 2 HAVING count(*) > 1",
        tenant=tenant,
        pairs=pairs,
    )


async def counts_from(
    tx: Tx,
    table: str,
    *,
    tenant: int,
    columns: tuple[str, str],
    starts: Iterable[tuple[bytes, int]],
) -> list[tuple[bytes, int]]:
    """Return for values of one column how many rows have that, and another not below its start."""
    first, second = columns
    return await _joined(
        tx,
        f"t.{first}, count(*)",
        f"JOIN {table} t ON t.{first} = wanted_first AND t.{second} >= wanted_second",
        "GROUP BY 1",
        tenant=tenant,
        pairs=starts,
    )


async def _joined(
    tx: Tx, columns: str, join: str, tail: str, *, tenant: int, pairs: Iterable[tuple[bytes, int]]
) -> list[tuple[bytes, int]]:
    """Go with pairs into an index, row by row: no planner may prefer to read a whole table."""
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return []
    if tx.dialect == "postgresql":
        statement = (
            f"SELECT {columns} FROM unnest($2::bytea[], $3::bigint[]) "  # noqa: S608 - constants
            f"AS wanted (wanted_first, wanted_second) {join} WHERE t.tenant = $1 {tail}"
        )
        parameters = (tenant, [one for one, _ in wanted], [other for _, other in wanted])
        answer: Iterable[Sequence[Any]] = await tx.connection.exec_driver_sql(statement, parameters)
        return [(one, other) for one, other in answer]
    driver = await _driver(tx)
    found: list[tuple[bytes, int]] = []
    for part in _parts(wanted):
        slots = 1 << (len(part) - 1).bit_length()
        marks = ", ".join(["(?, ?)"] * slots)
        statement = (
            f"WITH wanted (wanted_first, wanted_second) AS (VALUES {marks}) "  # noqa: S608
            f"SELECT {columns} FROM wanted CROSS {join} WHERE t.tenant = ? {tail}"
        )
        flat = [value for pair in part for value in pair]
        padding = [None] * (2 * (slots - len(part)))
        found += await driver.execute_fetchall(statement, (*flat, *padding, tenant))
    return found


async def insert_rows(
    tx: Tx, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows; each has a value for every column, in their order.

    Raises:
        DBAPIError: the database refused one, and with it all of them.
    """
    if not rows:
        return
    if tx.dialect == "postgresql":
        await _copy(tx, table, columns, rows)
        return
    driver = await _driver(tx)
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
    async with driver.executemany(statement, rows):
        pass


def id_value(tx: Tx, value: UUID) -> UUID | bytes:
    """Return an id as this database's driver takes it (see `server.kit.db.Id`)."""
    return value if tx.dialect == "postgresql" else value.bytes


def json_text(value: object) -> str:
    """Return a document as both databases take it (see `server.kit.db.Json`)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


async def _copy(tx: Tx, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra

    driver = await _driver(tx)
    if not driver.is_in_transaction():
        # It begins with the first statement that SQLAlchemy sends, and COPY is not sent by it.
        await tx.connection.exec_driver_sql("SELECT 1")
    try:
        await driver.copy_records_to_table(table, records=rows, columns=list(columns))
    except asyncpg.PostgresError as error:
        raise DBAPIError(f"COPY {table}", None, cast("Any", error), hide_parameters=True) from error


async def _driver(tx: Tx) -> Any:
    pooled = await tx.connection.get_raw_connection()
    assert pooled.driver_connection is not None
    return pooled.driver_connection


def _parts(values: list[T]) -> Iterator[list[T]]:
    return (values[at : at + _MARKS_MAX] for at in range(0, len(values), _MARKS_MAX))
