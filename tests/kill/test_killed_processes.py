"""The same schedules with real processes: each thing that a wallet does happens in a child process.

Where the schedule says crash, the child ends by SIGKILL at that write; where it is over, the child
hands its answer to the parent. What a child signed is known by a pipe to the parent, however it
ended.
"""

import os
import pickle
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from client_sdk.wallet import Wallet
from tests.kill.person import Person, run
from tests.kill.replay import explain
from tests.kill.schedule import Act, Schedule, Step, generate
from tests.kill.signing import Memory
from tests.kill.world import World

SCHEDULES = 50
KILLED_WITHIN = 6
KILLS_MIN = 10
PARTS = 5
FIRST = 9_000_001
HERE = frozenset({Act.SYNC, Act.LOAD, Act.MEET})
"""Steps that also change what only the parent has; a crash in them stays an exception."""


class KilledWorld(World):
    """A world whose wallets work in children."""

    def do(self, step: Step) -> None:
        self.in_children = step.act not in HERE
        super().do(step)
        self.in_children = False

    def attempt(
        self, person: Person, work: Callable[[Wallet], Coroutine[Any, Any, Any]], **more: object
    ) -> Any:
        if not getattr(self, "in_children", False) or not person.trap.armed:
            return super().attempt(person, work, **more)
        person.close()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work_and_die(person, work, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            answers = _told(told.read())
        _, status = os.waitpid(child, 0)
        for answer in answers:
            if answer[0] == "signed":
                self.memory.signed.append(answer[1])
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            self.seen["killed"] += 1
            person.trap.disarm()
            return None
        assert os.WEXITSTATUS(status) == 0, "the child failed by itself"
        left = next(answer[1] for answer in answers if answer[0] == "points")
        person.trap.crash_in(left)
        kind, result = answers[-1]
        assert kind in {"done", "refused"}
        return super().attempt(person, lambda _: _outcome(kind, result), **more)


class ToldMemory(Memory):
    """Writes what is signed into a pipe, before the signature exists."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self._pipe = pipe

    def note(self, key: Any, message: bytes) -> None:
        super().note(key, message)
        if self.signed:
            _tell(self._pipe, ("signed", self.signed.pop()))


def _work_and_die(person: Person, work: Callable[[Wallet], Any], pipe: int) -> None:
    """In the child: open the wallet, work, tell the outcome, and end without cleaning up."""
    code = 1
    try:
        person.memory = ToldMemory(pipe)
        person.trap.kills = True
        wallet = person.open()
        try:
            outcome = ("done", run(work(wallet)))
        except Exception as error:  # noqa: BLE001 -- it is the parent's to judge
            outcome = ("refused", error)
        person.close()
        _tell(pipe, ("points", person.trap.points_left))
        _tell(pipe, outcome)
        code = 0
    finally:
        os._exit(code)


async def _outcome(kind: str, result: Any) -> Any:
    if kind == "refused":
        raise result
    return result


def _tell(pipe: int, what: tuple[str, Any]) -> None:
    data = pickle.dumps(what)
    os.write(pipe, len(data).to_bytes(4, "big") + data)


def _told(data: bytes) -> list[tuple[str, Any]]:
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(pickle.loads(data[4 : 4 + size]))  # noqa: S301 -- our own child wrote it
        data = data[4 + size :]
    return found


def with_more_kills(schedule: Schedule) -> Schedule:
    """Everybody is killed at one of the next few writes, again and again."""
    steps: list[Step] = []
    for index, step in enumerate(schedule.steps):
        if index % 2:
            steps += [
                Step(Act.CRASH, who, (step.fate + who) % KILLED_WITHIN, 0)
                for who in range(schedule.people)
            ]
        steps.append(step)
    return Schedule(schedule.seed, schedule.people, tuple(steps), schedule.ending)


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_when_processes_are_killed(part: int, tmp_path: Path) -> None:
    killed = 0
    for seed in range(FIRST + part, FIRST + SCHEDULES, PARTS):
        schedule = with_more_kills(generate(seed))
        folder = tmp_path / str(seed)
        folder.mkdir()
        world = KilledWorld(folder, schedule)
        try:
            world.play()
        except Exception as failure:  # noqa: BLE001 -- it is told with its seed
            pytest.fail(explain(schedule, failure), pytrace=False)
        finally:
            world.close()
        killed += world.seen["killed"]
    assert killed >= KILLS_MIN
