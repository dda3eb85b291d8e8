"""How many schedules, and from which seed on: `pytest tests/kill --schedules 50000 --seed 1`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kill", "schedules of crashes and broken messages")
    group.addoption("--schedules", type=int, help="how many schedules are played (5000)")
    group.addoption("--seed", type=int, help="seed of the first one (1)")
