"""Many devices at once, and other movements of the same balances in between."""

import asyncio
import random
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from offline_protocol import LogHead, prefix_of
from offline_protocol.settlement import settle
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind
from server.ledger import balance as true_balance
from server.offline import collect_debts, keep_revocations
from server.offline.certificate_log import log_entries, log_head
from server.offline.events import lock_offline
from server.offline.revocation import revoked_at
from server.offline.schemas import SyncAnswer
from server.offline.trust_models import RevocationRow
from tests.conftest import Database
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.histories import live
from tests.integration.offline.town import Town


async def test_devices_that_synchronise_at_the_same_time_settle_as_one_after_another(
    make_town: MakeTown,
) -> None:
    calm, busy = make_town(tenant=1), make_town(tenant=2)
    for town in (calm, busy):
        history = await live(town, random.Random("busy"), people=6, cheats=2, steps=60)
    for name in history.known:
        await calm.upload(calm.devices[name], history.records_of(name))
    uploads = [
        (name, history.records_of(name)[start : start + 10])
        for name in history.known
        for start in range(0, len(history.records_of(name)), 10)
    ]
    random.Random("order").shuffle(uploads)
    answers: list[SyncAnswer] = await asyncio.gather(
        *(busy.upload(busy.devices[name], records) for name, records in uploads)
    )
    assert len(answers) == len(uploads)
    assert await busy.state() == await calm.state()
    await busy.audit()


async def test_money_cannot_move_offline_twice_at_the_same_time(town: Town) -> None:
    ada = await town.person("ada", money=100)
    outcomes = await asyncio.gather(
        *(town.issue(ada, 60) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, list) for outcome in outcomes) == 1
    assert await town.available(ada) == 40
    await town.check()


async def test_a_balance_that_falls_while_a_debt_is_taken_starts_it_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = await town.person("eve", money=130)
    bob, cid = await town.person("bob"), await town.person("cid")
    (voucher,) = await town.issue(eve, 100)
    for payee in (bob, cid):
        await town.sync(payee, payee.claim(eve.pay(voucher, payee, 0, 80), town.keys))
    assert await town.available(eve) == 0
    await town.top_up(eve.user, 20)
    reads = 0

    async def stale_once(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await true_balance(*arguments)
        if reads == 1:
            return type(found)(found.ref, found.posted + 15, found.held, found.version)
        return found

    monkeypatch.setattr("server.offline.currency_settlement.balance", stale_once)
    assert await collect_debts(town.uow, town.policy) == 1

    assert reads == 2
    assert await town.available(eve) == 0
    assert await town.shown(AccountKind.USER_RECEIVABLE, eve.user) == 30
    await town.check()
    await town.audit()


async def test_devices_that_wait_for_each_other_keep_no_connection_from_anybody(
    town: Town, database: Database
) -> None:
    devices = [await town.person(f"person-{number}", money=10) for number in range(6)]
    elsewhere = create_engine(database.url)
    other = UnitOfWork(elsewhere, clock=town.clock, ids=SystemIds(town.clock))
    locked, release = asyncio.Event(), asyncio.Event()

    async def hold(tx: Tx) -> None:
        await lock_offline(tx, town.tenant)
        locked.set()
        await release.wait()

    holder = asyncio.create_task(other.run(hold))
    await locked.wait()
    waiting: list[asyncio.Task[Any]] = [
        asyncio.create_task(town.sync(device)) for device in devices for _ in range(2)
    ]
    waiting += [asyncio.create_task(town.issue(device, 10)) for device in devices]
    for _ in range(50):
        assert await asyncio.wait_for(town.available(devices[0]), 5) == 10
    release.set()
    await asyncio.gather(holder, *waiting)
    await elsewhere.dispose()
    await town.check()


async def test_servers_that_convict_and_certify_at_once_keep_one_list_and_one_log(
    make_town: MakeTown, database: Database
) -> None:
    """Each convicts another device; the epochs rise one by one, the log has no gap."""
    here = make_town()
    cheats, records = [], []
    for number in range(4):
        cheat = await here.person(f"cheat-{number}", money=50)
        payees = [await here.person(f"payee-{number}-{side}") for side in range(2)]
        (voucher,) = await here.issue(cheat, 50)
        one, two = [cheat.pay(voucher, payee, 0, 20) for payee in payees]
        await here.sync(payees[0], one)
        cheats.append(cheat)
        records.append((payees[1], two))
    here.clock.advance(timedelta(days=8))
    engines = [create_engine(database.url) for _ in records]
    towns = [
        replace(here, uow=UnitOfWork(each, clock=here.clock, ids=SystemIds(here.clock)))
        for each in engines
    ]
    await asyncio.gather(
        *(town.sync(payee, two) for town, (payee, two) in zip(towns, records, strict=True)),
        *(keep_revocations(town.uow, tenant=town.tenant) for town in towns),
    )
    for engine in engines:
        await engine.dispose()

    async def look(tx: Tx) -> tuple[list[int], Any, list[bytes], LogHead]:
        epochs = select(RevocationRow.added_epoch).order_by(RevocationRow.added_epoch)
        return (
            list(await tx.session.scalars(epochs)),
            await revoked_at(tx, here.tenant, 4),
            await log_entries(tx, here.tenant, 0),
            await log_head(tx, here.tenant),
        )

    epochs, revoked, logged, head = await here.uow.read(look)
    assert epochs == [1, 2, 3, 4]
    assert revoked.prefixes == {prefix_of(cheat.signer.public_key.id) for cheat in cheats}
    assert head == LogHead().extend(logged)
    assert len(set(logged)) == len(logged) == 12 + 4
    await here.check()


async def test_others_are_served_while_a_voucher_of_many_records_is_settled(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.offline.currency_settlement.SETTLE_ASIDE_MIN", 1)
    eve, bob, cid = [await town.person(name, money=200) for name in ("eve", "bob", "cid")]
    (voucher,) = await town.issue(eve, 100)
    loop_thread, settled_in = threading.get_ident(), set[int]()

    def watched(*arguments: Any, **named: Any) -> Any:
        settled_in.add(threading.get_ident())
        return settle(*arguments, **named)

    monkeypatch.setattr("server.offline.currency_settlement.settle", watched)
    await asyncio.gather(
        *(
            town.sync(payee, payee.claim(eve.pay(voucher, payee, 0, 80), town.keys))
            for payee in (bob, cid)
        )
    )
    assert settled_in
    assert loop_thread not in settled_in
    assert [await town.available(each) for each in (eve, bob, cid)] == [20, 280, 280]
    await town.check()
