"""Limits as values, and the decision about a batch of uses. No I/O, no clock.

An amount counts in two places: in the currency of the limits (the base currency) together with all
other currencies, and, where a limit names its own currency, there by itself. Conversion rounds up
to whole minor units, so that nobody gets further by paying in pieces.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple
from uuid import UUID

from server.kit.money import asset
from server.payments.limits.errors import LimitExceeded, LimitRateUnknown

LEVELS = (0, 1, 2, 3)
COUNTED_MAX = 2**62
"""No counter goes beyond this."""


class LimitKind(StrEnum):
    """What is limited. Moving one's own money between one's own currencies is not."""

    TRANSFER = "transfer"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class LimitUse(NamedTuple):
    """Money that somebody wants to move: minor units, above zero."""

    user_id: UUID
    kind: LimitKind
    currency: str
    amount: int


class PastUse(NamedTuple):
    """A use that was counted at some time and comes back, in full or in part."""

    use: LimitUse
    at: datetime


class Caps(NamedTuple):
    """Minor units in a day and in a month; None where there is no limit."""

    day: int | None
    month: int | None


class Counter(NamedTuple):
    """Names a counter. ``unit`` is a currency, or ``*`` and the base currency for all of them."""

    kind: LimitKind
    unit: str
    user: int
    """The user's id as a number: thousands of these are hashed and sorted at once."""

    @property
    def currency(self) -> str:
        return self.unit.removeprefix("*")


class Used(NamedTuple):
    """What a counter says. Days are numbered as `date.toordinal` does, months from year 0."""

    day: int
    day_used: int
    month: int
    month_used: int


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """Every limit. ``caps`` has one for each level and kind without a currency, for all of them."""

    base_currency: str
    time_zone: tzinfo
    level_default: int
    caps: Mapping[tuple[int, LimitKind, str | None], Caps]
    yardsticks: Mapping[str, Fraction]
    """Units of a currency for one of the base currency, where no market rate was ever known."""

    def counters(self, uses: Iterable[LimitUse]) -> list[tuple[Counter, ...]]:
        """Return for each use where it counts, in order."""
        units: dict[tuple[LimitKind, str], tuple[str, ...]] = {}
        found = []
        for user_id, kind, currency, _ in uses:
            where = units.get((kind, currency))
            if where is None:
                where = units[kind, currency] = self._units(kind, currency)
            user = user_id.int
            found.append(tuple([Counter(kind, unit, user) for unit in where]))
        return found

    def _units(self, kind: LimitKind, currency: str) -> tuple[str, ...]:
        total = f"*{self.base_currency}"
        apart = any((level, kind, currency) in self.caps for level in LEVELS)
        return (total, currency) if apart else (total,)

    def caps_of(self, level: int, counter: Counter) -> Caps:
        own = None if counter.unit.startswith("*") else counter.unit
        return self.caps.get((level, counter.kind, own), Caps(None, None))

    def period(self, moment: datetime) -> tuple[int, int]:
        """Return the numbers of the day and month in which a moment lies."""
        local = moment.astimezone(self.time_zone)
        return local.toordinal(), local.year * 12 + local.month - 1

    def resets_at(self, day: int, month: int) -> tuple[datetime, datetime]:
        """Return when a day and when a month end, in UTC."""
        next_day = datetime.fromordinal(day + 1)
        next_month = datetime((month + 1) // 12, (month + 1) % 12 + 1, 1)  # noqa: DTZ001 - below
        return self._utc(next_day), self._utc(next_month)

    def _utc(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.time_zone).astimezone(UTC)

    def factor(self, currency: str, mids: Mapping[str, Fraction]) -> Fraction | None:
        """Return base minor units for one minor unit of a currency, or None if nobody knows.

        Args:
            currency: a known currency.
            mids: units for one euro, as far as they were ever known.
        """
        base = self.base_currency
        scale = Fraction(10) ** (asset(base).scale - asset(currency).scale)
        if currency == base:
            return Fraction(1)
        if currency in mids and base in mids:
            return mids[base] / mids[currency] * scale
        if currency in self.yardsticks:
            return scale / self.yardsticks[currency]
        return None


def rolled(used: Used, day: int, month: int) -> Used:
    """Return a counter as it stands in a day and month; it never goes back to an earlier one."""
    if day > used.day:
        used = used._replace(day=day, day_used=0)
    if month > used.month:
        used = used._replace(month=month, month_used=0)
    return used


def counted(use: LimitUse, counter: Counter, factor: Fraction) -> int:
    """Return what a use adds to a counter, rounded up."""
    if counter.unit == use.currency or factor == 1:
        return use.amount
    whole = -(-use.amount * factor.numerator // factor.denominator)
    return min(whole, COUNTED_MAX)


def decide(
    policy: LimitPolicy,
    uses: Sequence[LimitUse],
    *,
    levels: Mapping[UUID, int],
    mids: Mapping[str, Fraction],
    used: Mapping[Counter, Used],
    now: datetime,
    enforce: bool = True,
) -> tuple[list[LimitExceeded | None], dict[Counter, Used]]:
    """Return an answer to each use, in order, and the counters that change.

    Each use is decided on what the ones before it left. One that is refused counts nowhere.
    """
    day, month = policy.period(now)
    state = {counter: rolled(each, day, month) for counter, each in used.items()}
    fresh = Used(day, 0, month, 0)
    changed: dict[Counter, Used] = {}
    answers: list[LimitExceeded | None] = []
    factors = _factors(policy, uses, mids)
    for use, counters in zip(uses, policy.counters(uses), strict=True):
        assert use.amount > 0, "a use has an amount"
        factor = factors[use.currency]
        if factor is None:
            answers.append(_rate_unknown(use, policy))
            continue
        level = levels.get(use.user_id, policy.level_default)
        after: dict[Counter, Used] = {}
        refusal: LimitExceeded | None = None
        for counter in counters:
            before = state.get(counter, fresh)
            amount = counted(use, counter, factor)
            if enforce:
                refusal = _refusal(policy, counter, policy.caps_of(level, counter), before, amount)
                if refusal is not None:
                    break
            after[counter] = Used(
                before.day,
                min(before.day_used + amount, COUNTED_MAX),
                before.month,
                min(before.month_used + amount, COUNTED_MAX),
            )
        if refusal is None:
            state.update(after)
            changed.update(after)
        answers.append(refusal)
    return answers, changed


def taken_back(
    policy: LimitPolicy,
    uses: Sequence[PastUse],
    *,
    mids: Mapping[str, Fraction],
    used: Mapping[Counter, Used],
    whole: bool,
) -> dict[Counter, Used]:
    """Return the counters that change when money of earlier uses comes back.

    What was counted on the counter's own day leaves the day and the month; what was counted earlier
    in its month leaves the month; anything older leaves nothing. Uses that come back ``whole``
    leave nothing behind; else they may be parts, and conversion rounds down.
    """
    state = dict(used)
    factors = _factors(policy, [past.use for past in uses], mids)
    places = policy.counters(past.use for past in uses)
    for (use, at), counters in zip(uses, places, strict=True):
        factor = factors[use.currency]
        if factor is None:
            continue
        day, month = policy.period(at)
        for counter in counters:
            before = state.get(counter)
            if before is None:
                continue
            own = counter.unit == use.currency
            part = use.amount if own else int(use.amount * factor)
            amount = counted(use, counter, factor) if whole else part
            state[counter] = before._replace(
                day_used=max(0, before.day_used - amount * (day == before.day)),
                month_used=max(0, before.month_used - amount * (month == before.month)),
            )
    return {counter: after for counter, after in state.items() if after != used[counter]}


def _factors(
    policy: LimitPolicy, uses: Iterable[LimitUse], mids: Mapping[str, Fraction]
) -> dict[str, Fraction | None]:
    return {code: policy.factor(code, mids) for code in {use.currency for use in uses}}


def _refusal(
    policy: LimitPolicy, counter: Counter, caps: Caps, before: Used, amount: int
) -> LimitExceeded | None:
    over_day = caps.day is not None and before.day_used + amount > caps.day
    over_month = caps.month is not None and before.month_used + amount > caps.month
    if not (over_day or over_month):
        return None
    ends = policy.resets_at(before.day, before.month)
    # Where both are passed, the month is what keeps somebody waiting.
    period, cap, gone, resets_at = (
        ("month", caps.month, before.month_used, ends[1])
        if over_month
        else ("day", caps.day, before.day_used, ends[0])
    )
    assert cap is not None
    return LimitExceeded(
        f"This would pass your limit for a {period}.",
        fix="Take a smaller amount, wait until the limit starts again, or ask for a higher one."
        if cap
        else "Ask for a higher level; this one may not do this at all.",
        kind=counter.kind.value,
        period=period,
        currency=counter.currency,
        limit=cap,
        left=max(0, cap - gone),
        resets_at=_stamp(resets_at),
    )


def _rate_unknown(use: LimitUse, policy: LimitPolicy) -> LimitRateUnknown:
    return LimitRateUnknown(
        f"No rate from {use.currency} to {policy.base_currency} was ever known.",
        fix="Use another currency, or ask the operator to set a rate.",
        kind=use.kind.value,
        currency=use.currency,
    )


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
