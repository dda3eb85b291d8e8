"""When a schedule is due. Pure.

An occurrence is counted from the first date, never from the one before: 31 January, 28 February,
31 March. Local times follow the time zone: one that a clock change leaves out is taken with the
offset from before the change (02:30 becomes 03:30), one that comes twice is the first of the two.
"""

import calendar
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from server.payments.transfers.errors import ScheduleInvalid

YEARS_MAX: Final = 50
"""A schedule begins and ends within so many years from when it is made."""


class Every(StrEnum):
    ONCE = "once"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Recurrence(NamedTuple):
    """The rule of a schedule."""

    every: Every
    starts_on: date
    ends_on: date | None
    at_time: str
    time_zone: str

    def date_of(self, occurrence: int) -> date | None:
        """Return the day of an occurrence, counted from 0; None when there is none."""
        if self.every is Every.ONCE:
            day = self.starts_on if occurrence == 0 else None
        elif self.every is Every.MONTH:
            day = _months_later(self.starts_on, occurrence)
        else:
            days = 1 if self.every is Every.DAY else 7
            day = self.starts_on + timedelta(days=days * occurrence)
        if day is None or (self.ends_on is not None and day > self.ends_on):
            return None
        return day

    def due_at(self, occurrence: int) -> datetime | None:
        """Return the moment of an occurrence in UTC; None when there is none."""
        day = self.date_of(occurrence)
        if day is None:
            return None
        local = datetime.combine(day, time.fromisoformat(self.at_time), ZoneInfo(self.time_zone))
        return local.astimezone(UTC)

    def first_after(self, moment: datetime, occurrence: int = 0) -> int | None:
        """Return the first occurrence, not before a given one, that is due later than a moment."""
        local = moment.astimezone(ZoneInfo(self.time_zone)).date()
        guess = max(occurrence, self._elapsed(local) - 1)
        while (due := self.due_at(guess)) is not None:
            if due > moment:
                return guess
            guess += 1
        return None

    def _elapsed(self, day: date) -> int:
        """Return about how many occurrences lie before a day, never more."""
        days = (day - self.starts_on).days
        if self.every is Every.ONCE or days <= 0:
            return 0
        if self.every is Every.MONTH:
            return (day.year - self.starts_on.year) * 12 + day.month - self.starts_on.month
        return days // (1 if self.every is Every.DAY else 7)


def check_recurrence(rule: Recurrence, now: datetime) -> datetime:
    """Return when a new schedule is due first.

    Raises:
        ScheduleInvalid: the time zone is unknown, a date is too far, or nothing would be paid.
    """
    if rule.time_zone not in _zones():
        raise ScheduleInvalid(
            "The time zone is not known.",
            fix="Use a name such as Europe/Istanbul or UTC.",
            field="time_zone",
        )
    last = now.date() + timedelta(days=365 * YEARS_MAX)
    if max(rule.starts_on, rule.ends_on or rule.starts_on) > last:
        raise ScheduleInvalid(f"A date is more than {YEARS_MAX} years away.", field="starts_on")
    due = rule.due_at(0)
    if due is None:
        raise ScheduleInvalid("It would end before it begins.", field="ends_on")
    if due <= now:
        raise ScheduleInvalid(
            "The first payment would lie in the past.",
            fix="Choose a later date or time.",
            field="starts_on",
        )
    return due


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
