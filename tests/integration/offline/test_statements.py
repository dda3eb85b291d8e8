"""Every step of a user's offline money, with the ledger entries behind it."""

import json
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from server.kit.errors import InvalidRequest
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, statement
from server.offline import close_due_roots, collect_debts
from server.offline.collateral import set_aside
from server.offline.disputes import decide, open_dispute
from server.offline.jobs import settle_anew
from server.offline.oversight_schemas import (
    CollateralChange,
    DisputeDecision,
    StatementLine,
)
from server.offline.queries import conflict_key
from server.offline.settlement import run_settling
from server.offline.statements import statement_page
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.officers import WHY, officer
from tests.integration.offline.town import AFTER_CLAIM_BY, CURRENCY, Device, Town, policy


async def _lines(town: Town, device: Device, *, limit: int = 3) -> list[StatementLine]:
    """Return the whole statement, the oldest step first, read in small pages."""
    lines: list[StatementLine] = []
    cursor: str | None = None
    while True:
        page = await town.uow.read(
            lambda tx, at=cursor: statement_page(  # type: ignore[misc]
                tx, town.tenant, device.user, cursor=at, limit=limit
            )
        )
        assert len(page.items) <= limit
        lines += page.items
        cursor = page.next_cursor
        if cursor is None:
            return lines[::-1]


async def _steps(town: Town, device: Device) -> list[tuple[str, int | None]]:
    return [(line.step, line.amount) for line in await _lines(town, device)]


async def _every_entry_is_named(town: Town, device: Device, kind: AccountKind) -> None:
    """What moved an account of the user stands in the statement, but for top-ups."""
    ref = AccountRef(kind, CURRENCY, device.user, town.tenant)
    posted = await town.uow.read(lambda tx: statement(tx, ref, limit=1000))
    named = {entry for line in await _lines(town, device) for entry in line.entries}
    assert {line.entry for line in posted if line.kind != "test.top_up"} <= named
    known = await town.uow.read(lambda tx: _known(tx, named))
    assert known == len(named), "a statement names no entry that the ledger does not have"


async def _known(tx: Tx, entries: set[UUID]) -> int:
    found = 0
    for entry in entries:
        key = entry if tx.dialect == "postgresql" else entry.bytes
        query = text("SELECT count(*) FROM entry WHERE id = :id AND outcome = 'applied'")
        found += await tx.connection.scalar(query, {"id": key}) or 0
    return found


async def test_the_way_of_a_voucher_from_issue_to_closing(make_town: MakeTown) -> None:
    town = make_town(policy(user=30))
    ada, bob = await town.person("ada", money=200), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    town.clock.advance(timedelta(hours=1))
    paid = ada.pay(voucher, bob, 0, 50)
    await town.sync(ada, paid)
    town.clock.advance(timedelta(hours=1))
    await town.sync(bob, bob.claim(paid, town.keys))
    town.clock.advance(AFTER_CLAIM_BY)
    await close_due_roots(town.uow, town.policy)

    assert await _steps(town, ada) == [
        ("issued", -100),
        ("paid", -50),
        ("credited", 50),
        ("voucher_closed", 50),
    ]
    assert await _steps(town, bob) == [
        ("received", 50),
        ("claimed", -50),
        ("credited_provisional", 50),
        ("final", 50),
        ("voucher_closed", 50),
    ]
    issued, sent, credited, _ = await _lines(town, ada)
    assert issued.voucher_id == sent.voucher_id == to_base64url(voucher.voucher.id)
    assert sent.transfer_id == to_base64url(paid.hops[0].transfer.id)
    assert len(issued.entries) == len(credited.entries) == 1
    for device in (ada, bob):
        await _every_entry_is_named(town, device, AccountKind.USER_AVAILABLE)


async def test_a_double_spend_from_the_debt_to_the_verdict(town: Town) -> None:
    eve = await town.person("eve", money=250)
    bob, cid = await town.person("bob"), await town.person("cid")
    data = CollateralChange(amount=20, currency=CURRENCY)
    await set_aside(town.uow, town.policy, eve.caller, data, key="k")
    vouchers = await town.issue(eve, 200)
    for payee in (bob, cid):
        town.clock.advance(timedelta(hours=1))
        await town.sync(payee, payee.claim(eve.pay(vouchers[0], payee, 0, 80), town.keys))
    town.clock.advance(timedelta(hours=1))
    await town.top_up(eve.user, 15)
    await collect_debts(town.uow, town.policy)
    (conflict,) = {line.conflict_id for line in await _lines(town, bob) if line.conflict_id}
    assert conflict is not None
    key = conflict_key(conflict)
    town.clock.advance(timedelta(hours=1))
    await town.uow.run(
        lambda tx: open_dispute(tx, eve.caller, town.policy, conflict=key, statement=WHY)
    )
    olga = await officer(town, "olga", "compliance")
    town.clock.advance(timedelta(hours=1))
    verdict = DisputeDecision(verdict="overturned", reason=WHY, bearer="fund")
    await run_settling(
        town.uow,
        town.tenant,
        lambda tx: decide(tx, olga, town.policy, conflict=key, decision=verdict),
    )

    assert await _steps(town, eve) == [
        ("collateral_set_aside", -20),
        ("issued", -100),
        ("issued", -100),
        ("paid", -80),
        ("paid", -80),
        ("conflict_found", 80),
        ("debt_charged", -50),
        ("debt_recovered", -15),
        ("dispute_opened", None),
        ("dispute_overturned", None),
        ("debt_released", 65),
    ]
    lines = {line.step: line for line in await _lines(town, eve)}
    assert (lines["debt_charged"].owed, lines["debt_recovered"].owed) == (30, 15)
    assert lines["debt_released"].owed == 0
    assert await _steps(town, bob) == [
        ("claimed", -80),
        ("credited", 80),
        ("conflict_found", 80),
        ("dispute_opened", None),
        ("dispute_overturned", None),
    ]
    for kind in (AccountKind.USER_AVAILABLE, AccountKind.USER_COLLATERAL):
        await _every_entry_is_named(town, eve, kind)


async def test_a_credit_that_falls_is_a_step(town: Town) -> None:
    eve, bob = await town.person("eve", money=100), await town.person("bob")
    (voucher,) = await town.issue(eve, 100)
    paid = eve.pay(voucher, bob, 0, 80)
    town.clock.advance(timedelta(hours=1))
    await town.sync(eve, eve.claim(voucher, town.keys))
    town.clock.advance(timedelta(hours=1))
    await town.sync(bob, bob.claim(paid, town.keys))
    assert await _steps(town, eve) == [
        ("issued", -100),
        ("claimed", -100),
        ("credited", 100),
        ("paid", -80),
        ("conflict_found", 80),
        ("reduced", -80),
    ]
    await _every_entry_is_named(town, eve, AccountKind.USER_AVAILABLE)


async def test_settling_again_adds_no_step(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    chain = bob.claim(ada.pay(voucher, bob, 0, 50), town.keys)
    await town.sync(bob, chain)
    before = await _lines(town, bob)
    await town.sync(bob, chain)
    roots = [voucher.voucher.id]
    await town.uow.run(lambda tx: settle_anew(tx, town.tenant, town.policy, roots=roots))
    assert await _lines(town, bob) == before


async def test_a_statement_shows_nothing_of_others(town: Town) -> None:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    dan = await town.person("dan")
    (voucher,) = await town.issue(ada, 100)
    await town.sync(bob, bob.claim(ada.pay(voucher, bob, 0, 50), town.keys))
    assert await _steps(town, dan) == []
    assert [line.step for line in await _lines(town, bob)] == ["claimed", "credited"]


_NEVER = to_base64url(json.dumps([None, 2**62, "A" * 43]).encode())
"""A moment that no calendar has."""


@pytest.mark.parametrize(
    "cursor", ["", "x", "e30", "W10x", "WzEsMiwieCJd", "Wy0xXQ", "A" * 400, _NEVER]
)
async def test_a_made_up_cursor_is_refused(town: Town, cursor: str) -> None:
    ada = await town.person("ada")
    with pytest.raises(InvalidRequest):
        await town.uow.read(
            lambda tx: statement_page(tx, town.tenant, ada.user, cursor=cursor, limit=5)
        )
