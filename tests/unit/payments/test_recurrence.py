"""When schedules are due: ends of months, clock changes, pauses."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.payments.transfers.errors import ScheduleInvalid
from server.payments.transfers.recurrence import Every, Recurrence, check_recurrence

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def rule(every: str = "month", starts: str = "2027-01-31", **changes: object) -> Recurrence:
    given_ = {"ends_on": None, "at_time": "09:00", "time_zone": "UTC"} | changes
    return Recurrence(Every(every), date.fromisoformat(starts), **given_)  # type: ignore[arg-type]


def days(recurrence: Recurrence, number: int) -> list[str]:
    return [str(recurrence.date_of(at)) for at in range(number)]


def test_the_last_of_a_month_stays_the_last_of_each_month() -> None:
    assert days(rule(), 5) == ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]
    assert days(rule(starts="2027-12-30"), 3) == ["2027-12-30", "2028-01-30", "2028-02-29"]
    assert rule().date_of(12 * 400) == date(2427, 1, 31)


def test_other_rules_count_days_weeks_or_once() -> None:
    assert days(rule("day"), 3) == ["2027-01-31", "2027-02-01", "2027-02-02"]
    assert days(rule("week"), 3) == ["2027-01-31", "2027-02-07", "2027-02-14"]
    assert days(rule("once"), 3) == ["2027-01-31", "None", "None"]


def test_it_ends_after_its_last_day() -> None:
    ending = rule(ends_on=date(2027, 3, 30))
    assert days(ending, 3) == ["2027-01-31", "2027-02-28", "None"]
    assert days(rule(ends_on=date(2027, 3, 31)), 4)[2:] == ["2027-03-31", "None"]


def test_a_local_time_that_a_clock_change_leaves_out_comes_an_hour_later_by_the_wall() -> None:
    berlin = rule("day", "2027-03-27", at_time="02:30", time_zone="Europe/Berlin")
    due = [berlin.due_at(at) for at in range(3)]
    assert [str(moment) for moment in due] == [
        "2027-03-27 01:30:00+00:00",
        "2027-03-28 01:30:00+00:00",  # there is no 02:30; the wall shows 03:30
        "2027-03-29 00:30:00+00:00",
    ]


def test_a_local_time_that_comes_twice_is_the_first_of_the_two() -> None:
    berlin = rule("day", "2027-10-30", at_time="02:30", time_zone="Europe/Berlin")
    assert [str(berlin.due_at(at)) for at in range(3)] == [
        "2027-10-30 00:30:00+00:00",
        "2027-10-31 00:30:00+00:00",
        "2027-11-01 01:30:00+00:00",
    ]


def test_lord_howe_changes_by_half_an_hour() -> None:
    howe = rule("day", "2026-10-03", at_time="02:15", time_zone="Australia/Lord_Howe")
    second = howe.due_at(1)
    assert second is not None
    assert second.astimezone(ZoneInfo("Australia/Lord_Howe")).strftime("%H:%M") == "02:45"


@given(
    every=st.sampled_from(["day", "week", "month"]),
    starts=st.dates(date(2026, 1, 1), date(2040, 12, 31)),
    minute=st.integers(0, 24 * 60 - 1),
    zone=st.sampled_from(
        ["UTC", "Europe/Istanbul", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"]
    ),
    ahead=st.timedeltas(timedelta(days=-400), timedelta(days=4_000)),
    from_=st.integers(0, 50),
)
def test_the_first_after_a_moment_is_the_first_by_counting(
    *, every: str, starts: date, minute: int, zone: str, ahead: timedelta, from_: int
) -> None:
    at_time = f"{minute // 60:02d}:{minute % 60:02d}"
    recurrence = Recurrence(Every(every), starts, None, at_time, zone)
    moment = datetime.combine(starts, datetime.min.time(), UTC) + ahead
    found = recurrence.first_after(moment, from_)
    assert found is not None
    due, before = recurrence.due_at(found), recurrence.due_at(max(found - 1, 0))
    assert due is not None
    assert due > moment
    assert found >= from_
    assert before is not None
    assert found == from_ or before <= moment


@given(
    every=st.sampled_from(list(Every)),
    starts=st.dates(date(2026, 1, 1), date(2060, 1, 1)),
    at=st.integers(0, 500),
)
def test_occurrences_never_go_back_and_months_keep_their_day(
    every: Every, starts: date, at: int
) -> None:
    recurrence = Recurrence(every, starts, None, "00:00", "Europe/London")
    here, then = recurrence.date_of(at), recurrence.date_of(at + 1)
    if every is Every.ONCE:
        assert (here is None) == (at > 0)
        return
    assert here is not None
    assert then is not None
    assert here < then
    if every is Every.MONTH:
        assert here.day == starts.day or (here.day < starts.day and (here + timedelta(1)).day == 1)


def test_a_schedule_has_a_known_zone_and_a_future() -> None:
    assert check_recurrence(rule(), NOW) == datetime(2027, 1, 31, 9, tzinfo=UTC)
    for bad in (
        rule(time_zone="Mars/Olympus"),
        rule(time_zone="../../etc/passwd"),
        rule(starts="2026-03-01"),
        rule(starts="2026-03-02", at_time="09:00"),
        rule(starts="2090-01-01"),
        rule(ends_on=date(2027, 1, 30)),
        rule(ends_on=date(9999, 12, 31)),
    ):
        with pytest.raises(ScheduleInvalid):
            check_recurrence(bad, NOW)
