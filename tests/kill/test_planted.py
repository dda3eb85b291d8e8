"""The schedules are worth something: each planted fault is found by a few of them.

And they reach what they are meant to reach: every durable write is crashed before and after, every
kind of damage happens to messages, and the table of the state machine is walked.
"""

from collections import Counter

import pytest

from client_sdk import core
from client_sdk.core import TRANSITIONS, Input, State, Step
from client_sdk.flows import engine, syncing
from tests.kill.checks import Broken
from tests.kill.planted import PLANTS, Plant
from tests.kill.replay import failure_of
from tests.kill.schedule import generate
from tests.kill.test_schedules import FIRST
from tests.kill.world import play

WITHIN = 400
"""Schedules in which a planted fault must show; most show in the first twenty."""
LOOKED_AT = 700

WRITES = (
    "reserve",
    "witness",
    "signed bytes",
    "state",
    "payment",
    "receipt bytes",
    "receipt",
    "return",
    "sync",
    "new key",
)
NOT_REACHED = {
    # Nothing of ours is asked to do these; they keep a stray input from being an error.
    (State.SHOWN, Input.SHOW),
    (State.SPENT, Input.SPEND),
    (State.CLAIMED, Input.SPEND),
    (State.CLAIMED, Input.CLAIM),
    (State.SETTLED, Input.VERDICT),
    (State.RETURNED, Input.VERDICT),
    # The payer notes a lost link only while a payment is unconfirmed.
    (State.ACKED, Input.LINK_LOST),
    (State.RETURNED, Input.LINK_LOST),
    (State.SETTLED, Input.LINK_LOST),
    # The model credits a claim at once, so it is rarely caught between claim and credit.
    (State.CLAIMED, Input.PAYMENT),
    # Only for an old copy that is never given a new key.
    (State.LOCKED, Input.VERDICT),
    (State.STORED, Input.VERDICT),
    # What is signed is handed over before a sync hears a verdict.
    (State.SIGNED, Input.VERDICT),
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    found = (failure_of(generate(seed)) for seed in range(FIRST, FIRST + WITHIN))
    first = next((one for one in found if one is not None), None)
    assert isinstance(first, Broken), first  # another error would be one of the plant itself


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[State, Input]]:
    """How often each step of the table was taken."""
    taken: Counter[tuple[State, Input]] = Counter()

    def step(state: State, happened: Input) -> Step:
        taken[state, happened] += 1
        return core.step(state, happened)

    monkeypatch.setattr(engine, "step", step)
    monkeypatch.setattr(syncing, "step", step)
    return taken


@pytest.mark.slow
def test_the_schedules_reach_everything(walked: Counter[tuple[State, Input]]) -> None:
    seen: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + LOOKED_AT):
        seen += play(generate(seed)).seen
    crashes = {f"crash {place} {write}" for place in ("before", "after") for write in WRITES}
    faults = {f"message {fault}" for fault in ("pass", "lose", "double", "truncate", "corrupt")}
    others = {"meeting", "old copy noticed", "old copy harmless", "refused store_full"}
    assert {what for what in crashes | faults | others if not seen[what]} == set()
    assert {step for step in TRANSITIONS if not walked[step]} <= NOT_REACHED
