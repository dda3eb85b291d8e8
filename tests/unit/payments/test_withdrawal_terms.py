"""Terms, pauses and states of withdrawals."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.money import ASSETS, Money
from server.kit.workflows import Retry
from server.payments.payouts.domain import (
    DEFAULT_TERMS,
    OPEN_STATES,
    Pace,
    Terms,
    WithdrawalState,
)
from server.payments.payouts.errors import WithdrawalTooLarge, WithdrawalTooSmall


def test_every_currency_has_terms_and_the_liras_are_the_ones_that_were_asked_for() -> None:
    assert set(DEFAULT_TERMS) == set(ASSETS)
    lira = DEFAULT_TERMS["TRY"]
    assert [str(Money(n, "TRY")) for n in (lira.minimum, lira.maximum, lira.fee)] == [
        "100.00 TRY",
        "50000.00 TRY",
        "5.00 TRY",
    ]


@given(amount=st.integers(-(2**60), 2**60))
def test_an_amount_passes_exactly_from_minimum_to_maximum(amount: int) -> None:
    terms = Terms("EUR", 1_000, 500_000, 50)
    if amount < 1_000:
        with pytest.raises(WithdrawalTooSmall) as small:
            terms.check(amount)
        assert small.value.members == {"minimum": 1_000, "currency": "EUR"}
    elif amount > 500_000:
        with pytest.raises(WithdrawalTooLarge):
            terms.check(amount)
    else:
        terms.check(amount)


@pytest.mark.parametrize("figures", [(0, 5, 0), (5, 4, 0), (1, 5, -1), (1, 10**13, 0)])
def test_terms_that_contradict_themselves_are_none(figures: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="minimum"):
        Terms("EUR", *figures)


@given(question=st.integers(1, 10_000), id_=st.uuids())
def test_pauses_grow_to_an_hour_and_a_quarter_and_no_further(question: int, id_: UUID) -> None:
    pace = Pace()
    pause = pace.pause(question, id_)
    assert pace.first <= pause <= timedelta(minutes=75)
    assert pause <= pace.pause(question + 1, id_)


def test_a_dead_letter_is_made_within_some_days() -> None:
    pace = Pace()
    waits = [pace.pause(n, UUID(int=999)) for n in range(1, pace.silent_max)]
    assert timedelta(hours=12) < sum(waits, timedelta()) < timedelta(days=2)


def test_the_open_states_are_those_before_an_ending() -> None:
    assert {state for state in WithdrawalState if not state.is_final} == OPEN_STATES


@given(attempt=st.integers(1, 60), chance=st.floats(0, 1))
def test_a_retry_waits_between_half_and_all_of_what_grows(attempt: int, chance: float) -> None:
    retry = Retry(first_s=0.5, factor=2, longest_s=30)
    whole = min(0.5 * 2 ** (attempt - 1), 30)
    assert whole / 2 <= retry.delay_s(attempt, chance) <= whole
