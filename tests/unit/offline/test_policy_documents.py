import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.money import ASSETS
from server.offline.domain import (
    DEFAULT_POLICY,
    AcceptanceRule,
    CurrencyLimits,
    OfflinePolicy,
    default_limits,
)
from server.offline.policy_documents import (
    PolicyDocument,
    document_of,
    policy_of,
    read_stored,
    spell,
)

amounts = st.integers(1, 10**6)
limits = st.builds(
    lambda voucher, more, **rest: CurrencyLimits(
        voucher_value_max=voucher, balance_max=voucher + more, **rest
    ),
    voucher=amounts,
    more=amounts,
    payment_max=amounts,
    instant=st.fixed_dictionaries({"user": amounts}, optional={"kiosk": amounts}),
    fund=st.integers(0, 10**6),
    fund_per_period=st.none() | st.integers(10**6, 10**7),
    fund_floor=st.none() | st.integers(-100, 100),
    collateral_percent=st.integers(0, 1_000),
    four_eyes_over=st.none() | amounts,
)
rules = st.builds(
    AcceptanceRule, action=st.sampled_from(["warn", "refuse"]), hops_over=st.integers(0, 8)
)
policies = st.builds(
    OfflinePolicy,
    currencies=st.dictionaries(st.sampled_from(sorted(ASSETS)), limits, max_size=3),
    hops_max=st.integers(1, 8),
    acceptance=st.lists(rules, max_size=4).map(tuple),
)


@given(policies)
def test_a_policy_comes_back_from_its_document_and_from_storage(policy: OfflinePolicy) -> None:
    document = document_of(policy)
    assert policy_of(document) == policy
    assert read_stored(spell(document)) == policy
    again = msgspec.json.decode(spell(document), type=PolicyDocument)
    assert spell(again) == spell(document)


def test_the_built_in_policy_and_every_built_in_limit_can_be_stored() -> None:
    all_of_them = {code: default_limits(code) for code in ASSETS}
    spelled = OfflinePolicy(currencies=all_of_them)
    assert policy_of(document_of(spelled)) == spelled
    assert policy_of(document_of(DEFAULT_POLICY)) == DEFAULT_POLICY


@pytest.mark.parametrize("percent", [1, 50, 100, 333])
@given(collateral=st.integers(0, 10**6))
def test_the_collateral_that_a_balance_takes_is_the_least_that_allows_it(
    percent: int, collateral: int
) -> None:
    each = CurrencyLimits(1, 1, 1_000, {"user": 1}, 1, collateral_percent=percent)
    most = each.balance_with(collateral)
    needed = each.collateral_for(most)
    assert needed is not None
    assert needed <= collateral
    assert each.balance_with(needed) >= most
    assert needed == 0 or each.balance_with(needed - 1) < most


def test_without_a_percentage_no_collateral_is_enough() -> None:
    each = CurrencyLimits(1, 1, 1_000, {"user": 1}, 1, collateral_percent=0)
    assert each.balance_with(10**9) == 1_000
    assert each.collateral_for(1_000) == 0
    assert each.collateral_for(1_001) is None


def test_a_tier_is_known_when_any_currency_names_it() -> None:
    kiosk = CurrencyLimits(1, 1, 1, {"user": 1, "kiosk": 2}, 1)
    assert OfflinePolicy(currencies={"KES": kiosk}).has_tier("kiosk")
    assert DEFAULT_POLICY.has_tier("merchant")
    assert not DEFAULT_POLICY.has_tier("kiosk")
