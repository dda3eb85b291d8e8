"""Money that would be created or lost is not committed: by wrong code, nor by raw statements."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from offline_protocol import Chain
from offline_protocol.settlement import Credit, RootSettlement, Settlement, settle
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, EntryRequest, post_many
from server.offline import check_books_daily, close_due_roots, collect_debts, offline_report
from server.offline.checks import check_settled
from server.offline.collateral import set_aside, take_back
from server.offline.errors import CollateralBound, SettlementUnsound
from server.offline.models import TransferRow
from server.offline.oversight_models import CheckRow
from server.offline.oversight_schemas import CollateralChange
from tests.conftest import Database
from tests.integration.ledger.ledgers import REFUSALS, RawSql
from tests.integration.offline.conftest import MakeTown
from tests.integration.offline.officers import deeds_of
from tests.integration.offline.town import AFTER_CLAIM_BY, CURRENCY, Device, Town, policy

Change = Callable[[RootSettlement], RootSettlement]


def _pays_more(root: RootSettlement) -> RootSettlement:
    """Credit what no source pays."""
    paid = {a: Credit(c.amount + 5, c.guaranteed + 5) for a, c in root.credits.items()}
    return replace(root, credits=paid)


def _pays_less(root: RootSettlement) -> RootSettlement:
    """Lose part of what the sources pay."""
    paid = {a: Credit(c.amount - 5, c.guaranteed - 5) for a, c in root.credits.items()}
    return replace(root, credits=paid)


def _backs_too_much(root: RootSettlement) -> RootSettlement:
    """Pay the units of a voucher out twice."""
    more = replace(root.sources, backing=root.sources.backing + root.value)
    paid = {a: Credit(c.amount + root.value, c.guaranteed) for a, c in root.credits.items()}
    return replace(root, sources=more, credits=paid)


def _closes_too_early(root: RootSettlement) -> RootSettlement:
    """Close a voucher although nobody got all of it."""
    return replace(root, closed=True)


class _Says(RootSettlement):
    """A settlement whose open part is not what its backing leaves."""

    @property
    def open(self) -> int:
        return self.value - self.sources.backing - 7


def _forgets_value(root: RootSettlement) -> RootSettlement:
    return _Says(**vars(root))


PLANTED: dict[str, Change] = {
    "pays more than there is": _pays_more,
    "pays less than there is": _pays_less,
    "backs too much": _backs_too_much,
    "closes too early": _closes_too_early,
    "forgets value": _forgets_value,
}


def _plant(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    def wrong(*arguments: Any, **named: Any) -> Settlement:
        found = settle(*arguments, **named)
        return Settlement(tuple(change(root) if root.credits else root for root in found.roots))

    monkeypatch.setattr("server.offline.currency_settlement.settle", wrong)


async def _everything(town: Town) -> tuple[Any, ...]:
    async def count(tx: Tx) -> int:
        return await tx.session.scalar(select(func.count()).select_from(TransferRow)) or 0

    return (await town.state(), await town.uow.read(count))


async def _paid(town: Town) -> tuple[Device, Device, Chain]:
    ada, bob = await town.person("ada", money=100), await town.person("bob")
    (voucher,) = await town.issue(ada, 100)
    return ada, bob, bob.claim(ada.pay(voucher, bob, 0, 30), town.keys)


@pytest.mark.parametrize("planted", list(PLANTED))
async def test_a_wrong_settlement_is_not_committed_and_the_records_are_taken_later(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, planted: str
) -> None:
    _, bob, chain = await _paid(town)
    before = await _everything(town)
    with monkeypatch.context() as broken:
        _plant(broken, PLANTED[planted])
        with pytest.raises(SettlementUnsound) as refused:
            await town.sync(bob, chain)
    assert (refused.value.status, refused.value.code) == (503, "settlement_unsound")
    assert await _everything(town) == before
    assert "offline_settlement_refused" in caplog.text
    (deed,) = await deeds_of(town, "settlement_refused")
    assert deed.actor_name == "server"
    assert deed.detail

    answer = await town.sync(bob, chain)
    assert [result.status for result in answer.results] == ["stored", "stored"]
    assert await town.available(bob) == 30
    await town.check()
    await town.audit()


async def test_the_evidence_names_the_voucher_and_the_sums(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, chain = await _paid(town)
    _plant(monkeypatch, _pays_more)
    with pytest.raises(SettlementUnsound) as refused:
        await town.sync(bob, chain)
    evidence = refused.value.evidence
    assert (evidence["currency"], evidence["clearing"], evidence["vouchers_broken"]) == (
        CURRENCY,
        -5,
        1,
    )
    vouchers: Any = evidence["vouchers"]
    assert [(each["sources"], each["credits"]) for each in vouchers] == [(30, 35)]
    assert json.loads(json.dumps(evidence)) == evidence


async def test_the_same_refusal_is_kept_once_an_hour(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bob, chain = await _paid(town)
    _plant(monkeypatch, _pays_more)
    for minutes in (0, 30, 31):
        town.clock.advance(timedelta(minutes=minutes))
        with pytest.raises(SettlementUnsound):
            await town.sync(bob, chain)
    assert len(await deeds_of(town, "settlement_refused")) == 2


async def test_a_voucher_that_cannot_be_settled_keeps_no_other_from_its_closing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = await town.person("ada", money=300), await town.person("bob")
    vouchers = await town.issue(ada, 300)
    bad = vouchers[1].voucher.id
    for chain in vouchers:
        await town.sync(ada, ada.pay(chain, bob, 0, 40))
    town.clock.advance(AFTER_CLAIM_BY)
    with monkeypatch.context() as broken:
        _plant(broken, lambda root: _pays_more(root) if root.voucher_id == bad else root)
        assert await close_due_roots(town.uow, town.policy) == 2
    assert (await town.available(ada), await town.available(bob)) == (120, 80)
    await town.check()
    assert await close_due_roots(town.uow, town.policy) == 1
    assert (await town.available(ada), await town.available(bob)) == (180, 120)
    await town.check()


async def test_a_debtor_who_cannot_be_settled_keeps_no_other_from_paying(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheats = []
    for name in ("eve", "fay"):
        cheat = await town.person(name, money=100)
        (voucher,) = await town.issue(cheat, 100)
        for number in range(2):
            payee = await town.person(f"{name}-{number}")
            await town.sync(payee, payee.claim(cheat.pay(voucher, payee, 0, 100), town.keys))
        await town.top_up(cheat.user, 60)
        cheats.append((cheat, voucher.voucher.id))
    with monkeypatch.context() as broken:
        _plant(broken, lambda root: _pays_more(root) if root.voucher_id == cheats[0][1] else root)
        assert await collect_debts(town.uow, town.policy) == 1
    assert sorted([await town.available(cheat) for cheat, _ in cheats]) == [0, 60]
    await town.check()


TAMPERED = {
    "a voucher backs less": "UPDATE offline_voucher SET unpaid = unpaid - 1",
    "a voucher backs more": "UPDATE offline_voucher SET unpaid = unpaid + 1 WHERE unpaid < value",
    "a voucher is worth more": "UPDATE offline_voucher SET value = value + 1",
    "a voucher is gone": "DELETE FROM offline_voucher",
    "the sums are another": "UPDATE offline_book SET open_vouchers = open_vouchers + 1",
    "the float is another": "UPDATE offline_book SET float_posted = float_posted + 1",
    "clearing is another": "UPDATE offline_book SET clearing = 1",
    "zero is not": "UPDATE offline_book SET zero = 1",
    "the sums are gone": "DELETE FROM offline_book",
    "the sums are another currency's": "UPDATE offline_book SET currency = 'USD'",
    "the sums are another tenant's": "UPDATE offline_book SET tenant = 2",
}


@pytest.mark.parametrize("what", list(TAMPERED))
async def test_the_database_refuses_statements_that_break_the_books(
    town: Town, database: Database, what: str
) -> None:
    _, bob, chain = await _paid(town)
    await town.sync(bob, chain)
    before = await _everything(town)
    raw = RawSql(database)
    pragma = ["PRAGMA foreign_keys = ON"] if raw.dialect == "sqlite" else []
    with pytest.raises(REFUSALS):
        await _commit(raw, pragma, TAMPERED[what])
    assert await _everything(town) == before
    await town.check()


async def test_who_makes_the_sums_agree_by_hand_is_refused_or_found(
    town: Town, database: Database
) -> None:
    _, bob, chain = await _paid(town)
    await town.sync(bob, chain)
    raw = RawSql(database)
    by_hand = (
        "UPDATE offline_voucher SET unpaid = unpaid - 10",
        "UPDATE offline_book SET open_vouchers = open_vouchers + 10",
    )
    if raw.dialect == "postgresql":
        with pytest.raises(REFUSALS, match="follows vouchers and accounts"):
            await _commit(raw, [], *by_hand)
        await town.check()
        return
    await _commit(raw, ["PRAGMA foreign_keys = ON"], *by_hand)
    assert {"float", "book", "voucher"} <= {each.code for each in (await town.report()).breaks}


async def test_what_binds_collateral_is_kept(make_town: MakeTown, database: Database) -> None:
    rules = policy(voucher=200)
    limits = replace(rules.limits(CURRENCY), balance_max=100)
    town = make_town(replace(rules, currencies={CURRENCY: limits}))
    ada = await town.person("ada", money=200)
    data = CollateralChange(amount=50, currency=CURRENCY)
    await set_aside(town.uow, town.policy, ada.caller, data, key="aside")
    await town.issue(ada, 120)
    raw = RawSql(database)
    less = "SELECT tenant, voucher, user_id, currency, 1 FROM offline_pledge"
    statements = ["UPDATE offline_pledge SET amount = 1", "DELETE FROM offline_pledge"]
    if raw.dialect == "sqlite":
        statements.append(f"INSERT OR REPLACE INTO offline_pledge {less}")
    for statement in statements:
        with pytest.raises(REFUSALS):
            await _commit(raw, [], statement)
    with pytest.raises(CollateralBound):
        await take_back(town.uow, town.policy, ada.caller, data, key="back")


async def _commit(raw: RawSql, pragma: list[str], *statements: str) -> None:
    """Run statements as somebody would who has the password; SQLite sets pragmas outside."""
    if raw.dialect == "postgresql":
        await raw.run(*statements)
        return

    def work() -> None:
        connection = sqlite3.connect(str(raw._url.database), isolation_level=None, timeout=10)
        try:
            for line in (*pragma, "BEGIN IMMEDIATE", *statements, "COMMIT"):
                connection.execute(line)
        finally:
            connection.close()

    await asyncio.to_thread(work)


async def test_an_entry_on_the_float_that_no_voucher_stands_for_is_not_committed(
    town: Town,
) -> None:
    ada = await town.person("ada", money=100)
    entry = EntryRequest(
        id=ada.user,
        kind="test.stray",
        debit=AccountRef(AccountKind.USER_AVAILABLE, CURRENCY, ada.user, town.tenant),
        credit=AccountRef(AccountKind.HOUSE_OFFLINE_FLOAT, CURRENCY, None, town.tenant),
        amount=5,
    )
    before = await town.state()
    with pytest.raises(Exception, match=r"offline_book|FOREIGN KEY"):
        await town.uow.run(lambda tx: post_many(tx, [entry]))
    assert await town.state() == before


_LESS_CREDIT = """
    UPDATE offline_position SET amount = amount - 5, promised = promised - 5 WHERE leg = 'credit'
"""
_MORE_CREDIT = """
    UPDATE offline_position SET amount = amount + 5, promised = promised + 5 WHERE leg = 'credit'
"""
_LESS_BACKING = "UPDATE offline_position SET amount = amount - 5 WHERE leg = 'backing'"
_NO_DEBT = "UPDATE offline_account SET owed = 0, recovered = 0 WHERE owed > 0"


@pytest.mark.parametrize(
    "statements",
    [[_LESS_CREDIT], [_LESS_BACKING], [_LESS_CREDIT, _LESS_BACKING]],
    ids=["credit", "source", "both, so that they agree"],
)
async def test_positions_that_somebody_changed_are_found_and_lead_to_no_payment(
    town: Town, database: Database, statements: list[str]
) -> None:
    eve, bob, chain = await _paid(town)
    dan = await town.person("dan")
    await town.sync(bob, chain)
    await RawSql(database).run(*statements)

    report = await town.report()
    assert not report.adds_up
    assert "voucher" in {each.code for each in report.breaks}
    assert "BROKEN voucher" in report.as_text()
    before = await _everything(town)
    more = dan.claim(eve.pay(Chain(chain.voucher), dan, 90, 100), town.keys)
    with pytest.raises(SettlementUnsound):
        await town.sync(dan, more)
    assert await _everything(town) == before


async def test_a_debt_that_somebody_changed_is_found(town: Town, database: Database) -> None:
    eve, bob, chain = await _paid(town)
    cid = await town.person("cid")
    await town.sync(bob, chain)
    await town.sync(cid, cid.claim(eve.pay(Chain(chain.voucher), cid, 0, 20), town.keys))
    await RawSql(database).run(_NO_DEBT)
    assert {"debt", "receivable"} <= {each.code for each in (await town.report()).breaks}


async def test_check_settled_looks_at_the_database_and_not_at_what_was_meant(town: Town) -> None:
    _, bob, chain = await _paid(town)
    await town.sync(bob, chain)
    roots = [chain.voucher.id]
    await town.uow.read(lambda tx: check_settled(tx, town.tenant, CURRENCY, roots))
    await town.uow.read(lambda tx: check_settled(tx, town.tenant, "JPY", []))


async def test_the_books_are_checked_once_a_day_and_what_is_found_is_kept(
    town: Town, database: Database
) -> None:
    _, bob, chain = await _paid(town)
    await town.sync(bob, chain)
    assert await check_books_daily(town.uow, town.tenant) is True
    assert await check_books_daily(town.uow, town.tenant) is None
    await RawSql(database).run(_LESS_CREDIT)
    town.clock.advance(timedelta(days=1))
    assert await check_books_daily(town.uow, town.tenant) is False
    await RawSql(database).run(_MORE_CREDIT)

    async def kept(tx: Tx) -> list[CheckRow]:
        return list(await tx.session.scalars(select(CheckRow).order_by(CheckRow.at)))

    rows = await town.uow.read(kept)
    assert [row.sound for row in rows] == [True, False]
    assert rows[1].findings[0]["code"] == "voucher"
    report = await town.uow.read(lambda tx: offline_report(tx, town.tenant, town.policy))
    assert [alarm.code for alarm in report.alarms] == ["last_check"]
    town.clock.advance(timedelta(days=1))
    assert await check_books_daily(town.uow, town.tenant) is True
    assert (await town.report()).alarms == ()
