"""Limits are exact, whoever races, and are counted with the money or not at all."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID, uuid5

import pytest
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from server.fx.rates import store_rates
from server.kit.db import create_engine
from server.kit.documents import DocumentChanged, store_document
from server.kit.errors import InvalidRequest
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.limits import (
    LimitExceeded,
    LimitKind,
    LimitRateUnknown,
    LimitUse,
    PastUse,
    count_uses,
    give_back,
    set_level,
    use_limits,
)
from server.payments.limits.policy import (
    BUILT_IN,
    DOCUMENT,
    LimitRule,
    LimitsDocument,
    check,
    spell,
)
from server.payments.limits.schemas import LimitView
from server.payments.limits.views import limits_view
from tests.conftest import Database
from tests.factories.rates import run_sql
from tests.fakes.clock import ManualClock

_NAMES = UUID("6f2f0f0e-7f0c-5c57-8a39-4a3a0b5f2c55")
ADA, BOB = uuid5(_NAMES, "ada"), uuid5(_NAMES, "bob")
DAY, MONTH = 5_000_000, 50_000_000
"""What the built-in level 2 may do, in euro cents."""


def sends(amount: int, user: UUID = ADA, currency: str = "EUR") -> LimitUse:
    return LimitUse(user, LimitKind.TRANSFER, currency, amount)


def move(clock: ManualClock, moment: datetime) -> None:
    clock.advance(moment - clock.now())


async def use(uow: UnitOfWork, *uses: LimitUse) -> list[LimitExceeded | None]:
    return await uow.run(lambda tx: use_limits(tx, 1, uses))


async def allowed(uow: UnitOfWork, *uses: LimitUse) -> list[bool]:
    return [refusal is None for refusal in await use(uow, *uses)]


async def shown(
    uow: UnitOfWork, user: UUID = ADA, kind: str = "transfer", period: str = "day"
) -> LimitView:
    views = (await uow.read(lambda tx: limits_view(tx, 1, user))).limits
    [view] = [v for v in views if (v.kind, v.period, v.all_currencies) == (kind, period, True)]
    return view


async def set_rules(uow: UnitOfWork, document: LimitsDocument) -> None:
    check(document)
    await uow.run(
        lambda tx: store_document(tx, 1, DOCUMENT, spell(document), reason="test", by="test")
    )


async def load_rates(uow: UnitOfWork, **rates: str) -> None:
    async def command(tx: Tx) -> None:
        await store_rates(tx, 1, rates, on=tx.now.date(), source="test")

    await uow.run(command)


async def test_a_limit_is_used_to_the_last_unit_and_not_beyond(uow: UnitOfWork) -> None:
    assert await allowed(uow, sends(DAY - 1), sends(2), sends(1), sends(1)) == [
        True,
        False,
        True,
        False,
    ]
    view = await shown(uow)
    assert (view.limit, view.used, view.left) == (DAY, DAY, 0)


async def test_the_refusal_says_which_limit_what_is_left_and_until_when(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 2, 28, 23, 59, tzinfo=UTC))
    await use(uow, sends(DAY - 100))
    [refusal] = await use(uow, sends(101))
    assert refusal is not None
    assert refusal.members == {
        "kind": "transfer",
        "period": "day",
        "currency": "EUR",
        "limit": DAY,
        "left": 100,
        "resets_at": "2026-03-01T00:00:00Z",
    }


async def test_a_refused_use_counts_nowhere(uow: UnitOfWork) -> None:
    assert await allowed(uow, sends(DAY + 1)) == [False]
    assert (await shown(uow)).used == 0
    assert (await shown(uow, period="month")).used == 0


async def test_each_kind_and_each_user_has_limits_of_their_own(uow: UnitOfWork) -> None:
    uses = [LimitUse(user, kind, "EUR", DAY) for kind in LimitKind for user in (ADA, BOB)]
    assert all(await allowed(uow, *uses))
    assert not any(await allowed(uow, *(each._replace(amount=1) for each in uses)))


async def test_a_new_day_begins_empty_and_the_month_goes_on(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 1, 5, 12, tzinfo=UTC))
    for _ in range(10):
        assert await allowed(uow, sends(DAY), sends(1)) == [True, False]
        clock.advance(timedelta(days=1))
    [refusal] = await use(uow, sends(1))
    assert refusal is not None
    assert (refusal.members["period"], refusal.members["resets_at"]) == (
        "month",
        "2026-02-01T00:00:00Z",
    )
    assert (await shown(uow)).used == 0
    move(clock, datetime(2026, 2, 1, tzinfo=UTC))
    assert await allowed(uow, sends(DAY)) == [True]


async def test_a_clock_that_goes_back_gives_nobody_a_second_day(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 1, 6, 0, 1, tzinfo=UTC))
    assert await allowed(uow, sends(DAY)) == [True]
    move(clock, datetime(2026, 1, 5, 23, 59, tzinfo=UTC))
    assert await allowed(uow, sends(1)) == [False]


async def test_days_begin_at_midnight_in_the_time_zone_of_the_rules(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 1, 5, 20, 59, tzinfo=UTC))
    await set_rules(uow, structs.replace(BUILT_IN, time_zone="Europe/Istanbul"))
    assert await allowed(uow, sends(DAY), sends(1)) == [True, False]
    assert (await shown(uow)).resets_at == datetime(2026, 1, 5, 21, tzinfo=UTC)
    move(clock, datetime(2026, 1, 5, 21, tzinfo=UTC))
    assert await allowed(uow, sends(DAY)) == [True]


async def test_a_day_of_25_hours_ends_at_its_own_midnight(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await set_rules(uow, structs.replace(BUILT_IN, time_zone="Europe/Berlin"))
    move(clock, datetime(2026, 10, 24, 22, tzinfo=UTC))  # midnight in summer time
    await use(uow, sends(DAY))
    assert (await shown(uow)).resets_at == datetime(2026, 10, 25, 23, tzinfo=UTC)
    move(clock, datetime(2026, 10, 25, 22, 59, tzinfo=UTC))
    assert await allowed(uow, sends(1)) == [False]
    move(clock, datetime(2026, 10, 25, 23, tzinfo=UTC))
    assert await allowed(uow, sends(1)) == [True]


@pytest.mark.parametrize(("level", "day"), [(0, 0), (1, 100_000), (2, DAY), (3, None)])
async def test_a_level_decides_about_the_limit(
    uow: UnitOfWork, level: int, day: int | None
) -> None:
    await uow.run(lambda tx: set_level(tx, 1, ADA, level, reason="checked", by="test"))
    view = await shown(uow)
    assert (view.limit, view.left) == (day, day)
    if day is None:
        assert await allowed(uow, sends(2**53 - 1), sends(2**53 - 1)) == [True, True]
    else:
        assert await allowed(uow, sends(day + 1)) == [False]
        assert not day or await allowed(uow, sends(day)) == [True]


async def test_the_last_level_that_was_given_holds_and_earlier_ones_stay(uow: UnitOfWork) -> None:
    for level in (3, 0, 1):
        await uow.run(partial(set_level, tenant=1, user_id=ADA, level=level, reason="x", by="x"))
    assert (await shown(uow)).limit == 100_000
    assert (await shown(uow, BOB)).limit == DAY

    async def count(tx: Tx) -> int:
        return int(await tx.connection.scalar(text("SELECT count(*) FROM user_level")) or 0)

    assert await uow.read(count) == 3
    with pytest.raises(InvalidRequest):
        await uow.run(lambda tx: set_level(tx, 1, ADA, 4, reason="x", by="x"))


async def test_unlimited_use_never_overflows_a_counter(uow: UnitOfWork) -> None:
    await uow.run(lambda tx: set_level(tx, 1, ADA, 3, reason="x", by="x"))
    await load_rates(uow, UGX="0.000000001")
    for _ in range(3):
        assert await allowed(uow, *[sends(2**53 - 1, currency="UGX")] * 3) == [True] * 3
    assert (await shown(uow)).used == 2**62


async def test_other_currencies_count_at_the_last_known_rate_however_old(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    await load_rates(uow, JPY="200", BHD="0.5")
    clock.advance(timedelta(days=400))
    assert await allowed(
        uow,
        sends(1_000_000, currency="JPY"),  # 5,000.00 EUR
        sends(22_500_001, currency="BHD"),  # a little over 45,000.00 EUR
        sends(2_250_000, currency="BHD"),
        sends(4_050_001),
        sends(4_050_000),
    ) == [True, False, True, False, True]
    assert (await shown(uow)).left == 0


async def test_paying_in_pieces_brings_nobody_further(uow: UnitOfWork) -> None:
    await load_rates(uow, JPY="200", TRY="49")
    pieces = [sends(1, currency="TRY")] * 1_000
    assert all(await allowed(uow, *pieces))
    assert (await shown(uow)).used == 1_000
    assert all(await allowed(uow, sends(1_000, BOB, "TRY")))
    assert (await shown(uow, BOB)).used == 21


async def test_where_no_rate_was_ever_known_the_yardstick_counts(uow: UnitOfWork) -> None:
    assert await allowed(uow, sends(4_900_000, currency="TRY")) == [True]
    assert (await shown(uow)).used == 100_000


async def test_without_rate_and_yardstick_a_use_is_refused_alone(uow: UnitOfWork) -> None:
    await set_rules(uow, structs.replace(BUILT_IN, yardsticks={}))
    first, second = await use(uow, sends(1, currency="TRY"), sends(1))
    assert isinstance(first, LimitRateUnknown)
    assert first.code == "limit_rate_unknown"
    assert second is None


async def test_another_base_currency_counts_apart(uow: UnitOfWork) -> None:
    await use(uow, sends(DAY))
    await load_rates(uow, USD="1.25")
    await set_rules(uow, structs.replace(BUILT_IN, base_currency="USD"))
    assert (await shown(uow)).currency == "USD"
    assert await allowed(uow, sends(4_000_000), sends(1)) == [True, False]
    assert (await shown(uow)).used == DAY


async def test_a_limit_of_one_currency_holds_beside_that_of_all(uow: UnitOfWork) -> None:
    await load_rates(uow, TRY="50")
    rule = LimitRule(level=2, kind=LimitKind.TRANSFER, currency="TRY", day=1_000, month=1_500)
    await set_rules(uow, structs.replace(BUILT_IN, limits=[*BUILT_IN.limits, rule]))
    assert await allowed(uow, sends(1_000, currency="TRY"), sends(1, currency="TRY")) == [
        True,
        False,
    ]
    assert await allowed(uow, sends(DAY - 20), sends(1)) == [True, False]
    views = (await uow.read(lambda tx: limits_view(tx, 1, ADA))).limits
    [view] = [v for v in views if not v.all_currencies and v.period == "day"]
    assert (view.currency, view.limit, view.used, view.left) == ("TRY", 1_000, 1_000, 0)


async def test_what_comes_back_the_same_day_can_be_used_again(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 1, 5, 12, tzinfo=UTC))
    await use(uow, sends(DAY))
    then = clock.now()
    clock.advance(timedelta(hours=1))
    await uow.run(lambda tx: give_back(tx, 1, [PastUse(sends(300), then)]))
    assert (await shown(uow)).left == 300
    assert await allowed(uow, sends(301), sends(300)) == [False, True]


async def test_what_comes_back_later_in_the_month_leaves_the_month_alone(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 1, 5, 12, tzinfo=UTC))
    await use(uow, sends(700))
    then = clock.now()
    move(clock, datetime(2026, 1, 6, 12, tzinfo=UTC))
    await use(uow, sends(100))
    await uow.run(lambda tx: give_back(tx, 1, [PastUse(sends(700), then)]))
    assert ((await shown(uow)).used, (await shown(uow, period="month")).used) == (100, 100)
    move(clock, datetime(2026, 2, 6, 12, tzinfo=UTC))
    await use(uow, sends(50))
    await uow.run(lambda tx: give_back(tx, 1, [PastUse(sends(700), then)]))
    assert ((await shown(uow)).used, (await shown(uow, period="month")).used) == (50, 50)


async def test_giving_back_uses_the_rate_of_its_time_and_never_more_than_was_used(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    move(clock, datetime(2026, 1, 5, 12, tzinfo=UTC))
    await load_rates(uow, TRY="50")
    clock.advance(timedelta(seconds=1))
    await use(uow, sends(10_000, currency="TRY"))
    then = clock.now()
    clock.advance(timedelta(seconds=1))
    await load_rates(uow, TRY="25")
    clock.advance(timedelta(seconds=1))
    past = PastUse(sends(10_000, currency="TRY"), then)
    await uow.run(lambda tx: give_back(tx, 1, [past]))
    assert (await shown(uow)).used == 0
    await uow.run(lambda tx: give_back(tx, 1, [past, past]))
    assert (await shown(uow)).used == 0


async def test_a_use_that_is_refused_by_the_ledger_comes_back_whole(uow: UnitOfWork) -> None:
    await load_rates(uow, TRY="49")

    async def command(tx: Tx) -> None:
        one = sends(1, currency="TRY")
        assert await use_limits(tx, 1, [one, sends(5)]) == [None, None]
        await give_back(tx, 1, [PastUse(one, tx.now)])

    await uow.run(command)
    assert (await shown(uow)).used == 5


async def test_money_that_moved_anyway_is_counted_over_the_limit(uow: UnitOfWork) -> None:
    deposit = LimitUse(ADA, LimitKind.DEPOSIT, "EUR", DAY + 5)
    await uow.run(lambda tx: count_uses(tx, 1, [deposit]))
    view = await shown(uow, kind="deposit")
    assert (view.used, view.left) == (DAY + 5, 0)
    assert await allowed(uow, deposit._replace(amount=1)) == [False]


async def test_nothing_is_counted_when_the_transaction_fails(uow: UnitOfWork) -> None:
    async def command(tx: Tx) -> None:
        await use_limits(tx, 1, [sends(100)])
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await uow.run(command)
    assert (await shown(uow)).used == 0


async def test_tenants_do_not_share_limits(uow: UnitOfWork) -> None:
    await use(uow, sends(DAY))
    assert await uow.run(lambda tx: use_limits(tx, 2, [sends(DAY)])) == [None]


async def test_sixty_four_racing_callers_exactly_fill_a_limit(
    database: Database, clock: ManualClock
) -> None:
    # Two processes: SQLite's queue of one must not be what keeps them apart.
    engines = [create_engine(database.url) for _ in range(2)]
    units = [UnitOfWork(engine, clock=clock, ids=SystemIds(clock)) for engine in engines]
    piece = DAY // 50
    try:
        answers = await asyncio.gather(
            *(allowed(units[number % 2], sends(piece)) for number in range(64))
        )
        assert sum(answer == [True] for answer in answers) == 50
        view = await shown(units[0])
        assert (view.used, view.left) == (DAY, 0)
    finally:
        for engine in engines:
            await engine.dispose()


async def test_racing_batches_in_opposite_orders_fill_both_limits(
    database: Database, clock: ManualClock
) -> None:
    engines = [create_engine(database.url) for _ in range(2)]
    units = [UnitOfWork(engine, clock=clock, ids=SystemIds(clock)) for engine in engines]
    piece = DAY // 10
    try:
        answers = await asyncio.gather(
            *(
                allowed(
                    units[number % 2],
                    *(sends(piece, user) for user in ((ADA, BOB) if number % 2 else (BOB, ADA))),
                )
                for number in range(16)
            )
        )
        assert sum(answer == [True, True] for answer in answers) == 10
        assert [(await shown(units[0], user)).left for user in (ADA, BOB)] == [0, 0]
    finally:
        for engine in engines:
            await engine.dispose()


async def test_a_thousand_users_are_counted_in_a_handful_of_statements(uow: UnitOfWork) -> None:
    from sqlalchemy import event  # noqa: PLC0415

    users = [uuid5(_NAMES, str(number)) for number in range(1_000)]
    uses = [sends(100 + number, user) for number, user in enumerate(users)]
    assert await allowed(uow, *uses) == [True] * 1_000
    statements: list[str] = []
    engine = uow.engine.sync_engine

    def count(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", count)
    try:
        assert await allowed(uow, *uses) == [True] * 1_000
    finally:
        event.remove(engine, "before_cursor_execute", count)
    assert len(statements) <= 6
    assert (await shown(uow, users[999])).used == 2 * 1_099


async def test_new_limits_hold_at_once_and_planned_ones_from_their_time(
    uow: UnitOfWork, clock: ManualClock
) -> None:
    small = structs.replace(
        BUILT_IN,
        limits=[
            structs.replace(rule, day=10, month=20) if rule.day is not None else rule
            for rule in BUILT_IN.limits
        ],
    )
    tomorrow = clock.now() + timedelta(days=1)
    await uow.run(
        lambda tx: store_document(
            tx, 1, DOCUMENT, spell(small), reason="x", by="x", replaces=0, effective_at=tomorrow
        )
    )
    assert (await shown(uow)).limit == DAY
    clock.advance(timedelta(days=1))
    assert (await shown(uow)).limit == 10
    assert await allowed(uow, sends(11), sends(10)) == [False, True]


async def test_versions_are_kept_and_of_two_authors_one_is_told(uow: UnitOfWork) -> None:
    for _ in range(2):  # the same change again is the same version
        version = await uow.run(
            lambda tx: store_document(
                tx, 1, DOCUMENT, spell(BUILT_IN), reason="x", by="ada", replaces=0
            )
        )
        assert version.number == 1
    with pytest.raises(DocumentChanged):
        await uow.run(
            lambda tx: store_document(
                tx, 1, DOCUMENT, spell(BUILT_IN), reason="y", by="bob", replaces=0
            )
        )
    for statement in ("UPDATE rule_document SET reason = 'z'", "DELETE FROM rule_document"):
        with pytest.raises(DBAPIError):
            await run_sql(uow, statement)


async def test_of_authors_who_race_one_is_stored_and_the_others_are_told(uow: UnitOfWork) -> None:
    async def author(name: str) -> int:
        version = await uow.run(
            lambda tx: store_document(
                tx, 1, DOCUMENT, spell(BUILT_IN), reason="x", by=name, replaces=0
            )
        )
        return version.number

    answers = await asyncio.gather(*map(author, "abcdefgh"), return_exceptions=True)
    assert [type(answer) for answer in answers if answer != 1] == [DocumentChanged] * 7


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"base_currency": "XAU"}, "base_currency"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"limits": BUILT_IN.limits[1:]}, "limits"),
        ({"limits": [*BUILT_IN.limits, BUILT_IN.limits[0]]}, "limits[12]"),
        (
            {
                "limits": [
                    *BUILT_IN.limits,
                    LimitRule(level=1, kind=LimitKind.DEPOSIT, currency="TRY", day=5, month=4),
                ]
            },
            "limits[12].month",
        ),
        ({"yardsticks": {"TRY": "0"}}, "yardsticks.TRY"),
        ({"yardsticks": {"TRY": "1/3"}}, "yardsticks.TRY"),
        ({"yardsticks": {"TRY": "\N{ARABIC-INDIC DIGIT THREE}"}}, "yardsticks.TRY"),
    ],
)
def test_limits_that_contradict_themselves_are_refused(
    change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(structs.replace(BUILT_IN, **change))
    problems = caught.value.members["problems"]
    assert isinstance(problems, list)
    assert field in {problem["field"] for problem in problems}


def test_the_first_day_of_the_calendar_is_no_trap() -> None:
    assert date.min.toordinal() == 1  # a fresh counter's day 0 is before every day
