"""The outbox: facts are stored with what made them true."""

from typing import ClassVar
from uuid import UUID

import pytest
from sqlalchemy import text

from server.kit.outbox import BODY_BYTES_MAX, Event, emit
from server.kit.unit_of_work import Tx, UnitOfWork

TENANT = 1


class Moved(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "tests"
    type: ClassVar[str] = "thing.moved"

    thing: str
    number: int = 0
    whose: UUID | None = None

    def key(self) -> str:
        return self.thing


async def _stored(uow: UnitOfWork) -> list[tuple[str, int, str, str]]:
    async def query(tx: Tx) -> list[tuple[str, int, str, str]]:
        rows = await tx.connection.execute(
            text("SELECT type, version, key, body FROM outbox ORDER BY place")
        )
        return [tuple(row) for row in rows]

    return await uow.read(query)


async def test_events_are_stored_in_the_order_in_which_they_were_emitted(uow: UnitOfWork) -> None:
    whose = UUID(int=7)

    async def command(tx: Tx) -> None:
        await emit(tx, Moved(thing="a", number=1, whose=whose), tenant=TENANT)
        await emit(tx, *(Moved(thing="b", number=n) for n in range(2, 200)), tenant=TENANT)
        await emit(tx, tenant=TENANT)

    await uow.run(command)

    rows = await _stored(uow)
    assert rows[0] == (
        "thing.moved",
        1,
        "a",
        f'{{"thing":"a","number":1,"whose":"{whose}"}}',
    )
    assert [row[3].partition('"number":')[2].partition(",")[0] for row in rows] == [
        str(n) for n in range(1, 200)
    ]


@pytest.mark.parametrize("many", [1, 100])
async def test_nothing_is_told_of_what_was_rolled_back(uow: UnitOfWork, many: int) -> None:
    async def command(tx: Tx) -> None:
        await emit(tx, *(Moved(thing="a", number=n) for n in range(many)), tenant=TENANT)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await uow.run(command)

    assert await _stored(uow) == []


@pytest.mark.parametrize(
    "event",
    [Moved(thing=""), Moved(thing="x" * 129), Moved(thing="x", number=1, whose=None)],
    ids=["no key", "long key", "fits"],
)
async def test_a_key_that_orders_nothing_is_refused(uow: UnitOfWork, event: Moved) -> None:
    async def command(tx: Tx) -> None:
        await emit(tx, event, tenant=TENANT)

    if event.thing == "x":
        await uow.run(command)
        return
    with pytest.raises(ValueError, match="characters"):
        await uow.run(command)
    assert await _stored(uow) == []


class Large(Moved, frozen=True, kw_only=True):
    type: ClassVar[str] = "thing.grown"
    note: str


async def test_a_body_that_brokers_would_refuse_is_refused_here(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await emit(tx, Large(thing="a", note="x" * BODY_BYTES_MAX), tenant=TENANT)

    with pytest.raises(ValueError, match="bytes"):
        await uow.run(command)
