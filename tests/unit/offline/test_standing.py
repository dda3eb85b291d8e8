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


def test_collateral_pays_before_the_available_balance_does() -> None:
    rich = restate(Standing(), available=90, change=0, owed=50, final_use=0, collateral=60)
    assert rich == Standing(50, 50, 0, secured=50)
    short = restate(Standing(), available=30, change=0, owed=80, final_use=0, collateral=60)
    assert short == Standing(80, 80, 0, secured=60)
    poor = restate(Standing(), available=5, change=0, owed=80, final_use=0, collateral=60)
    assert poor == Standing(80, 65, 0, secured=60)


def test_collateral_stands_in_for_credit_that_was_spent_before_it_fell() -> None:
    covered = restate(Standing(), available=10, change=-50, owed=0, final_use=0, collateral=60)
    assert covered == Standing(cushioned=40)
    both = restate(Standing(), available=10, change=-50, owed=30, final_use=0, collateral=60)
    assert both == Standing(30, 20, 0, secured=20, cushioned=40)


def test_a_write_off_falls_with_the_debt_and_rises_no_more() -> None:
    before = Standing(80, 30, 10, written_off=60)
    assert (before.outstanding, before.written_off_debt) == (60, 50)
    paid = restate(before, available=0, change=45, owed=80, final_use=0)
    assert (paid.outstanding, paid.written_off) == (15, 15)
    again = restate(paid, available=0, change=0, owed=100, final_use=0)
    assert (again.outstanding, again.written_off) == (35, 15)


@given(
    available=AMOUNT,
    changes=st.lists(st.integers(-500, 500), max_size=6),
    owed=AMOUNT,
    collateral=AMOUNT,
)
def test_only_the_sum_of_changes_counts(
    available: int, changes: list[int], owed: int, collateral: int
) -> None:
    step, balance = Standing(), available
    for change in changes:
        after = restate(
            step, available=balance, change=change, owed=owed, final_use=0, collateral=collateral
        )
        balance += change - (after.taken - step.taken)
        balance += after.overdrawn - step.overdrawn + after.cushioned - step.cushioned
        assert balance >= 0
        step = after
    at_once = restate(
        Standing(),
        available=available,
        change=sum(changes),
        owed=owed,
        final_use=0,
        collateral=collateral,
    )
    assert step == at_once or not changes


@given(
    available=AMOUNT,
    owed=AMOUNT,
    change=st.integers(-500, 500),
    collateral=AMOUNT,
    final_use=AMOUNT,
)
def test_a_user_who_owes_has_nothing_left(
    available: int, owed: int, change: int, collateral: int, final_use: int
) -> None:
    after = restate(
        Standing(),
        available=available,
        change=change,
        owed=owed,
        final_use=final_use,
        collateral=collateral,
    )
    left = available + change - after.taken + after.overdrawn + after.cushioned
    unused = collateral - after.secured - after.cushioned
    assert left >= 0
    assert unused >= 0
    assert (left, unused) == (0, 0) or after.outstanding == 0
    assert left == 0 or not (after.taken and unused), "collateral pays first"


@given(available=AMOUNT, owed=AMOUNT, change=st.integers(-500, 500), collateral=AMOUNT)
def test_what_moves_between_a_user_and_the_debt_sums_to_what_is_covered(
    available: int, owed: int, change: int, collateral: int
) -> None:
    after = restate(
        Standing(),
        available=available,
        change=change,
        owed=owed,
        final_use=0,
        collateral=collateral,
    )
    mine = available + change + collateral
    left = available + change - after.taken + after.overdrawn + after.cushioned
    unused = collateral - after.secured - after.cushioned
    assert mine - left - unused == after.recovered - after.overdrawn
