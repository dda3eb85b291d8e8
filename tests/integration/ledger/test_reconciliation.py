"""Mirror accounts against what the other side says, on both databases."""

import asyncio
import sqlite3
from datetime import date, timedelta
from functools import partial
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import pytest

from server.kit.errors import InvalidRequest, NotFound
from server.kit.unit_of_work import UnitOfWork
from server.ledger import AccountKind, AccountRef, EntryRequest
from server.ledger.account_books import booked_as
from server.ledger.book_errors import BreakFinal, ExternalIdUsed, StatementChanged
from server.ledger.breaks import BreakState, decide_break, events_of, list_breaks
from server.ledger.outside_lines import OutsideLine
from server.ledger.reconciliation import ReconciliationReport, last_report, reconcile
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import REFUSALS, RawSql, post, results, verified
from tests.unit.ledger.books import ANNA, BERK, GATEWAY, START, fund, hold, move

BANK = AccountRef(AccountKind.BANK_MONEY, "EUR", UUID(int=500))
TODAY = START.date()
DAY = timedelta(days=1)


def came_in(external_id: str, amount: int, bank: AccountRef = BANK) -> EntryRequest:
    return move(bank, ANNA, amount, memo={"external_id": external_id})


def line(external_id: str, amount: int, day: date = TODAY, currency: str = "EUR") -> OutsideLine:
    return OutsideLine(external_id, amount, currency, day, f"line {external_id}")


async def against(
    uow: UnitOfWork,
    *lines: OutsideLine,
    name: str = "s1",
    closing: int | None = None,
    period: tuple[date, date] | None = (TODAY, TODAY),
) -> ReconciliationReport:
    return await uow.run(
        lambda tx: reconcile(tx, BANK, name, lines, closing_balance=closing, period=period)
    )


def kinds(report: ReconciliationReport) -> list[tuple[str, str]]:
    return sorted((each.kind.value, str(each.external_id)) for each in report.breaks)


async def test_what_agrees_leaves_nothing_open(uow: UnitOfWork) -> None:
    await post(uow, came_in("a", 100), came_in("b", 50))
    await post(uow, move(ANNA, BANK, 30, memo={"external_id": "c"}))
    report = await against(uow, line("a", 100), line("b", 50), line("c", -30), closing=120)
    assert report.sound
    assert (report.matched, report.lines, report.balance_here, report.unexplained) == (3, 3, 120, 0)


async def test_every_kind_of_difference_is_found(uow: UnitOfWork) -> None:
    await post(uow, came_in("fits", 100), came_in("other", 50), came_in("unseen", 7))
    await post(uow, move(BANK, ANNA, 9))
    report = await against(
        uow,
        line("fits", 100),
        line("fits", 100),
        line("other", 55),
        line("new", 20),
        line("dollars", 3, currency="USD"),
        closing=100 + 100 + 55 + 20,
    )
    assert kinds(report) == [
        ("different_amount", "other"),
        ("different_currency", "dollars"),
        ("duplicate", "fits"),
        ("missing_here", "new"),
        ("missing_there", "None"),
        ("missing_there", "unseen"),
    ]
    assert (report.matched, report.unexplained, report.sound) == (1, 0, False)


async def test_money_that_no_line_explains_is_shown(uow: UnitOfWork) -> None:
    await post(uow, came_in("a", 100))
    report = await against(uow, line("a", 100), closing=93)
    assert (report.breaks, report.unexplained, report.sound) == ((), -7, False)


async def test_the_same_statement_again_changes_nothing(uow: UnitOfWork) -> None:
    lines = (line("a", 1), line("b", 2))
    first = await against(uow, *lines)
    again = await against(uow, *lines)
    assert (first.repeated, again.repeated) == (False, True)
    assert first.breaks == again.breaks
    with pytest.raises(StatementChanged):
        await against(uow, line("a", 1), line("b", 3))
    with pytest.raises(StatementChanged):
        await against(uow, *lines, closing=3)


async def test_a_line_that_is_booked_later_comes_right(uow: UnitOfWork, clock: ManualClock) -> None:
    first = await against(uow, line("late", 40), line("wrong", 10))
    assert kinds(first) == [("missing_here", "late"), ("missing_here", "wrong")]
    await post(uow, came_in("late", 40), came_in("wrong", 11))
    clock.advance(DAY)
    tomorrow = TODAY + DAY
    second = await against(uow, name="s2", period=(tomorrow, tomorrow), closing=50)
    assert kinds(second) == [("different_amount", "wrong")]
    assert second.unexplained == 0
    (late, _) = first.breaks
    events = await uow.read(lambda tx: events_of(tx, 1, late.id))
    assert [(event.state, event.set_by) for event in events] == [
        (BreakState.OPEN, "books"),
        (BreakState.CLOSED, "books"),
    ]


async def test_an_entry_that_a_later_statement_shows_comes_right(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, came_in("a", 5))
    assert kinds(await against(uow)) == [("missing_there", "a")]
    assert kinds(await against(uow, name="again")) == [("missing_there", "a")]
    clock.advance(DAY)
    tomorrow = TODAY + DAY
    report = await against(
        uow, line("a", 5, tomorrow), name="s2", period=(tomorrow, tomorrow), closing=5
    )
    assert report.sound


async def test_statements_in_any_order_end_alike(uow: UnitOfWork, clock: ManualClock) -> None:
    days = [TODAY + n * DAY for n in range(3)]
    for n in range(3):
        await post(uow, came_in(f"d{n}", 10 + n))
        clock.advance(DAY)
    for n in (2, 0, 1):
        shown = line(f"d{n}", 10 + n, days[n])
        await against(uow, shown, name=f"s{n}", period=(days[n], days[n]))
    assert await uow.read(lambda tx: list_breaks(tx, 1, state=BreakState.OPEN)) == []
    last = await uow.read(lambda tx: last_report(tx, BANK))
    assert last is not None
    assert (last.statement, last.sound) == ("s2", True)


async def test_overlapping_statements_repeat_lines_and_no_facts(uow: UnitOfWork) -> None:
    await post(uow, came_in("a", 5))
    assert (await against(uow, line("a", 5))).sound
    assert (await against(uow, line("a", 5), name="overlap")).sound
    assert kinds(await against(uow, line("a", 6), name="other")) == [("duplicate", "a")]


async def test_what_was_before_the_first_statement_is_not_looked_for(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, came_in("old", 5))
    clock.advance(3 * DAY)
    await post(uow, came_in("new", 6))
    day = TODAY + 3 * DAY
    report = await against(uow, line("new", 6, day), period=(day, day), closing=11)
    assert report.sound


async def test_a_break_goes_its_way_with_reasons(uow: UnitOfWork) -> None:
    report = await against(uow, line("a", 1), line("b", 2))
    one = report.breaks[0]

    async def decide(state: BreakState, reason: str = "asked the bank") -> str:
        changed = await uow.run(
            lambda tx: decide_break(tx, 1, one.id, state, reason=reason, by="olga")
        )
        return changed.state.value

    with pytest.raises(InvalidRequest):
        await decide(BreakState.EXPLAINED, " ")
    assert await decide(BreakState.EXPLAINED) == "explained"
    with pytest.raises(BreakFinal):
        await decide(BreakState.EXPLAINED)
    assert await decide(BreakState.OPEN) == "open"
    assert await decide(BreakState.CLOSED) == "closed"
    for state in BreakState:
        with pytest.raises(BreakFinal):
            await decide(state)
    with pytest.raises(NotFound):
        await uow.run(lambda tx: decide_break(tx, 2, one.id, BreakState.CLOSED, reason="x", by="y"))
    events = await uow.read(lambda tx: events_of(tx, 1, one.id))
    assert [event.state.value for event in events] == ["open", "explained", "open", "closed"]
    left = await uow.read(lambda tx: list_breaks(tx, 1, state=BreakState.OPEN))
    assert [each.external_id for each in left] == ["b"]


async def test_the_trail_of_breaks_stays(uow: UnitOfWork, database: Database) -> None:
    await against(uow, line("a", 1))
    raw = RawSql(database)
    for statement in (
        "DELETE FROM reconciliation_break",
        "DELETE FROM reconciliation_event",
        "UPDATE reconciliation_event SET reason = 'nothing'",
        "UPDATE reconciliation_break SET there = 0",
        "UPDATE outside_line SET amount = 0",
        "DELETE FROM outside_statement",
        "UPDATE reconciliation_break SET state = 'gone'",
    ):
        with pytest.raises((*REFUSALS, sqlite3.IntegrityError, asyncpg.PostgresError)):
            await raw.run(statement)


@pytest.mark.parametrize(
    "bad",
    [
        line("", 1),
        line("x" * 201, 1),
        line("a", 0),
        line("a", 2**62 + 1),
        line("a", 1, TODAY - DAY),
        line("a", 1, TODAY + DAY),
        line("a", 1)._replace(text="x" * 501),
    ],
)
async def test_a_line_that_cannot_be_is_refused(uow: UnitOfWork, bad: OutsideLine) -> None:
    with pytest.raises(InvalidRequest):
        await against(uow, bad)
    assert await uow.read(lambda tx: list_breaks(tx, 1)) == []


async def test_two_at_once_find_each_difference_once(uow: UnitOfWork) -> None:
    await post(uow, came_in("a", 5), came_in("b", 6))
    await asyncio.gather(*(against(uow, name=f"s{n}") for n in range(4)))
    breaks = await uow.read(lambda tx: list_breaks(tx, 1))
    assert sorted(str(each.external_id) for each in breaks) == ["a", "b"]


# Outside facts are booked once


async def test_an_outside_fact_is_booked_once_on_each_mirror(
    uow: UnitOfWork, database: Database
) -> None:
    first = came_in("txn_1", 5)
    await post(uow, first)
    assert [outcome.replayed for outcome in await post(uow, first)] == [True]
    with pytest.raises(ExternalIdUsed):
        await post(uow, came_in("txn_1", 5))
    with pytest.raises(ExternalIdUsed):
        await post(uow, fund(BERK, 3), move(BERK, BANK, 1, memo={"external_id": "txn_1"}))
    other = AccountRef(AccountKind.BANK_MONEY, "EUR", UUID(int=501))
    assert await results(uow, came_in("txn_1", 5, other)) == ["applied"]
    assert await results(uow, fund(ANNA, 1, memo={"external_id": "txn_1"})) == ["applied"]
    assert await uow.read(lambda tx: booked_as(tx, BANK, "txn_1")) == first.id
    assert await uow.read(lambda tx: booked_as(tx, GATEWAY, "txn_2")) is None
    raw = RawSql(database)
    insert = "INSERT INTO external_reference (tenant, account, external_id, entry) VALUES"
    for values in (
        (1, raw.id(BANK.id), "txn_9", raw.id(first.id)),
        (1, raw.id(ANNA.id), "txn_1", raw.id(first.id)),
    ):
        with pytest.raises(REFUSALS):
            await raw.run(f"{insert} (?, ?, ?, ?)", values=values)
    with pytest.raises(REFUSALS):
        await raw.run("DELETE FROM external_reference")
    await verified(uow)


async def test_only_what_moved_money_books_a_fact(uow: UnitOfWork) -> None:
    refused = move(ANNA, BANK, 99, memo={"external_id": "p1"})
    assert await results(uow, refused) == ["insufficient_funds"]
    await post(uow, fund(ANNA, 100))
    held = hold(ANNA, BANK, 60, memo={"external_id": "p1"})
    assert await results(uow, held) == ["applied"]
    assert await uow.read(lambda tx: booked_as(tx, BANK, "p1")) is None
    paid = move(ANNA, BANK, 10, memo={"external_id": "p1"})
    assert await results(uow, paid) == ["applied"]
    assert await uow.read(lambda tx: booked_as(tx, BANK, "p1")) == paid.id


async def test_one_fact_booked_by_many_at_once_is_booked_once(uow: UnitOfWork) -> None:
    async def book() -> str:
        try:
            return (await results(uow, came_in("race", 5)))[0]
        except ExternalIdUsed:
            return "used"

    assert sorted(await asyncio.gather(*(book() for _ in range(12)))) == [
        "applied",
        *["used"] * 11,
    ]
    await verified(uow)


async def test_ids_are_taken_as_they_are(uow: UnitOfWork) -> None:
    ids = ['a"b', "a\\b", "ünïcode", "x y", "'; DROP TABLE entry", "%_", "1"]
    await post(uow, *(came_in(each, 1) for each in ids))
    for each in ids:
        found = await uow.read(partial(booked_as, mirror=BANK, external_id=each))
        assert found is not None


async def test_a_memo_may_hold_what_only_one_database_could_store(uow: UnitOfWork) -> None:
    odd = move(BANK, ANNA, 1, memo={"external_id": "odd", "text": "a\x00b"})
    assert await results(uow, odd) == ["applied"]
    assert await uow.read(lambda tx: booked_as(tx, BANK, "odd")) == odd.id
