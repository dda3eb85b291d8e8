import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.money import CurrencyMismatch, Money, UnknownCurrency, asset


@pytest.mark.parametrize("combine", [operator.add, operator.sub, operator.lt, operator.le])
def test_two_currencies_never_mix(combine: Callable[[Money, Money], object]) -> None:
    with pytest.raises(CurrencyMismatch):
        combine(Money(1, "EUR"), Money(1, "USD"))


@pytest.mark.parametrize("amount", [1.0, "1", True, None])
def test_an_amount_is_an_integer_and_nothing_like_it(amount: object) -> None:
    with pytest.raises(TypeError):
        Money(amount, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1250, "EUR", "12.50 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (1250, "JPY", "1250 JPY"),
        (1, "BHD", "0.001 BHD"),
    ],
)
def test_money_reads_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert str(Money(amount, currency)) == text


def test_an_unknown_currency_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownCurrency) as refusal:
        asset("XXX")
    assert "EUR" in str(refusal.value.fix)


@given(
    st.integers(0, 10**15),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any),
)
def test_allocation_loses_no_unit_and_stays_within_one_of_the_exact_share(
    amount: int, weights: list[int]
) -> None:
    shares = Money(amount, "EUR").allocate(weights)
    assert sum(share.amount for share in shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share.amount * sum(weights) - amount * weight) < sum(weights)


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1]])
def test_allocation_needs_a_positive_weight(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        Money(1, "EUR").allocate(weights)
