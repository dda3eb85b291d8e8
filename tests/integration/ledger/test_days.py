"""Closing of days, on both databases: what is closed stays, and nothing slips in."""

import asyncio
import random
import sqlite3
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from offline_protocol.keys import SoftwareSigner
from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import (
    EntryRequest,
    balance_at,
    day_closing,
    day_figures,
    post_many,
    seal_once,
    verify_ledger,
)
from server.ledger.book_errors import BooksUnbalanced, DayNotClosed, DayNotOver
from server.ledger.book_guards import DAY_US
from server.ledger.book_models import ClosedDayRow, DayBalanceRow, DayCutoffRow
from server.ledger.day_closing import close_days, close_due_days
from server.ledger.days import ClosedDay, last_closed, number_of
from server.ledger.past import Times, balance_effective, balances_at
from server.ledger.trial_balance import TrialBalance, closed_trial_balance, trial_balance
from tests.conftest import Database
from tests.fakes.clock import ManualClock
from tests.integration.ledger.ledgers import REFUSALS, RawSql, post, results, verified
from tests.unit.ledger.books import ANNA, BERK, START, capture, fund, hold, move, user

SIGNER = SoftwareSigner(bytes(range(32)))
TODAY = START.date()
DAY = timedelta(days=1)


async def _close(uow: UnitOfWork, upto: date = TODAY) -> list[ClosedDay]:
    return await close_days(uow, SIGNER, upto=upto)


async def _snapshot(uow: UnitOfWork, account: UUID, day: date) -> tuple[int, int, int, int] | None:
    async def look(tx: Tx) -> tuple[int, int, int, int] | None:
        row = await tx.session.get(DayBalanceRow, (1, account, number_of(day)))
        return None if row is None else (row.postings, row.debits, row.credits, row.balance)

    return await uow.read(look)


def _lines(report: TrialBalance) -> dict[str, tuple[int, int]]:
    return {line.kind.value: (line.accounts, line.posted) for line in report.lines}


async def test_a_closed_day_has_what_each_account_did_and_had(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, fund(ANNA, 100), move(ANNA, BERK, 30), move(BERK, ANNA, 5))
    clock.advance(DAY)
    (first,) = await _close(uow)
    assert (first.date, first.accounts, first.postings) == (TODAY, 3, 6)
    assert await _snapshot(uow, ANNA.id, TODAY) == (3, 30, 105, 75)
    await post(uow, move(ANNA, BERK, 1))
    clock.advance(DAY)
    (second,) = await _close(uow, TODAY + DAY)
    assert second.previous == first.hash
    assert await _snapshot(uow, ANNA.id, TODAY + DAY) == (1, 1, 0, 74)
    totals = await uow.read(lambda tx: closed_trial_balance(tx, 1, TODAY + DAY))
    assert _lines(totals) == {"user_available": (2, 100), "house_card_gateway": (1, -100)}
    assert totals.balanced
    before = await uow.read(lambda tx: closed_trial_balance(tx, 1, TODAY))
    at_noon = await uow.read(lambda tx: trial_balance(tx, 1, at=START, by=Times.EFFECTIVE))
    assert _lines(before) == _lines(at_noon)
    report = await uow.read(lambda tx: verify_ledger(tx, trusted_keys=[SIGNER.public_key]))
    assert report.sound, report.as_text()
    assert report.days == {1: (second.day, second.hash)}


async def test_days_without_movements_are_closed_too(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, fund(ANNA, 1))
    clock.advance(5 * DAY)
    closed = await _close(uow, TODAY)
    closed += await _close(uow, TODAY + 4 * DAY)
    assert [day.date for day in closed] == [TODAY + n * DAY for n in range(5)]
    assert [day.postings for day in closed] == [2, 0, 0, 0, 0]
    assert await _close(uow, TODAY + 4 * DAY) == []
    await verified(uow)


async def test_a_day_that_is_not_over_stays_open(uow: UnitOfWork) -> None:
    for day in (TODAY, TODAY + DAY):
        with pytest.raises(DayNotOver):
            await _close(uow, day)
    with pytest.raises(DayNotClosed):
        await uow.read(lambda tx: closed_trial_balance(tx, 1, TODAY))


async def test_the_job_waits_for_its_hour_and_for_a_first_entry(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    async def due() -> list[date]:
        closed = await close_due_days(uow, SIGNER, after_s=10_800)
        return [day.date for day in closed]

    clock.advance(DAY)
    assert await due() == []
    await post(uow, fund(ANNA, 1))
    assert await due() == []
    clock.advance(timedelta(hours=17, minutes=59, seconds=59))
    assert await due() == []
    clock.advance(timedelta(seconds=1))
    assert await due() == [TODAY + DAY]
    clock.advance(3 * DAY)
    assert await due() == [TODAY + n * DAY for n in (2, 3, 4)]


async def test_a_late_fact_takes_effect_on_the_first_open_day(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(2 * DAY)
    early = START - timedelta(days=3)
    counted = fund(ANNA, 7, effective_at=early)
    await post(uow, counted)
    await _close(uow)
    late = fund(ANNA, 50, effective_at=early)
    assert await results(uow, late) == ["applied"]
    assert [outcome.replayed for outcome in await post(uow, late)] == [True]
    midnight = datetime.combine(TODAY + DAY, datetime.min.time(), START.tzinfo)
    tick = timedelta(microseconds=1)

    async def effective(when: datetime) -> int:
        return await uow.read(lambda tx: balance_effective(tx, ANNA, when))

    assert await effective(early - tick) == 0
    assert await effective(early) == 7
    assert await effective(midnight - tick) == 107
    assert await effective(midnight) == 157
    assert await uow.read(lambda tx: balance_at(tx, ANNA, midnight)) == 100
    assert (await _snapshot(uow, ANNA.id, TODAY)) == (2, 0, 107, 107)
    await _close(uow, TODAY + DAY)
    assert (await _snapshot(uow, ANNA.id, TODAY + DAY)) == (1, 0, 50, 157)
    await verified(uow)


async def test_what_takes_effect_later_is_closed_later(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, fund(ANNA, 100), fund(ANNA, 9, effective_at=START + 2 * DAY))
    clock.advance(DAY)
    await post(uow, move(ANNA, BERK, 1))
    await seal_once(uow, SIGNER)
    await _close(uow)
    await post(uow, move(ANNA, BERK, 2))
    clock.advance(2 * DAY)
    closed = await _close(uow, TODAY + 2 * DAY)
    assert [day.postings for day in closed] == [4, 2]
    assert await _snapshot(uow, ANNA.id, TODAY) == (1, 0, 100, 100)
    assert await _snapshot(uow, ANNA.id, TODAY + DAY) == (2, 3, 0, 97)
    assert await _snapshot(uow, ANNA.id, TODAY + 2 * DAY) == (1, 0, 9, 106)
    await verified(uow)


async def test_the_database_itself_keeps_entries_out_of_closed_days(
    uow: UnitOfWork, clock: ManualClock, database: Database
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(DAY)
    await _close(uow)
    raw = RawSql(database)
    at = to_microseconds(clock.now())
    for effective_at, taken in (((number_of(TODAY) + 1) * DAY_US - 1, False), (at, True)):
        columns = (
            "tenant, id, operation, kind, outcome, reason, debit, credit, asset, amount, "
            "debit_version, credit_version, hold, chain, expires_at, effective_at, at, "
            "fingerprint, memo"
        )
        values = (
            1, raw.id(UUID(int=77)), "post", "raw", "applied", None, raw.id(ANNA.id),
            raw.id(fund(ANNA, 1).debit.id), "EUR", 1, 2, 2, None, None, None, effective_at, at,
            bytes(32), None,
        )  # fmt: skip
        insert = f"INSERT INTO entry ({columns}) VALUES ({', '.join('?' * 19)})"
        if taken:
            await raw.run(insert, values=values)
        else:
            refusals = (sqlite3.IntegrityError, asyncpg.SerializationError)
            with pytest.raises(refusals, match="the day is closed"):
                await raw.run(insert, values=values)
    await verified(uow)


async def test_what_was_closed_is_neither_changed_nor_added_to(
    uow: UnitOfWork, clock: ManualClock, database: Database
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(4 * DAY)
    await _close(uow)
    raw, day = RawSql(database), number_of(TODAY)
    statements = [
        *(f"DELETE FROM {t}" for t in ("day_cutoff", "closed_day", "day_balance", "day_total")),
        "UPDATE day_balance SET balance = balance + 1",
        "UPDATE day_total SET balance = 0",
        "UPDATE closed_day SET signature = NULL, public_key = NULL",
        "UPDATE day_cutoff SET day = 0",
        f"INSERT INTO day_cutoff (tenant, day, at) VALUES (1, {day + 2}, 0)",
        f"INSERT INTO day_cutoff (tenant, day, at) VALUES (1, {day - 1}, 0)",
        f"INSERT INTO day_total VALUES (1, {day}, 'EUR', 'house_fees', 1, 0, 0, 0)",
        f"INSERT INTO day_total VALUES (1, {day + 1}, 'EUR', 'house_fees', 1, 0, 0, 0)",
        f"INSERT INTO day_cutoff (tenant, day, at) VALUES (1, {day}, 0)",
    ]
    if database.dialect == "sqlite":
        statements.append(f"INSERT OR REPLACE INTO day_cutoff VALUES (1, {day}, 0)")
    for statement in statements:
        try:
            await raw.run(statement)
        except REFUSALS:
            continue
        pytest.fail(f"the database took {statement}")
    await verified(uow)


async def test_an_entry_under_way_at_the_cutoff_is_waited_for(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    """Whoever had posted before the cutoff is in the closed day, however late the commit."""
    if uow.dialect == "sqlite":
        pytest.skip("SQLite has one writer: nobody is under way at the cutoff")
    await post(uow, fund(ANNA, 100))
    posted, commit = asyncio.Event(), asyncio.Event()

    async def slow(tx: Tx) -> None:
        await post_many(tx, [move(ANNA, BERK, 40)])
        posted.set()
        await commit.wait()

    writer = asyncio.create_task(uow.run(slow))
    await posted.wait()
    clock.advance(DAY)
    closer = asyncio.create_task(_close(uow))

    async def cut(tx: Tx) -> bool:
        return await tx.connection.scalar(select(func.count()).select_from(DayCutoffRow)) == 1

    while not await uow.read(cut):  # noqa: ASYNC110 - it is the database that says so
        await asyncio.sleep(0)
    # Others post meanwhile: the open day is not locked.
    assert await results(uow, fund(user(9), 3)) == ["applied"]
    assert not closer.done()
    commit.set()
    await writer
    (closed,) = await closer
    assert closed.postings == 4
    assert await _snapshot(uow, BERK.id, TODAY) == (1, 0, 40, 40)
    await verified(uow)


async def test_a_command_that_began_before_midnight_runs_again_after_the_cutoff(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    if uow.dialect == "sqlite":
        pytest.skip("SQLite has one writer: a command cannot begin before and write after")
    await post(uow, fund(ANNA, 100))
    began, go_on, times = asyncio.Event(), asyncio.Event(), []

    async def stale(tx: Tx) -> None:
        times.append(tx.now)
        began.set()
        await go_on.wait()
        await post_many(tx, [late])

    late = move(ANNA, BERK, 40)
    writer = asyncio.create_task(uow.run(stale))
    await began.wait()
    clock.advance(DAY)
    await _close(uow)
    go_on.set()
    await writer
    assert times == [START, START + DAY]
    assert await _snapshot(uow, BERK.id, TODAY) is None
    await verified(uow)


async def test_a_crash_between_the_steps_is_made_up_for(
    uow: UnitOfWork, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(DAY)
    for step in ("_settle_down", "_seal_day", "_close"):

        async def crash(*_: object) -> None:
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(day_closing, step, crash)
            with pytest.raises(RuntimeError):
                await _close(uow)
        assert await uow.read(lambda tx: last_closed(tx, 1)) is None
        # The cutoff holds already, so nothing was posted into the day meanwhile.
        assert await results(uow, fund(ANNA, 1, effective_at=START)) == ["applied"]
    (closed,) = await _close(uow)
    assert closed.postings == 2
    await verified(uow)


async def test_of_several_closers_one_closes(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, *(fund(user(n), n) for n in range(1, 30)))
    clock.advance(3 * DAY)
    closed = await asyncio.gather(*(_close(uow, TODAY + 2 * DAY) for _ in range(4)))
    days = sorted(day.date for each in closed for day in each)
    assert days == [TODAY + 2 * DAY]  # the first one takes all before it
    await verified(uow)


async def test_posting_and_closing_race(uow: UnitOfWork, clock: ManualClock) -> None:
    await post(uow, *(fund(user(n), 1000) for n in range(4)))
    stop = asyncio.Event()

    async def poster(n: int) -> None:
        while not stop.is_set():
            effective = clock.now() - timedelta(hours=7 * n)
            await post(uow, move(user(n), user((n + 1) % 4), 1, effective_at=effective))
            await asyncio.sleep(0)

    posters = [asyncio.create_task(poster(n)) for n in range(4)]
    for day in range(4):
        clock.advance(DAY)
        await asyncio.sleep(0.02)
        await _close(uow, TODAY + day * DAY)
    stop.set()
    await asyncio.gather(*posters)
    clock.advance(DAY)
    await _close(uow, TODAY + 4 * DAY)
    await verified(uow)


async def test_tenants_close_apart(uow: UnitOfWork, clock: ManualClock) -> None:
    other = user(1, tenant=2)
    await post(uow, fund(ANNA, 1))
    await post(uow, fund(other, 1))
    clock.advance(DAY)
    await _close(uow)
    await post(uow, fund(other, 5, effective_at=START))
    closed = await close_days(uow, SIGNER, tenant=2, upto=TODAY)
    assert [day.postings for day in closed] == [4]
    assert (await verified(uow)).days.keys() == {1, 2}


async def test_a_day_is_not_closed_over_books_that_do_not_add_up(
    uow: UnitOfWork, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post(uow, fund(ANNA, 1))
    clock.advance(DAY)
    one_sided = day_figures._CHANGED.replace("UNION ALL SELECT 2", "")
    monkeypatch.setattr(day_figures, "_CHANGED", one_sided)
    with pytest.raises(BooksUnbalanced):
        await _close(uow)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE day_balance SET debits = debits + 1, balance = balance - 1", "day_postings"),
        ("UPDATE day_balance SET balance = balance + 1", "day_balance"),
        ("UPDATE day_total SET balance = balance + 1 WHERE kind = 'user_available'", "day_total"),
        ("DELETE FROM day_balance", "day_root"),
        ("UPDATE closed_day SET postings = 9", "day_hash"),
        ("UPDATE closed_day SET signature = public_key", "day_signature"),
        ("UPDATE closed_day SET previous = root", "day_link"),
    ],
)
async def test_whoever_drops_the_guards_and_edits_a_day_is_found(
    uow: UnitOfWork, clock: ManualClock, database: Database, change: str, code: str
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(DAY)
    await _close(uow)
    table = change.removeprefix("UPDATE ").removeprefix("DELETE FROM ").split()[0]
    raw = RawSql(database)
    if database.dialect == "sqlite":
        names = await raw.run(
            f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
        )
        await raw.run(*(f"DROP TRIGGER {name}" for (name,) in names), change)
    else:
        await raw.run(f"ALTER TABLE {table} DISABLE TRIGGER USER", change)
    report = await uow.read(verify_ledger)
    assert code in {each.code for each in report.breaks}


async def test_an_entry_slipped_into_a_closed_day_is_found(
    uow: UnitOfWork, clock: ManualClock, database: Database
) -> None:
    await post(uow, fund(ANNA, 100))
    clock.advance(DAY)
    await _close(uow)
    raw = RawSql(database)
    if database.dialect == "sqlite":
        await raw.run("DROP TRIGGER entry_after_cutoff")
    else:
        await raw.run("DROP TRIGGER ledger_after_cutoff ON entry")
    await post(uow, fund(ANNA, 1))
    assert (await uow.read(verify_ledger)).sound

    async def slip(tx: Tx) -> None:
        await tx.connection.exec_driver_sql("DELETE FROM day_cutoff")
        await post_many(tx, [fund(ANNA, 5, effective_at=START)])

    if database.dialect == "sqlite":
        await raw.run("DROP TRIGGER day_cutoff_is_kept")
    else:
        await raw.run("ALTER TABLE day_cutoff DISABLE TRIGGER USER")
    await uow.run(slip)
    report = await uow.read(verify_ledger)
    assert {each.code for each in report.breaks} == {"day_postings"}


async def test_closing_needs_the_database_to_keep_its_order(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    """A second close of the same day fails as a whole, whatever it would have stored."""
    await post(uow, fund(ANNA, 100))
    clock.advance(DAY)
    await _close(uow)

    async def again(tx: Tx) -> None:
        row = (await tx.session.scalars(select(ClosedDayRow))).one()
        tx.session.expunge(row)
        values = {c.name: getattr(row, c.name) for c in ClosedDayRow.__table__.columns}
        await tx.connection.execute(insert(ClosedDayRow).values(**values))

    with pytest.raises(DBAPIError):
        await uow.run(again)


async def test_past_balances_of_an_owner_count_holds(uow: UnitOfWork, clock: ManualClock) -> None:
    held: EntryRequest = hold(ANNA, BERK, 40, for_s=90)
    second = timedelta(seconds=1)
    await post(uow, fund(ANNA, 100), held)
    clock.advance(10 * second)
    await post(uow, capture(held, 15))
    clock.advance(200 * second)
    await post(uow, fund(ANNA, 1))

    async def at(seconds: float) -> tuple[int, int, int] | None:
        when = START + timedelta(seconds=seconds)
        assert ANNA.owner is not None
        found = await uow.read(partial(balances_at, tenant=1, owner=ANNA.owner, when=when))
        return (found[0].posted, found[0].held, found[0].available) if found else None

    assert await at(-1) is None
    assert await at(0) == (100, 40, 60)
    assert await at(10) == (85, 25, 60)
    assert await at(89.999999) == (85, 25, 60)
    assert await at(90) == (85, 0, 85)
    assert await at(210) == (86, 0, 86)


@pytest.mark.parametrize("seed", range(3))
async def test_any_history_has_the_balances_of_a_simple_list(
    uow: UnitOfWork, clock: ManualClock, seed: int
) -> None:
    """Posts with any dates, closings in between: everything agrees with a list of facts."""
    draw = random.Random(seed)
    people = [user(n) for n in range(1, 4)]
    facts: list[tuple[UUID, int, datetime, datetime]] = []
    open_from = datetime(1970, 1, 1, tzinfo=UTC)
    for _ in range(40):
        now = clock.now()
        requests = []
        for _ in range(draw.randrange(3)):
            debit, credit = draw.sample(people, 2)
            wanted = now + draw.choice([-3, -1, -1, 0, 0, 1]) * draw.random() * DAY
            funded = fund(debit, 50, effective_at=draw.choice([None, wanted]))
            requests += [funded, move(debit, credit, draw.randint(1, 50), effective_at=wanted)]
        await post(uow, *requests)
        for request in requests:
            named = request.effective_at
            effective = now if named is None else max(named, open_from)
            facts += [
                (request.debit.id, -request.amount, now, effective),
                (request.credit.id, request.amount, now, effective),
            ]
        clock.advance(draw.random() * 0.4 * DAY)
        yesterday = clock.now().date() - DAY
        end = datetime.combine(yesterday + DAY, datetime.min.time(), UTC)
        if draw.random() < 0.3 and end > open_from:
            await _close(uow, yesterday)
            open_from = end
    for _ in range(25):
        ref = draw.choice(people)
        when = START + draw.uniform(-3, 9) * DAY
        known = [f for f in facts if f[0] == ref.id]
        recorded = await uow.read(partial(balance_at, ref=ref, when=when))
        assert recorded == sum(delta for _, delta, at, _ in known if at <= when)
        counted = await uow.read(partial(balance_effective, ref=ref, when=when))
        assert counted == sum(delta for _, delta, _, then in known if then <= when)
        trial = await uow.read(partial(trial_balance, tenant=1, at=when, by=Times.EFFECTIVE))
        assert trial.balanced
    await verified(uow)
