"""The relay: nothing lost, order kept, whatever fails between telling and storing it."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from server.kit.brokers import PublishRefused
from server.kit.dead_letters import dead_letters, try_again
from server.kit.event_log import Told, remove_old_events
from server.kit.event_readers import LEASE, read_by_all, readers
from server.kit.event_replays import ReplayGone, ask_for_replay, replays
from server.kit.ids import SystemIds
from server.kit.outbox import emit
from server.kit.relay import READER, BrokerDown, Relay
from server.kit.unit_of_work import UnitOfWork
from tests.fakes.clock import ManualClock
from tests.integration.kit.test_outbox import TENANT, Moved

_IDS = SystemIds(ManualClock())


class ScriptedBroker:
    """Takes events as a broker does: late, in part, with connections that break."""

    def __init__(self) -> None:
        self.taken: list[Told] = []
        self.copies: list[str] = []
        self.down = False
        self.unanswered: set[int] = set()
        """Events that it takes without confirming them, once."""
        self.refused: set[int] = set()
        self.rng = random.Random(7)
        self.opened = self.closed = 0
        self.under_way: defaultdict[str, int] = defaultdict(int)
        self._changed = asyncio.Event()

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()

    async def open(self) -> "ScriptedBroker":
        if self.down:
            raise ConnectionRefusedError
        self.opened += 1
        self._changed.set()
        return self

    async def publish(self, told: Told, *, copy: str = "") -> None:
        self.under_way[told.key] += 1
        assert self.under_way[told.key] == 1, "two events with one key at once"
        try:
            for _ in range(self.rng.randrange(4)):
                await asyncio.sleep(0)
            if self.down:
                raise ConnectionResetError
            if told.seq in self.refused:
                raise PublishRefused("too large")
            self.taken.append(told)
            self._changed.set()
            self.copies.append(copy)
            if told.seq in self.unanswered:
                self.unanswered.remove(told.seq)
                raise TimeoutError
        finally:
            self.under_way[told.key] -= 1

    async def close(self) -> None:
        self.closed += 1

    def first_tellings(self) -> dict[str, list[int]]:
        """Return each key's numbers, without what had been told before."""
        seen: set[UUID] = set()
        by_key: dict[str, list[int]] = {}
        for told in self.taken:
            if told.id not in seen:
                seen.add(told.id)
                by_key.setdefault(told.key, []).append(told.data()["number"])
        return by_key


@pytest.fixture
def broker() -> ScriptedBroker:
    return ScriptedBroker()


def _relay(uow: UnitOfWork, broker: ScriptedBroker, **options: float) -> Relay:
    return Relay(
        uow, broker.open, tenant=TENANT, holder=_IDS.uuid(), pause_s=options.get("pause_s", 0.001)
    )


async def _tell(uow: UnitOfWork, numbers: Sequence[int], *, keys: int = 3) -> None:
    events = [Moved(thing=str(n % keys), number=n) for n in numbers]
    await uow.run(lambda tx: emit(tx, *events, tenant=TENANT))


async def _drain(relay: Relay) -> None:
    while await relay.run_once():
        pass


def _expected(count: int, keys: int = 3) -> dict[str, list[int]]:
    return {str(key): list(range(key, count, keys)) for key in range(keys)}


async def test_every_event_is_told_in_its_keys_order(
    uow: UnitOfWork, broker: ScriptedBroker
) -> None:
    await _tell(uow, range(700))
    await _drain(_relay(uow, broker))
    assert len(broker.taken) == 700
    assert broker.first_tellings() == _expected(700)
    [reader] = await uow.read(lambda tx: readers(tx, TENANT))
    assert (reader.name, reader.sequence, reader.behind) == (READER, 700, 0)


async def test_a_broker_that_is_down_is_waited_for(uow: UnitOfWork, broker: ScriptedBroker) -> None:
    relay = _relay(uow, broker)
    broker.down = True
    await _tell(uow, range(10))
    for _ in range(3):
        with pytest.raises(BrokerDown):
            await relay.run_once()
    await _tell(uow, range(10, 20))
    broker.down = False
    await _drain(relay)
    assert broker.first_tellings() == _expected(20)
    assert len(broker.taken) == 20


async def test_what_was_not_confirmed_is_told_again_and_order_stays(
    uow: UnitOfWork, broker: ScriptedBroker
) -> None:
    await _tell(uow, range(60))
    broker.unanswered = {5, 17, 18, 33, 60}
    relay = _relay(uow, broker)
    downs = 0
    while len({told.id for told in broker.taken}) < 60 or broker.unanswered:
        try:
            await relay.run_once()
        except BrokerDown:
            downs += 1
    await _drain(relay)
    assert broker.first_tellings() == _expected(60)
    assert len(broker.taken) > 60
    assert downs >= 1
    assert broker.closed == downs


async def test_a_relay_that_was_killed_before_it_stored_its_position(
    uow: UnitOfWork, broker: ScriptedBroker, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _tell(uow, range(20))
    killed, other = _relay(uow, broker), _relay(uow, broker)

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(killed, "_store", die)
    with pytest.raises(asyncio.CancelledError):
        await killed.run_once()
    assert len(broker.taken) == 20

    assert await other.run_once() == 0, "the lease of the one that was killed still runs"
    clock.advance(LEASE)
    await _drain(other)
    assert len(broker.taken) == 40
    assert broker.first_tellings() == _expected(20)


async def test_a_relay_that_slept_through_its_lease_moves_nothing(
    uow: UnitOfWork, broker: ScriptedBroker, clock: ManualClock
) -> None:
    slow_broker = ScriptedBroker()
    slow, other = _relay(uow, slow_broker), _relay(uow, broker)
    await _tell(uow, range(10))
    publish = slow_broker.publish
    awake = asyncio.Event()

    async def sleep_first(told: Told, *, copy: str = "") -> None:
        await awake.wait()
        await publish(told, copy=copy)

    slow_broker.publish = sleep_first  # type: ignore[method-assign]
    sleeper = asyncio.create_task(slow.run_once())
    await slow_broker.until(lambda: slow_broker.opened > 0)
    clock.advance(LEASE)
    await _tell(uow, range(10, 20))
    await _drain(other)
    awake.set()
    await sleeper

    [reader] = await uow.read(lambda tx: readers(tx, TENANT))
    assert reader.sequence == 20
    assert broker.first_tellings() == _expected(20)


async def test_relays_of_many_processes_take_turns(
    uow: UnitOfWork, broker: ScriptedBroker, clock: ManualClock
) -> None:
    """Each is cancelled somewhere, as a process that ends; another goes on."""
    rng = random.Random(3)
    total = 0
    for _ in range(12):
        await _tell(uow, range(total, total + 9))
        total += 9
        relay = _relay(uow, broker)
        task = asyncio.create_task(relay.run())
        for _ in range(rng.randrange(60)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        clock.advance(LEASE)
        broker.under_way.clear()
    await _drain(_relay(uow, broker))
    assert broker.first_tellings() == _expected(total)


async def test_a_stopped_relay_lets_the_next_go_on_at_once(
    uow: UnitOfWork, broker: ScriptedBroker
) -> None:
    first, second = _relay(uow, broker), _relay(uow, broker)
    await _tell(uow, range(3))
    running = asyncio.create_task(first.run())
    await broker.until(lambda: len(broker.taken) == 3)
    first.stop()
    await running
    await _tell(uow, range(3, 6))
    await _drain(second)
    assert len(broker.taken) == 6


async def test_what_the_broker_will_never_take_is_kept_for_an_operator(
    uow: UnitOfWork, broker: ScriptedBroker
) -> None:
    await _tell(uow, range(6))
    broker.refused = {2, 5}
    relay = _relay(uow, broker)
    await _drain(relay)
    letters = await uow.read(lambda tx: dead_letters(tx, TENANT))
    assert [(letter.sequence, letter.state, letter.error) for letter in letters] == [
        (2, "dead", "too large"),
        (5, "dead", "too large"),
    ]
    assert [told.seq for told in sorted(broker.taken, key=lambda told: told.seq)] == [1, 3, 4, 6]

    broker.refused = {5}
    assert await uow.run(lambda tx: try_again(tx, TENANT, READER)) == 2
    await _drain(relay)
    assert broker.taken[-1].seq == 2
    letters = await uow.read(lambda tx: dead_letters(tx, TENANT))
    assert [(letter.sequence, letter.state) for letter in letters] == [(5, "dead")]


async def test_events_are_told_once_more_when_asked(
    uow: UnitOfWork, broker: ScriptedBroker
) -> None:
    await _tell(uow, range(1_200))
    relay = _relay(uow, broker)
    await _drain(relay)
    first = len(broker.taken)
    asked = await uow.run(
        lambda tx: ask_for_replay(
            tx, TENANT, after=100, until=None, topics=["tests"], asked_by=_IDS.uuid(), reason="test"
        )
    )
    nothing = await uow.run(
        lambda tx: ask_for_replay(
            tx, TENANT, after=0, until=50, topics=["other"], asked_by=_IDS.uuid(), reason="test"
        )
    )
    await _tell(uow, range(1_200, 1_210))
    await _drain(relay)
    await _drain(relay)

    again = [
        (told.seq, copy) for told, copy in zip(broker.taken, broker.copies, strict=True) if copy
    ]
    assert sorted(again) == [(seq, f":{asked.id}") for seq in range(101, 1_201)]
    assert len(broker.taken) == first + 1_100 + 10
    states = await uow.read(lambda tx: replays(tx, TENANT))
    assert [(view.id, view.state) for view in states] == [
        (nothing.id, "done"),
        (asked.id, "done"),
    ]


async def test_a_replay_of_what_is_gone_is_refused(
    uow: UnitOfWork, broker: ScriptedBroker, clock: ManualClock
) -> None:
    await _tell(uow, range(5))
    await _drain(_relay(uow, broker))
    clock.advance(timedelta(days=2))
    done = await uow.read(lambda tx: read_by_all(tx, TENANT))
    await uow.run(
        lambda tx: remove_old_events(tx, TENANT, keep=timedelta(days=1), read_by_all=done)
    )
    with pytest.raises(ReplayGone) as refusal:
        await uow.run(
            lambda tx: ask_for_replay(
                tx, TENANT, after=4, until=None, topics=[], asked_by=_IDS.uuid(), reason="test"
            )
        )
    assert refusal.value.members == {"first_kept": 6}


async def test_without_a_broker_events_are_numbered_all_the_same(uow: UnitOfWork) -> None:
    await _tell(uow, range(5))
    relay = Relay(uow, None, tenant=TENANT, holder=_IDS.uuid(), pause_s=1)
    assert [await relay.run_once(), await relay.run_once()] == [5, 0]
    assert await uow.read(lambda tx: readers(tx, TENANT)) == []
