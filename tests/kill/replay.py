"""A failing schedule, made short and told so that it can be played again."""

import traceback

from tests.kill.schedule import Schedule, shortened
from tests.kill.world import play


def failure_of(schedule: Schedule) -> Exception | None:
    """What breaks when a schedule is played, or None."""
    try:
        play(schedule)
    except Exception as failure:  # noqa: BLE001 -- whatever it is, it is what was looked for
        return failure
    return None


def explain(schedule: Schedule, failure: Exception) -> str:
    """The failure, the shortest schedule that has one, and how to play it again."""
    shortest = shortened(schedule, lambda one: failure_of(one) is not None)
    last = failure_of(shortest) or failure
    trace = "".join(traceback.format_exception(last)[-6:])
    return (
        f"{type(failure).__name__}: {failure}\n"
        f"Play it again: python -m tests.kill --seed {schedule.seed}\n"
        f"Shortest form:\n{shortest}\n"
        f"It ends with:\n{trace}"
    )
