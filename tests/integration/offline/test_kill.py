"""A server that is killed in the middle of a sync leaves nothing half done."""

import asyncio
import json
import random
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import Database
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.histories import History, live
from tests.integration.offline.town import Town

ROOT = Path(__file__).parents[3]
DEATHS = 6


async def _run(plan: dict[str, Any], path: Path) -> tuple[int | None, str]:
    await asyncio.to_thread(path.write_text, json.dumps(plan), encoding="ascii")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.offline.killed", str(path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def _count(engine: AsyncEngine, work: Awaitable[object]) -> int:
    """Return how many statements and commits some work takes, as the killed process counts."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1

    for name in ("before_cursor_execute", "commit"):
        event.listen(engine.sync_engine, name, count)
    await work
    for name in ("before_cursor_execute", "commit"):
        event.remove(engine.sync_engine, name, count)
    return seen


async def _history(town: Town) -> History:
    history = await live(town, random.Random("kill"), people=4, cheats=1, steps=30)
    for name in sorted(history.known)[:-1]:
        await town.upload(town.devices[name], history.records_of(name))
    return history


@pytest.mark.slow
async def test_a_kill_at_any_statement_and_a_repetition_change_nothing_twice(
    make_town: MakeTown, database: Database, engine: AsyncEngine, tmp_path: Path
) -> None:
    calm, killed = make_town(tenant=1), make_town(tenant=2)
    last = ""
    for town in (calm, killed):
        history = await _history(town)
        last = max(history.known)
    device = killed.devices[last]
    records = history.records_of(last)
    statements = await _count(engine, calm.upload(calm.devices[last], records))
    before = await killed.state()
    assert before != await calm.state(), "the upload must change something"
    plan = {
        "url": database.url,
        "keys": str(tmp_path / "keys"),
        "tenant": 2,
        "user": str(device.user),
        "device": str(device.caller.device_id),
        "records": [record.object for record in records],
    }

    # Spread over the whole command; the last one is the commit itself.
    for death in range(1, DEATHS + 1):
        at = {"statements": statements * death // DEATHS}
        status, said = await _run(plan | at, tmp_path / "plan.json")
        assert (status, said) == (-9, "")
        await killed.check()
        assert await killed.state() == before
    await killed.upload(device, records)
    assert await killed.state() == await calm.state()
    await killed.audit()
