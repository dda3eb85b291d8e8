"""Whatever is asked in whatever batches, the limits are those of a naive book of all uses."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from server.payments.limits.domain import (
    COUNTED_MAX,
    LEVELS,
    Caps,
    Counter,
    LimitKind,
    LimitPolicy,
    LimitUse,
    PastUse,
    Used,
    decide,
    taken_back,
)

USERS = [UUID(int=number) for number in (1, 2)]
MIDS = {"EUR": Fraction(1), "USD": Fraction(5, 4), "JPY": Fraction(160)}
START = datetime(2026, 1, 29, 20, tzinfo=UTC)

caps = st.one_of(st.none(), st.integers(0, 2_000))
uses = st.builds(
    LimitUse,
    st.sampled_from(USERS),
    st.sampled_from(list(LimitKind)[:2]),
    st.sampled_from(["EUR", "USD", "JPY"]),
    st.integers(1, 900),
)


@st.composite
def policies(draw: st.DrawFn) -> LimitPolicy:
    everything: dict[tuple[int, LimitKind, str | None], Caps] = {}
    for level in LEVELS:
        for kind in LimitKind:
            everything[level, kind, None] = Caps(draw(caps), draw(caps))
    if draw(st.booleans()):
        everything[1, LimitKind.TRANSFER, "JPY"] = Caps(draw(caps), draw(caps))
    return LimitPolicy("EUR", UTC, draw(st.sampled_from([1, 2])), everything, {})


@dataclass
class Book:
    """Every use that was allowed, and sums made anew each time."""

    policy: LimitPolicy
    rows: list[tuple[datetime, LimitUse]] = field(default_factory=list)

    def allows(self, use: LimitUse, now: datetime) -> bool:
        level = self.policy.level_default
        places = [None, *(["JPY"] if self._apart(use.kind) and use.currency == "JPY" else [])]
        return all(
            cap is None or self._sum(use, place, period, now) + _worth(use, place) <= cap
            for place in places
            for period, cap in zip(
                ("day", "month"),
                self.policy.caps.get((level, use.kind, place), Caps(None, None)),
                strict=True,
            )
        )

    def _apart(self, kind: LimitKind) -> bool:
        return any((level, kind, "JPY") in self.policy.caps for level in LEVELS)

    def _sum(self, use: LimitUse, place: str | None, period: str, now: datetime) -> int:
        form = "%Y-%m-%d" if period == "day" else "%Y-%m"
        return sum(
            _worth(row, place)
            for at, row in self.rows
            if (row.user_id, row.kind) == (use.user_id, use.kind)
            and place in {None, row.currency}
            and f"{at:{form}}" == f"{now:{form}}"
        )


def _worth(use: LimitUse, place: str | None) -> int:
    if place is not None or use.currency == "EUR":
        return use.amount
    scale = 100 if use.currency == "JPY" else 1
    return ceil(Fraction(use.amount * scale) / MIDS[use.currency])


@given(policies(), st.lists(st.tuples(st.integers(0, 30), st.lists(uses, max_size=5)), max_size=12))
def test_batches_are_decided_as_a_naive_book_decides_one_by_one(
    policy: LimitPolicy, batches: list[tuple[int, list[LimitUse]]]
) -> None:
    book, state, now = Book(policy), dict[Counter, Used](), START
    for hours, batch in batches:
        now += timedelta(hours=hours)
        answers, changed = decide(policy, batch, levels={}, mids=MIDS, used=state, now=now)
        state |= changed
        for use, answer in zip(batch, answers, strict=True):
            assert (answer is None) == book.allows(use, now)
            if answer is None:
                book.rows.append((now, use))


@given(policies(), st.lists(uses, min_size=1, max_size=8))
def test_what_is_used_and_given_back_at_once_leaves_nothing(
    policy: LimitPolicy, batch: list[LimitUse]
) -> None:
    answers, state = decide(policy, batch, levels={}, mids=MIDS, used={}, now=START)
    back = [
        PastUse(use, START) for use, answer in zip(batch, answers, strict=True) if answer is None
    ]
    changed = taken_back(policy, back, mids=MIDS, used=state, whole=True)
    assert all((used.day_used, used.month_used) == (0, 0) for used in (state | changed).values())


@given(policies(), st.lists(uses, min_size=1, max_size=8), st.integers(0, 90))
def test_giving_back_later_never_frees_more_than_was_used_and_never_goes_below_zero(
    policy: LimitPolicy, batch: list[LimitUse], hours: int
) -> None:
    later = START + timedelta(hours=hours)
    _, state = decide(policy, batch, levels={}, mids=MIDS, used={}, now=START, enforce=False)
    _, then = decide(policy, batch[:1], levels={}, mids=MIDS, used=state, now=later, enforce=False)
    state |= then
    back = [PastUse(use, START) for use in batch]
    changed = state | taken_back(policy, back, mids=MIDS, used=state, whole=False)
    fresh = decide(policy, batch[:1], levels={}, mids=MIDS, used={}, now=later, enforce=False)[1]
    for counter, least in fresh.items():
        assert changed[counter].day_used >= least.day_used * (changed[counter].day == least.day)
        assert changed[counter].month_used >= least.month_used
    assert all(min(used.day_used, used.month_used) >= 0 for used in changed.values())


@given(st.lists(st.integers(1, 2**53 - 1), min_size=1, max_size=600))
def test_counters_stop_at_their_end(amounts: list[int]) -> None:
    everything: dict[tuple[int, LimitKind, str | None], Caps] = {}
    policy = LimitPolicy("EUR", UTC, 1, everything, {"UGX": Fraction(1, 10**9)})
    batch = [LimitUse(USERS[0], LimitKind.TRANSFER, "UGX", amount) for amount in amounts]
    _, state = decide(policy, batch, levels={}, mids={}, used={}, now=START)
    totals: dict[int, int] = defaultdict(int)
    for amount in amounts:
        totals[0] = min(totals[0] + min(amount * 10**11, COUNTED_MAX), COUNTED_MAX)
    assert [used.day_used for used in state.values()] == [totals[0]]
