"""Thousands of schedules of crashes, broken messages and full disks: nothing is ever lost.

`pytest tests/kill --schedules 100000 --seed 1` plays more, KILL_SCHEDULES does in a run
of all tests. A failure prints its seed and the shortest schedule that still fails;
`python -m tests.kill --seed N` plays it again.
"""

import os

import pytest

from tests.kill.replay import explain, failure_of
from tests.kill.schedule import generate

BATCHES = 20
SCHEDULES = 5_000
FIRST = 1


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_is_lost_and_nobody_is_framed(batch: int, pytestconfig: pytest.Config) -> None:
    count = _chosen(pytestconfig, "schedules", SCHEDULES)
    first = _chosen(pytestconfig, "seed", FIRST)
    for seed in range(first + batch, first + count, BATCHES):
        schedule = generate(seed)
        failure = failure_of(schedule)
        if failure is not None:
            pytest.fail(explain(schedule, failure), pytrace=False)


def _chosen(config: pytest.Config, name: str, default: int) -> int:
    given = config.getoption(name, default=None) or os.environ.get(f"KILL_{name.upper()}")
    return int(given or default)
