"""kill -9 of the whole server at any moment: nothing lost, nothing twice, the chain whole."""

import asyncio
import os
import random
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, balance, trial_balance
from server.settings import Settings
from tests.conftest import Database
from tests.integration.ledger.ledgers import verified
from tests.killed_server.people import Payer, Town, insist
from tests.killed_server.process import Killable, killable
from tests.killed_server.registering import register

KILLS = int(os.environ.get("SERVER_KILLS", "5"))
"""For each database. Hundreds take some minutes."""
PEOPLE = 6
_MOMENT_S = 0.08


async def disturb(server: Killable, town: Town, order: random.Random) -> None:
    """Kill the server at any moment after it has answered something, and start another."""
    for _ in range(KILLS):
        await town.has_answered(town.answered + order.randint(1, 12))
        await asyncio.sleep(order.random() * _MOMENT_S)
        await asyncio.to_thread(server.kill)
        server.start()


async def check_books(engine: AsyncEngine, town: Town, users: dict[str, object]) -> None:
    clock = SystemClock()
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    for name, payer in town.payers.items():
        for kind, expected in (
            (AccountKind.USER_AVAILABLE, payer.available),
            (AccountKind.USER_EMERGENCY, payer.emergency),
        ):
            ref = AccountRef(kind, "EUR", users[name])  # type: ignore[arg-type]
            found = await uow.read(lambda tx, ref=ref: balance(tx, ref))  # type: ignore[misc]
            assert (found.posted, found.held) == (expected, 0), (name, kind)
    totals = await uow.read(lambda tx: trial_balance(tx, 1))
    assert totals.balanced
    await verified(uow)


@pytest.mark.slow
@pytest.mark.timeout(60 + 10 * KILLS)
async def test_people_who_retry_neither_lose_nor_double_money(
    database: Database, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database.url,
        migrate_at_start=True,
        master_key=b"m" * 32,
        background_interval_ms=50,
        log_level="error",
    )
    order = random.Random(4)
    engine = create_engine(database.url)
    with killable(settings) as server:
        async with httpx.AsyncClient(base_url=server.address, timeout=30) as client:
            people = [await register(client, settings, f"payer{n}") for n in range(PEOPLE)]
            payers = {
                one.name: Payer(one.name, one.token, random.Random(f"{one.name}/4"))
                for one in people
            }
            town = Town(payers)
            done = False
            async with asyncio.TaskGroup() as group:
                clients = [
                    group.create_task(town.pay_until(client, payer, lambda: done))
                    for payer in payers.values()
                ]
                await disturb(server, town, order)
                done = True
            assert all(task.done() for task in clients)
            resent = sum(payer.resent for payer in payers.values())
            for payer in payers.values():
                for wish, answer in payer.answers:
                    if answer.status >= 400 and wish.path.endswith("/refunds"):
                        continue  # refunds keep no refusal: their key may be used again
                    again = await insist(client, payer, wish)
                    assert again.status == answer.status
                    assert again.body.get("id") == answer.body.get("id")
                    assert again.body.get("code") == answer.body.get("code")
        assert server.kills == KILLS
    await check_books(engine, town, {one.name: one.user_id for one in people})
    await engine.dispose()
    print(f"{KILLS} kills, {town.answered} answers, {resent} requests sent again")  # noqa: T201
    assert resent > 0
