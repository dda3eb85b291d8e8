"""Interval arithmetic and the choice of pieces."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import InsufficientFunds
from client_sdk.holdings import Interval, Piece, choose, subtract


def piece(name: int, size: int, *, spend_by: int = 0, lo: int = 0) -> Piece:
    return Piece(holding=bytes([name]), interval=Interval(lo, lo + size), spend_by=spend_by)


sizes = st.lists(st.integers(1, 60), min_size=1, max_size=7)


def test_what_is_not_taken_stays() -> None:
    assert subtract([Interval(0, 100)], Interval(0, 30)) == (Interval(30, 100),)
    assert subtract([Interval(0, 100)], Interval(40, 60)) == (Interval(0, 40), Interval(60, 100))
    assert subtract([Interval(0, 10)], Interval(0, 10)) == ()


@pytest.mark.parametrize("taken", [Interval(0, 11), Interval(5, 25), Interval(3, 3)])
def test_what_is_not_free_cannot_be_taken(taken: Interval) -> None:
    with pytest.raises(ValueError, match="is not free"):
        subtract([Interval(0, 10), Interval(20, 30)], taken)


@given(st.sets(st.integers(0, 40)), st.integers(0, 40), st.integers(1, 10))
def test_subtraction_agrees_with_sets_of_units(units: set[int], lo: int, length: int) -> None:
    free = [Interval(unit, unit + 1) for unit in sorted(units)]
    taken = Interval(lo, lo + length)
    if set(range(*taken)) <= units:
        left = {unit for part in subtract(free, taken) for unit in range(*part)}
        assert left == units - set(range(*taken))
    else:
        with pytest.raises(ValueError, match="is not free"):
            subtract(free, taken)


def test_one_piece_is_preferred_to_two_that_expire_sooner() -> None:
    picks = choose([piece(1, 5), piece(2, 5), piece(3, 10, spend_by=9)], 10, chains_max=8)
    assert [pick.holding for pick in picks] == [b"\x03"]


def test_of_equally_few_the_soonest_to_expire_go_first() -> None:
    pieces = [piece(1, 10, spend_by=30), piece(2, 10, spend_by=10), piece(3, 10, spend_by=20)]
    picks = choose(pieces, 15, chains_max=8)
    assert [(pick.holding, pick.interval.length) for pick in picks] == [(b"\x02", 10), (b"\x03", 5)]


def test_the_last_piece_gives_its_low_end() -> None:
    assert choose([piece(1, 100, lo=40)], 25, chains_max=8)[0].interval == Interval(40, 65)


@given(sizes, st.data())
def test_a_choice_is_exact_minimal_and_without_overlap(
    amounts: list[int], data: st.DataObject
) -> None:
    pieces = [
        piece(number, size, spend_by=data.draw(st.integers(0, 3)))
        for number, size in enumerate(amounts)
    ]
    amount = data.draw(st.integers(1, sum(amounts)))
    picks = choose(pieces, amount, chains_max=8)
    assert sum(pick.interval.length for pick in picks) == amount
    assert len({pick.holding for pick in picks}) == len(picks)
    by_name = {one.holding: one.interval for one in pieces}
    for pick in picks:
        assert by_name[pick.holding].lo == pick.interval.lo
        assert pick.interval.hi <= by_name[pick.holding].hi
    fewest = next(
        count
        for count in range(1, len(amounts) + 1)
        if any(sum(some) >= amount for some in combinations(amounts, count))
    )
    assert len(picks) == fewest


@given(sizes)
def test_a_choice_does_not_depend_on_the_order_of_pieces(amounts: list[int]) -> None:
    pieces = [piece(number, size) for number, size in enumerate(amounts)]
    amount = max(1, sum(amounts) // 2)
    assert choose(pieces, amount, chains_max=8) == choose(pieces[::-1], amount, chains_max=8)


def test_too_little_says_what_there_is() -> None:
    with pytest.raises(InsufficientFunds, match="50 is asked for, 12 can be spent"):
        choose([piece(1, 12)], 50, chains_max=8)


def test_too_many_pieces_says_what_fits() -> None:
    with pytest.raises(InsufficientFunds) as refusal:
        choose([piece(number, 1) for number in range(9)], 9, chains_max=8)
    assert refusal.value.fix is not None
    assert "Pay at most 8" in refusal.value.fix
