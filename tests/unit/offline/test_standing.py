from hypothesis import given
from hypothesis import strategies as st

from server.offline.standing import Standing, restate

AMOUNT = st.integers(0, 1_000)


def test_a_debt_takes_what_is_available_and_no_more() -> None:
    assert restate(Standing(), available=30, change=0, owed=80, final_use=0) == Standing(80, 30, 0)
    assert restate(Standing(), available=90, change=0, owed=80, final_use=0) == Standing(80, 80, 0)


def test_new_credit_pays_the_debt_first() -> None:
    before = Standing(80, 30, 0)
    assert restate(before, available=0, change=60, owed=80, final_use=0) == Standing(80, 80, 0)


def test_a_debt_that_falls_gives_money_back() -> None:
    before = Standing(80, 80, 0)
    assert restate(before, available=0, change=0, owed=20, final_use=0) == Standing(20, 20, 0)


def test_credit_that_was_spent_and_falls_is_overdrawn() -> None:
    assert restate(Standing(), available=10, change=-50, owed=0, final_use=0) == Standing(0, 0, 40)


def test_what_final_credits_used_is_never_given_back() -> None:
    before = Standing(80, 80, 0)
    assert restate(before, available=0, change=-80, owed=80, final_use=50) == Standing(80, 50, 50)


@given(available=AMOUNT, changes=st.lists(st.integers(-500, 500), max_size=6), owed=AMOUNT)
def test_only_the_sum_of_changes_counts(available: int, changes: list[int], owed: int) -> None:
    step, balance = Standing(), available
    for change in changes:
        after = restate(step, available=balance, change=change, owed=owed, final_use=0)
        balance += change - (after.recovered - step.recovered) + (after.overdrawn - step.overdrawn)
        assert balance >= 0
        step = after
    at_once = restate(Standing(), available=available, change=sum(changes), owed=owed, final_use=0)
    assert step == at_once or not changes


@given(available=AMOUNT, owed=AMOUNT, change=st.integers(-500, 500))
def test_a_user_who_owes_has_nothing_left(available: int, owed: int, change: int) -> None:
    after = restate(Standing(), available=available, change=change, owed=owed, final_use=0)
    left = available + change - after.recovered + after.overdrawn
    assert left >= 0
    assert left == 0 or after.outstanding == 0
