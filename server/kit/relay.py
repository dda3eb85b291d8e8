"""The relay: numbers what was committed and tells it to the broker, at least once, in order.

One process at a time tells, by a lease. It begins after the position that is stored, never beyond
it, and moves the position only over what the broker has confirmed. So whatever fails between
telling and storing, events are told again and none is left out; and of equal keys the first telling
of each event comes after the first telling of the one before, because every relay tells without a
gap from a position up to which all has been told.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from server.kit.brokers import OpenPublisher, Publisher, PublishRefused
from server.kit.dead_letters import done_with, next_due, set_aside
from server.kit.event_log import Told, events_after, number_events
from server.kit.event_readers import add_reader, has_news, hold_reader, move_reader, release_reader
from server.kit.event_replays import next_replay, replay_moved
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork

READER = "broker"
BATCH_MAX = 500
LANES = 64
"""Events of so many keys are under way at once."""
_BATCH_S = 15.0
"""Less than the lease: who has lost it must not go on telling."""
_PAUSE_MAX_S = 60.0
_CLOSE_S = 5.0
_log = get_logger(__name__)


class BrokerDown(Exception):
    """The broker did not confirm; what it has not confirmed is told again."""


@dataclass(slots=True)
class _Outcome:
    """What became of a batch, by the events' numbers."""

    confirmed: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    error: Exception | None = None


class Relay:
    """Tells one tenant's events to one broker."""

    def __init__(
        self,
        uow: UnitOfWork,
        open_publisher: OpenPublisher | None,
        *,
        tenant: int,
        holder: UUID,
        pause_s: float,
    ) -> None:
        """Tell to what ``open_publisher`` connects to; without it events are only numbered.

        ``holder`` is this relay's own; ``pause_s`` lies between two looks at an empty outbox.
        """
        self._uow = uow
        self._open = open_publisher
        self._tenant = tenant
        self._pause_s = pause_s
        self._holder = holder
        self._publisher: Publisher | None = None
        self._ready = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is called; wait longer and longer while the broker is down."""
        failures = 0
        while not self._stopping.is_set():
            try:
                worked = await self.run_once()
                failures = 0
            except Exception as error:  # noqa: BLE001 - broker or database, both come back
                worked = 0
                failures += 1
                _log.warning("relay_waits", error=type(error).__name__, failures=failures)
            if not worked:
                await self._wait(self._pause(failures))
        await self.close()

    async def run_once(self) -> int:
        """Number and tell a batch, and what was asked to be told again; return how many.

        Raises:
            BrokerDown: the broker did not take all; the rest is told again.
        """
        worked = await number_events(self._uow, self._tenant)
        if self._open is None:
            return worked
        if not self._ready:
            await self._uow.run(lambda tx: add_reader(tx, self._tenant, READER))
            self._ready = True
        return worked + await self._tell_next() + await self._tell_again() + await self._replay()

    def stop(self) -> None:
        self._stopping.set()

    async def close(self) -> None:
        """Give the lease back and close the connection."""
        await self._disconnect()
        if self._ready:
            with suppress(Exception):  # The lease runs out by itself.
                await self._uow.run(
                    lambda tx: release_reader(tx, self._tenant, READER, self._holder)
                )

    async def _tell_next(self) -> int:
        if not await self._uow.read(lambda tx: has_news(tx, self._tenant, READER)):
            return 0
        position = await self._uow.run(
            lambda tx: hold_reader(tx, self._tenant, READER, self._holder)
        )
        if position is None:
            return 0
        events = await self._uow.read(
            lambda tx: events_after(tx, self._tenant, position, limit=BATCH_MAX)
        )
        if not events:
            return 0
        outcome = await self._tell(events)
        told = _leading(events, outcome)
        if told:
            await self._uow.run(lambda tx: self._store(tx, told, outcome))
        await self._check(outcome)
        return len(told)

    async def _tell(self, events: Sequence[Told], *, copy: str = "") -> _Outcome:
        """Hand events over: those with equal keys one after the other, others side by side."""
        outcome = _Outcome()
        try:
            publisher = await self._connected()
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            outcome.error = error
            return outcome
        lanes: defaultdict[int, list[Told]] = defaultdict(list)
        for event in events:
            lanes[hash((event.topic, event.key)) % LANES].append(event)
        try:
            async with asyncio.timeout(_BATCH_S), asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(_tell_lane(publisher, lane, outcome, copy))
        except TimeoutError as error:
            outcome.error = error
        return outcome

    async def _store(self, tx: Tx, told: Sequence[Told], outcome: _Outcome) -> None:
        if not await move_reader(tx, self._tenant, READER, self._holder, told[-1].seq):
            _log.warning("relay_lease_lost")
            return
        for event in told:
            if (reason := outcome.refused.get(event.seq)) is not None:
                _log.error("event_refused", event_id=str(event.id), reason=reason)
                await set_aside(tx, READER, event, error=reason, attempts=1, dead=True)

    async def _tell_again(self) -> int:
        """Tell one event that the broker refused, and that an operator wants to be tried again."""
        row = await self._uow.read(
            lambda tx: next_due(tx, self._tenant, READER, ordered=False, lock=False)
        )
        if row is None:
            return 0
        event = Told.from_json(row.message.encode())
        outcome = await self._tell([event])
        await self._check(outcome)

        async def settle(tx: Tx) -> None:
            await done_with(tx, self._tenant, READER, event.id)
            if reason := outcome.refused.get(event.seq):
                await set_aside(tx, READER, event, error=reason, attempts=1, dead=True)

        await self._uow.run(settle)
        return 1

    async def _replay(self) -> int:
        """Tell a part of what an operator wants to be told once more."""
        replay = await self._uow.read(lambda tx: next_replay(tx, self._tenant))
        if replay is None:
            return 0
        events = await self._uow.read(
            lambda tx: events_after(
                tx,
                self._tenant,
                replay.seq,
                until=replay.until_seq,
                topics=replay.topics,
                limit=BATCH_MAX,
            )
        )
        outcome = await self._tell(events, copy=f":{replay.id}") if events else _Outcome()
        told = _leading(events, outcome)
        if told or not events:
            end = told[-1].seq if len(events) == BATCH_MAX or len(told) < len(events) else None
            await self._uow.run(lambda tx: replay_moved(tx, self._tenant, replay.id, end))
        await self._check(outcome)
        return len(told)

    async def _connected(self) -> Publisher:
        if self._publisher is None:
            assert self._open is not None
            async with asyncio.timeout(_BATCH_S):
                self._publisher = await self._open()
        return self._publisher

    async def _check(self, outcome: _Outcome) -> None:
        """Begin with a fresh connection after an error.

        Raises:
            BrokerDown: there was one.
        """
        if outcome.error is not None:
            await self._disconnect()
            raise BrokerDown from outcome.error

    async def _disconnect(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            # What a broken connection says at its end helps nobody.
            with suppress(Exception):
                async with asyncio.timeout(_CLOSE_S):
                    await publisher.close()

    def _pause(self, failures: int) -> float:
        longest = min(_PAUSE_MAX_S, self._pause_s * 2**failures)
        return longest * (0.5 + random.random() / 2) if failures else self._pause_s  # noqa: S311

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _leading(events: Sequence[Told], outcome: _Outcome) -> list[Told]:
    """Return the events up to the first one that was neither confirmed nor refused."""
    leading = []
    for event in events:
        if event.seq not in outcome.confirmed and event.seq not in outcome.refused:
            break
        leading.append(event)
    return leading


async def _tell_lane(
    publisher: Publisher, events: Sequence[Told], outcome: _Outcome, copy: str
) -> None:
    """Tell events one after the other, up to the first that was not confirmed."""
    for event in events:
        if outcome.error is not None:
            return
        try:
            await publisher.publish(event, copy=copy)
        except PublishRefused as refusal:
            outcome.refused[event.seq] = str(refusal)
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            outcome.error = error
            return
        else:
            outcome.confirmed.add(event.seq)
