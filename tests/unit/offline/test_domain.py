import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.money import ASSETS, UnknownCurrency
from server.offline.domain import DEFAULT_POLICY, UNITS_PER_EURO, split_value


@given(amount=st.integers(1, 10**9), value_max=st.integers(1, 10**6))
def test_vouchers_add_up_are_few_and_nearly_equal(amount: int, value_max: int) -> None:
    if amount // value_max > 10_000:
        amount = value_max * 10_000
    values = split_value(amount, value_max)
    assert sum(values) == amount
    assert max(values) <= value_max
    assert max(values) - min(values) <= 1
    assert len(values) == -(-amount // value_max)


@pytest.mark.parametrize("currency", sorted(ASSETS))
def test_every_currency_has_limits_that_fit_together(currency: str) -> None:
    limits = DEFAULT_POLICY.limits(currency)
    assert 0 < limits.voucher_value_max <= limits.payment_max <= limits.balance_max
    assert limits.instant_for("merchant") >= limits.voucher_value_max
    assert limits.instant_for("support") == limits.instant["user"]
    assert limits.balance_max <= DEFAULT_POLICY.vouchers_per_issue_max * limits.voucher_value_max


def test_the_coarse_sizes_name_every_currency_and_no_other() -> None:
    assert UNITS_PER_EURO.keys() == ASSETS.keys()


def test_an_unknown_currency_has_no_limits() -> None:
    with pytest.raises(UnknownCurrency):
        DEFAULT_POLICY.limits("XXX")
