from uuid import UUID

import pytest

from server.kit.db import to_microseconds
from server.kit.money import AMOUNT_MAX
from server.ledger import Operation
from server.ledger.domain import BALANCE_MAX, HoldState, expiry_id
from tests.unit.ledger.books import (
    ANNA,
    BERK,
    CAROL,
    GATEWAY,
    START,
    Books,
    capture,
    fund,
    hold,
    move,
    release,
)

CHAIN = UUID(int=500)


@pytest.fixture
def books() -> Books:
    """Anna has 100."""
    books = Books(GATEWAY, ANNA, BERK, CAROL)
    assert books.post(fund(ANNA, 100)) == ["applied"]
    return books


def _balances(books: Books) -> list[tuple[int, int]]:
    return [(a.posted, a.held) for a in map(books.account, (ANNA, BERK, CAROL))]


def test_money_moves_from_debit_to_credit(books: Books) -> None:
    (entry,) = books.decide(move(ANNA, BERK, 30)).entries
    assert _balances(books)[:2] == [(70, 0), (30, 0)]
    assert (entry.debit_version, entry.credit_version) == (2, 1)
    assert sum(account.posted for account in books.state.accounts.values()) == 0


def test_a_floor_is_kept_to_the_unit(books: Books) -> None:
    assert books.post(move(ANNA, BERK, 101), move(ANNA, BERK, 100), move(ANNA, BERK, 1)) == [
        "insufficient_funds",
        "applied",
        "insufficient_funds",
    ]


def test_an_account_without_a_floor_may_go_below_zero(books: Books) -> None:
    assert books.post(move(GATEWAY, BERK, 10**12)) == ["applied"]
    assert books.account(GATEWAY).posted == -(10**12) - 100


def test_later_requests_of_a_batch_see_the_earlier_ones(books: Books) -> None:
    assert books.post(move(BERK, CAROL, 5), move(ANNA, BERK, 5), move(BERK, CAROL, 5)) == [
        "insufficient_funds",
        "applied",
        "applied",
    ]


def test_neither_argument_is_changed(books: Books) -> None:
    before = (dict(books.state.accounts), dict(books.state.holds))
    state = books.state
    books.decide(hold(ANNA, BERK, 5), move(ANNA, BERK, 5))
    assert (dict(state.accounts), dict(state.holds)) == before


def test_a_balance_never_leaves_its_range() -> None:
    books = Books(GATEWAY, ANNA)
    most = BALANCE_MAX // AMOUNT_MAX
    assert set(books.post(*(fund(ANNA, AMOUNT_MAX) for _ in range(most)))) == {"applied"}
    assert books.post(fund(ANNA, AMOUNT_MAX)) == ["balance_out_of_range"]


def test_a_closed_account_takes_part_in_nothing(books: Books) -> None:
    closed = books.account(BERK)._replace(closed=True)
    books.state = type(books.state)(
        {**books.state.accounts, BERK.id: closed}, books.state.holds, books.now
    )
    assert (
        books.post(move(ANNA, BERK, 1), move(BERK, ANNA, 1), hold(ANNA, BERK, 1))
        == ["account_closed"] * 3
    )


# Holds


def test_a_hold_takes_from_what_is_available_and_moves_nothing(books: Books) -> None:
    assert books.post(hold(ANNA, BERK, 60), move(ANNA, BERK, 41), move(ANNA, BERK, 40)) == [
        "applied",
        "insufficient_funds",
        "applied",
    ]
    assert _balances(books)[0] == (60, 60)


def test_a_hold_never_draws_on_a_credit_line(books: Books) -> None:
    assert books.post(hold(GATEWAY, ANNA, 1)) == ["insufficient_funds"]


def test_a_refused_hold_cannot_be_captured(books: Books) -> None:
    held = hold(ANNA, BERK, 101)
    assert books.post(held, capture(held, 1)) == ["insufficient_funds", "hold_unknown"]


def test_captures_take_up_to_the_hold_and_no_more(books: Books) -> None:
    held = hold(ANNA, BERK, 60)
    assert books.post(
        held, capture(held, 20), capture(held, 41), capture(held, 40), capture(held, 1)
    ) == ["applied", "applied", "hold_exceeded", "applied", "hold_done"]
    assert _balances(books)[:2] == [(40, 0), (60, 0)]
    assert books.state.holds[held.id].state is HoldState.CAPTURED


def test_a_release_gives_the_rest_back_once(books: Books) -> None:
    held = hold(ANNA, BERK, 60)
    decided = books.decide(held, capture(held, 20), release(held), release(held), capture(held, 1))
    reasons = [e.reason for e in decided.entries]
    assert reasons == [None, None, None, "hold_done", "hold_done"]
    assert decided.entries[2].amount == 40
    assert _balances(books)[:2] == [(80, 0), (20, 0)]


def test_a_hold_is_for_its_own_two_accounts(books: Books) -> None:
    held = hold(ANNA, BERK, 60)
    elsewhere = move(ANNA, CAROL, 10, operation=Operation.CAPTURE, hold=held.id)
    turned = move(BERK, ANNA, 10, operation=Operation.CAPTURE, hold=held.id)
    assert books.post(held, elsewhere, turned) == ["applied", "hold_mismatch", "hold_mismatch"]


def test_a_hold_expires_at_its_instant_and_not_before(books: Books) -> None:
    held = hold(ANNA, BERK, 60, for_s=10)
    assert books.post(held) == ["applied"]
    books.advance(9.999999)
    assert books.post(capture(held, 1)) == ["applied"]
    books.advance(0.000001)
    decided = books.decide(capture(held, 1), release(held))
    assert [e.operation for e in decided.entries] == ["expire", "capture", "release"]
    assert [e.reason for e in decided.entries] == [None, "hold_expired", "hold_expired"]
    assert decided.entries[0].id == expiry_id(held.id)
    assert decided.entries[0].amount == 59
    assert _balances(books)[0] == (99, 0)


def test_money_of_an_expired_hold_is_spent_in_the_same_batch(books: Books) -> None:
    assert books.post(hold(ANNA, BERK, 100, for_s=10)) == ["applied"]
    books.advance(10)
    assert books.post(move(ANNA, CAROL, 100)) == ["applied", "applied"]


def test_a_hold_that_is_over_before_it_begins_is_refused(books: Books) -> None:
    assert books.post(hold(ANNA, BERK, 1, for_s=0)) == ["hold_expired"]


# Time


def test_times_never_run_backwards_in_an_account(books: Books) -> None:
    books.advance(-3600)
    (entry,) = books.decide(move(ANNA, BERK, 1)).entries
    assert entry.at == to_microseconds(START)
    assert books.account(BERK).at == entry.at


def test_expiry_is_judged_by_the_later_of_clock_and_account(books: Books) -> None:
    books.advance(10)
    assert books.post(fund(CAROL, 10)) == ["applied"]
    books.advance(-10)
    held = hold(ANNA, BERK, 10, for_s=5)
    assert books.post(held, move(CAROL, ANNA, 10), capture(held, 1)) == [
        "applied",
        "applied",
        "hold_expired",
    ]


def test_the_effective_time_is_the_callers_when_given(books: Books) -> None:
    (entry,) = books.decide(move(ANNA, BERK, 1, effective_at=START.replace(year=2020))).entries
    assert entry.at - entry.effective_at > 0


# Chains


def test_a_chain_is_applied_as_a_whole(books: Books) -> None:
    assert books.post(move(ANNA, BERK, 50, chain=CHAIN), move(BERK, CAROL, 50, chain=CHAIN)) == [
        "applied",
        "applied",
    ]
    assert _balances(books) == [(50, 0), (0, 0), (50, 0)]


def test_a_chain_with_one_refusal_changes_nothing(books: Books) -> None:
    before = books.state
    held = hold(ANNA, BERK, 30, chain=CHAIN)
    assert books.post(
        held,
        capture(held, 30, chain=CHAIN),
        move(BERK, CAROL, 31, chain=CHAIN),
        move(ANNA, CAROL, 1, chain=CHAIN),
    ) == ["chain_failed", "chain_failed", "insufficient_funds", "chain_failed"]
    assert books.state.accounts == before.accounts
    assert books.state.holds == before.holds


def test_what_stands_around_a_failed_chain_is_applied(books: Books) -> None:
    assert books.post(
        move(ANNA, BERK, 10),
        move(BERK, CAROL, 10, chain=CHAIN),
        move(BERK, CAROL, 1, chain=CHAIN),
        move(BERK, CAROL, 10),
    ) == ["applied", "chain_failed", "insufficient_funds", "applied"]


def test_a_chain_may_be_scattered_over_the_batch(books: Books) -> None:
    decided = books.decide(
        move(ANNA, BERK, 10, chain=CHAIN),
        move(BERK, CAROL, 10),
        move(BERK, CAROL, 10, chain=CHAIN),
    )
    assert [e.reason for e in decided.entries] == [None, None, "insufficient_funds"]


def test_a_failed_chain_gives_an_earlier_hold_back_as_it_was(books: Books) -> None:
    held = hold(ANNA, BERK, 30)
    books.post(held)
    books.post(capture(held, 10, chain=CHAIN), move(CAROL, BERK, 1, chain=CHAIN))
    assert books.state.holds[held.id].rest == 30
    assert _balances(books)[0] == (100, 30)
