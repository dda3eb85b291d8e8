"""Schedules: what two or three people do and what goes wrong meanwhile, as plain data from a seed.

Numbers in a step choose among what is there when the step is carried out (a request, a message
under way, a received payment), by remainder. So any step can be left out and the rest still makes
sense: that is how a failing schedule is made short.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PEOPLE: Final = ("ada", "bo", "cem")
_NUMBERS: Final = 1 << 16


class Act(StrEnum):
    """What a step does."""

    ASK = "ask"
    PAY = "pay"
    SHOW = "show"
    """The payer shows the stored bytes of a payment again."""
    DELIVER = "deliver"
    """A message under way arrives, or what is left of it."""
    MEET = "meet"
    """Payer and payee on one connection that has faults."""
    GIVE_BACK = "give_back"
    CRASH = "crash"
    """From now on count durable writes; the process ends before or after the n-th."""
    DROP = "drop"
    """The process ends now, between two writes."""
    FULL = "full"
    """The n-th write from now on, and a few more, find the disk full."""
    SYNC = "sync"
    LOAD = "load"
    WAIT = "wait"
    COPY = "copy"
    """Keep a copy of the wallet file, as a backup would."""
    PUT_BACK = "put_back"
    """Put that copy in the place of the wallet file."""
    ENROL = "enrol"
    """Give a wallet that was put back a new key."""


WEIGHTS: Final[dict[Act, int]] = {
    Act.ASK: 12,
    Act.PAY: 18,
    Act.SHOW: 5,
    Act.DELIVER: 30,
    Act.MEET: 10,
    Act.GIVE_BACK: 9,
    Act.CRASH: 18,
    Act.DROP: 4,
    Act.FULL: 4,
    Act.SYNC: 7,
    Act.LOAD: 2,
    Act.WAIT: 4,
}
_RESTORING: Final = (Act.COPY, Act.PUT_BACK, Act.ENROL)
"""In this order, somewhere among the other steps, in some of the schedules."""
_OPENING: Final = (Act.ASK, Act.PAY)
"""Without a payment there is nothing to break."""


class Ending(StrEnum):
    """How everything comes right in the end."""

    MEET = "meet"
    """Everybody meets everybody again, without faults."""
    SYNC = "sync"
    """Everybody synchronises, and again after the vouchers' claim-by time."""


@dataclass(frozen=True)
class Step:
    act: Act
    who: int
    number: int
    fate: int

    def __str__(self) -> str:
        return f"{self.act.value} who={self.who} number={self.number} fate={self.fate}"


@dataclass(frozen=True)
class Schedule:
    seed: int
    people: int
    steps: tuple[Step, ...]
    ending: Ending

    def __str__(self) -> str:
        head = f"seed {self.seed}: {self.people} people, ending {self.ending.value}"
        return "\n  ".join([head, *map(str, self.steps)])


def generate(seed: int) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(seed)
    people = 3 if rng.random() < 0.3 else 2
    acts = [*_OPENING, *rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=rng.randint(4, 20))]
    if rng.random() < 0.5:  # half of them break the first payment already
        acts.insert(rng.randint(0, 2), Act.CRASH)
    if rng.random() < 0.2:
        places = sorted(rng.choices(range(len(acts) + 1), k=len(_RESTORING)), reverse=True)
        for place, act in zip(places, reversed(_RESTORING), strict=True):
            acts.insert(place, act)
    steps = tuple(
        Step(act, rng.randrange(_NUMBERS), rng.randrange(_NUMBERS), rng.randrange(_NUMBERS))
        for act in acts
    )
    return Schedule(seed, people, steps, rng.choice(list(Ending)))


def shortened(schedule: Schedule, fails: Callable[[Schedule], bool]) -> Schedule:
    """A schedule that still fails and fails no more when any one step is left out."""
    size = max(len(schedule.steps) // 2, 1)
    while size:
        smaller = next((one for one in _without(schedule, size) if fails(one)), None)
        if smaller is not None:
            schedule = smaller
        else:
            size //= 2
    return schedule


def _without(schedule: Schedule, size: int) -> Iterator[Schedule]:
    steps = schedule.steps
    for start in range(0, len(steps), size):
        rest = steps[:start] + steps[start + size :]
        yield Schedule(schedule.seed, schedule.people, rest, schedule.ending)
