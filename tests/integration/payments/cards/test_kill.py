"""Killed between any two steps, a top-up and a refund have one outside effect and one entry."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.payments import top_up
from server.payments.cards.refunds import refunds_of
from server.payments.cards.schemas import TopUpCreate
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.payments.cards.books import AVAILABLE, FEES, GATEWAY, LATER, Town, fee
from tests.integration.payments.people import join

ROOT = Path(__file__).parents[4]
STEPS_MAX = 200
STRIDE = 2
"""One of two steps is tried: all of them took four minutes, and found nothing."""
KILLED = -9


class Mortals:
    """Carries out plans in processes that die."""

    def __init__(self, process: asyncio.subprocess.Process, database: str, town: Town) -> None:
        self._process, self._database, self._town = process, database, town

    async def run(self, what: str, at: int, **more: Any) -> int:
        """Return how the process ended."""
        plan = {
            "what": what,
            "at": at,
            "database": self._database,
            "company": self._town.company.url,
            "user": str(self._town.ada.user_id),
            **more,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(plan).encode() + b"\n")
        return int(await self._process.stdout.readline())


@pytest.fixture
async def mortals(database: Database, town: Town, tmp_path: Path) -> AsyncIterator[Mortals]:
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.payments.cards.killed"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
        yield Mortals(process, database.url, town)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


@pytest.mark.slow
async def test_a_top_up_killed_at_any_step_is_charged_and_credited_once(
    town: Town, mortals: Mortals, clock: ManualClock
) -> None:
    wish = TopUpCreate(amount=10_000, currency="EUR", card="pm_card_visa")
    deaths = 0
    for at in range(1, STEPS_MAX, STRIDE):
        town.ada = await join(town.uow, f"ada{at}")
        ended = await mortals.run("top_up", at, card="pm_card_visa", key="k")
        deaths += ended == KILLED
        clock.advance(LATER)
        await town.work()
        made = await top_up(town.uow, town.gateway, town.ada, wish, key="k")
        assert made.status == "succeeded", at
        assert await town.available() == 10_000, at
        if ended == 0:
            break
    assert ended == 0
    assert deaths > 5
    await town.work()
    people = deaths + 1
    listed = town.company.get("/v1/payment_intents", limit="100")["data"]
    assert len(listed) == people, "one payment for each person"
    assert await town.books() == {
        GATEWAY: people * (10_000 - fee(10_000)),
        AVAILABLE: people * 10_000,
        FEES: people * fee(10_000),
    }
    assert town.at_company() == people * (10_000 - fee(10_000))


@pytest.mark.slow
async def test_a_refund_killed_at_any_step_is_given_back_once(
    town: Town, mortals: Mortals, clock: ManualClock
) -> None:
    deaths = 0
    for at in range(1, STEPS_MAX, STRIDE):
        town.ada = await join(town.uow, f"ada{at}")
        made = await town.top_up()
        ended = await mortals.run("refund", at, top_up=str(made.id), key="k")
        deaths += ended == KILLED
        clock.advance(LATER)
        await town.work()
        assert (await town.refund(made.id, 4_000, key="k")).status == "succeeded", at
        assert await town.available() == 6_000, at
        rows = await town.uow.read(lambda tx, made=made: refunds_of(tx, town.ada, made.id))  # type: ignore[misc]
        assert len(rows) == 1
        if ended == 0:
            break
    assert ended == 0
    assert deaths > 7
    await town.work()
    given = town.company.get("/v1/refunds", limit="100")["data"]
    assert [refund["amount"] for refund in given] == [4_000] * (deaths + 1)
    assert (await town.books())[GATEWAY] == town.at_company()


@pytest.mark.slow
async def test_jobs_killed_at_any_step_book_everything_once(
    town: Town, mortals: Mortals, clock: ManualClock
) -> None:
    deaths = 0
    for at in range(1, STEPS_MAX, STRIDE):
        town.ada = await join(town.uow, f"ada{at}")
        await town.top_up(card="pm_card_createDispute")
        town.company.control("dispute_result", dispute=town.dispute()["id"], result="lost")
        await town.hear(*town.events()[-9:])
        ended = await mortals.run("jobs", at)
        deaths += ended == KILLED
        clock.advance(LATER)
        await town.work()
        assert (await town.books())[GATEWAY] == town.at_company(), at
        assert await town.available() == 0, at
        if ended == 0:
            break
    assert ended == 0
    assert deaths > 7
