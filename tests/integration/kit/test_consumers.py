"""Our own readers of events: each effect once, failures set aside, order kept behind them."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from server.kit.consumers import Consumer, consume, forget_seen, receive, retry
from server.kit.dead_letters import ATTEMPTS_MAX, dead_letters, drop_letter, try_again
from server.kit.errors import Conflict
from server.kit.event_log import Told, events_after, number_events
from server.kit.event_readers import readers
from server.kit.outbox import emit
from server.kit.unit_of_work import Tx, UnitOfWork
from tests.fakes.clock import ManualClock
from tests.integration.kit.test_outbox import TENANT, Moved


class Effects:
    """A table into which a consumer writes, and the events that it fails for."""

    def __init__(self, uow: UnitOfWork) -> None:
        self.uow = uow
        self.failing: set[int] = set()
        self.error: Exception = Conflict("not now")

    async def write(self, tx: Tx, told: Told) -> None:
        number = told.data()["number"]
        await tx.connection.execute(
            text("INSERT INTO effect (key, number) VALUES (:key, :number)"),
            {"key": told.key, "number": number},
        )
        if number in self.failing:
            raise self.error

    async def all(self) -> list[int]:
        async def query(tx: Tx) -> list[int]:
            rows = await tx.connection.execute(text("SELECT number FROM effect ORDER BY place"))
            return list(rows.scalars())

        return await self.uow.read(query)


@pytest.fixture
async def effects(uow: UnitOfWork) -> Effects:
    place = "INTEGER PRIMARY KEY" if uow.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"

    async def create(tx: Tx) -> None:
        # No unique number: a doubled effect must show.
        await tx.connection.execute(
            text(f"CREATE TABLE effect (place {place}, key TEXT, number INTEGER)")
        )

    await uow.run(create)
    return Effects(uow)


@pytest.fixture
def consumer(effects: Effects) -> Consumer:
    return Consumer("tests", effects.write, frozenset({"tests"}))


async def _tell(uow: UnitOfWork, numbers: Sequence[int], keys: int = 2) -> None:
    events = [Moved(thing=str(n % keys), number=n) for n in numbers]
    await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))
    while await number_events(uow, TENANT):
        pass


async def _drain(uow: UnitOfWork, consumer: Consumer) -> None:
    while await consume(uow, TENANT, consumer):
        pass


async def test_each_event_has_its_effect_once_and_in_order(
    uow: UnitOfWork, effects: Effects, consumer: Consumer
) -> None:
    await _tell(uow, range(250))
    await _drain(uow, consumer)
    await _tell(uow, range(250, 260))
    await _drain(uow, consumer)
    assert await effects.all() == list(range(260))


async def test_other_topics_are_passed_over_and_not_looked_at_again(
    uow: UnitOfWork, effects: Effects
) -> None:
    await _tell(uow, range(250))
    deaf = Consumer("deaf", effects.write, frozenset({"others"}))
    assert await consume(uow, TENANT, deaf) == 0

    [reader] = await uow.read(lambda tx: readers(tx, TENANT))
    assert (reader.name, reader.sequence) == ("deaf", 250)


async def test_processes_that_race_do_not_double_an_effect(
    uow: UnitOfWork, effects: Effects, consumer: Consumer
) -> None:
    await _tell(uow, range(300))

    async def work() -> None:
        for _ in range(8):
            await consume(uow, TENANT, consumer)

    await asyncio.gather(*(work() for _ in range(6)))
    await _drain(uow, consumer)
    assert await effects.all() == list(range(300))


async def test_an_event_that_fails_holds_up_its_own_key_only(
    uow: UnitOfWork, effects: Effects, consumer: Consumer, clock: ManualClock
) -> None:
    effects.failing = {4}
    await _tell(uow, range(10))
    await _drain(uow, consumer)
    assert await effects.all() == [0, 1, 2, 3, 5, 7, 9]
    letters = await uow.read(lambda tx: dead_letters(tx, TENANT, consumer="tests"))
    assert [(letter.sequence - 1, letter.attempts, letter.error) for letter in letters] == [
        (4, 1, "Conflict: not now"),
        (6, 0, "waits for an earlier one"),
        (8, 0, "waits for an earlier one"),
    ]
    clock.advance(timedelta(seconds=1))
    assert await retry(uow, TENANT, consumer) == 0

    effects.failing = set()
    clock.advance(timedelta(minutes=1))
    await _tell(uow, [10])
    await _drain(uow, consumer)
    assert await effects.all() == [0, 1, 2, 3, 5, 7, 9, 4, 6, 8, 10]
    assert await uow.read(lambda tx: dead_letters(tx, TENANT)) == []


async def test_many_are_done_at_once_and_one_that_fails_is_found_among_them(
    uow: UnitOfWork, effects: Effects
) -> None:
    sizes: list[int] = []

    async def write_many(tx: Tx, events: Sequence[Told]) -> None:
        sizes.append(len(events))
        for told in events:
            await effects.write(tx, told)

    many = Consumer("many", effects.write, frozenset({"tests"}), handle_many=write_many)
    await _tell(uow, range(20))
    await _drain(uow, many)
    assert (sizes, await effects.all()) == ([20], list(range(20)))

    effects.failing = {25}
    await _tell(uow, range(20, 30))
    await _drain(uow, many)
    assert await effects.all() == [*range(25), 26, 28]
    await _tell(uow, [30, 31])
    await _drain(uow, many)
    assert await effects.all() == [*range(25), 26, 28, 30]
    assert sizes[-1] == 1, "what waits for an earlier one is no part of it"
    letters = await uow.read(lambda tx: dead_letters(tx, TENANT, consumer="many"))
    assert [letter.sequence - 1 for letter in letters] == [25, 27, 29, 31]


async def test_without_order_nothing_waits_for_another(uow: UnitOfWork, effects: Effects) -> None:
    effects.failing = {4}
    loose = Consumer("loose", effects.write, frozenset({"tests"}), ordered=False)
    await _tell(uow, range(10))
    await _drain(uow, loose)
    assert await effects.all() == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("kind", ["refusal", "database", "bug"])
async def test_a_dead_event_waits_for_an_operator(
    uow: UnitOfWork, effects: Effects, consumer: Consumer, clock: ManualClock, kind: str
) -> None:
    effects.failing = {0}
    effects.error = {
        "refusal": Conflict("no"),
        "database": IntegrityError("INSERT secret", None, ValueError("secret")),
        "bug": KeyError("secret"),
    }[kind]
    await _tell(uow, [0, 2, 1])
    await _drain(uow, consumer)
    for _ in range(ATTEMPTS_MAX + 3):
        clock.advance(timedelta(hours=1))
        await _drain(uow, consumer)
    letters = await uow.read(lambda tx: dead_letters(tx, TENANT))
    assert [(letter.state, letter.attempts) for letter in letters] == [
        ("dead", ATTEMPTS_MAX),
        ("waiting", 0),
    ]
    assert "secret" not in letters[0].error
    assert await effects.all() == [1]

    effects.failing = set()
    assert await uow.run(lambda tx: try_again(tx, TENANT, "tests")) == 1
    await _drain(uow, consumer)
    assert await effects.all() == [1, 0, 2]


async def test_a_dead_event_that_is_dropped_lets_the_others_go_on(
    uow: UnitOfWork, effects: Effects, consumer: Consumer
) -> None:
    effects.failing = {0}
    await _tell(uow, [0, 2])
    await _drain(uow, consumer)
    [first, _] = await uow.read(lambda tx: dead_letters(tx, TENANT))
    assert await uow.run(lambda tx: drop_letter(tx, TENANT, "tests", first.event_id))
    assert not await uow.run(lambda tx: drop_letter(tx, TENANT, "tests", first.event_id))
    await _drain(uow, consumer)
    assert await effects.all() == [2]


async def test_what_a_broker_brings_twice_has_one_effect(
    uow: UnitOfWork, effects: Effects, consumer: Consumer, clock: ManualClock
) -> None:
    await _tell(uow, range(20))
    events = await uow.read(lambda tx: events_after(tx, TENANT, 0))
    answers = await asyncio.gather(
        *(receive(uow, consumer, told.as_json()) for told in events for _ in range(4))
    )
    assert sum(answers) == 20
    assert sorted(await effects.all()) == list(range(20))

    clock.advance(timedelta(days=40))
    await uow.run(lambda tx: forget_seen(tx, TENANT, keep=timedelta(days=30)))
    assert await receive(uow, consumer, events[0].as_json())


async def test_what_a_broker_brings_and_fails_is_kept_here(
    uow: UnitOfWork, effects: Effects, consumer: Consumer, clock: ManualClock
) -> None:
    effects.failing = {0}
    await _tell(uow, [0, 1, 2])
    for told in await uow.read(lambda tx: events_after(tx, TENANT, 0)):
        assert await receive(uow, consumer, told.as_json())
        assert not await receive(uow, consumer, told.as_json())
    assert await effects.all() == [1]
    effects.failing = set()
    clock.advance(timedelta(minutes=1))
    assert await retry(uow, TENANT, consumer) == 2
    assert await effects.all() == [1, 0, 2]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[]",
        b'"x"',
        b"\xff",
        (
            b'{"id":"1","source":"/elsewhere/1","type":"a","subject":"k","time":"2026-01-01T00:00:00Z",'
            b'"dataschema":"urn:x:a:1","sequence":"1","partitionkey":"k","topic":"t","data":{}}'
        ),
    ],
)
async def test_a_message_that_is_no_event_is_refused(
    uow: UnitOfWork, consumer: Consumer, message: bytes
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's errors are some, too
        await receive(uow, consumer, message)


async def test_a_consumer_of_one_tenant_sees_no_other(
    uow: UnitOfWork, effects: Effects, consumer: Consumer
) -> None:
    await uow.run(lambda tx: emit(tx, Moved(thing="x", number=99, whose=UUID(int=1)), tenant=2))
    await number_events(uow, 2)
    await _tell(uow, [1])
    await _drain(uow, consumer)
    assert await effects.all() == [1]
