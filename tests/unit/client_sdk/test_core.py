"""The exchange's state machine, as a table."""

import re
from collections.abc import Callable

import pytest

from client_sdk.core import (
    FINISHED,
    PAYEE_STATES,
    PAYER_STATES,
    TRANSITIONS,
    UNCONFIRMED,
    Effect,
    Input,
    State,
    step,
)
from client_sdk.errors import ExchangeStateError
from scripts.diagrams import MEANING, WORDS, exchange_page, payee_diagram, payer_diagram

WRITES = {
    Effect.RESERVE,
    Effect.STORE_BYTES,
    Effect.SAVE,
    Effect.STORE_PAYMENT,
    Effect.STORE_RECEIPT,
    Effect.STORE_RETURN,
}
PAYER_PATHS = [
    ("confirmed", [Input.CONFIRM, Input.CONTINUE, Input.HAND_OVER, Input.RECEIPT], State.ACKED),
    ("doubt", [Input.CONFIRM, Input.CONTINUE, Input.HAND_OVER, Input.LINK_LOST], State.IN_DOUBT),
    (
        "doubt resolved by the receipt",
        [Input.CONFIRM, Input.CONTINUE, Input.HAND_OVER, Input.LINK_LOST, Input.RECEIPT],
        State.ACKED,
    ),
    (
        "doubt resolved by a return",
        [Input.CONFIRM, Input.CONTINUE, Input.HAND_OVER, Input.LINK_LOST, Input.RETURN],
        State.RETURNED,
    ),
    (
        "doubt resolved by the server",
        [Input.CONFIRM, Input.CONTINUE, Input.HAND_OVER, Input.LINK_LOST, Input.VERDICT],
        State.SETTLED,
    ),
    (
        "refunded after the receipt",
        [Input.CONFIRM, Input.CONTINUE, Input.HAND_OVER, Input.RECEIPT, Input.RETURN],
        State.RETURNED,
    ),
]
PAYEE_PATHS = [
    ("paid", [Input.SHOW, Input.PAYMENT, Input.CONTINUE, Input.CONTINUE], State.RECEIPTED),
    (
        "spent, then the rest claimed",
        [Input.SHOW, Input.PAYMENT, Input.CONTINUE, Input.CONTINUE, Input.SPEND, Input.CLAIM],
        State.CLAIMED,
    ),
    (
        "sent back unread",
        [Input.SHOW, Input.PAYMENT, Input.CONTINUE, Input.SEND_BACK],
        State.RETURNED,
    ),
    (
        "settled",
        [Input.SHOW, Input.PAYMENT, Input.CONTINUE, Input.CONTINUE, Input.CLAIM, Input.VERDICT],
        State.SETTLED,
    ),
]


@pytest.mark.parametrize(("name", "inputs", "end"), PAYER_PATHS)
def test_payer_goes_the_designed_way(name: str, inputs: list[Input], end: State) -> None:
    assert walk(State.IDLE, inputs) is end, name


@pytest.mark.parametrize(("name", "inputs", "end"), PAYEE_PATHS)
def test_payee_goes_the_designed_way(name: str, inputs: list[Input], end: State) -> None:
    assert walk(State.OPEN, inputs) is end, name


def walk(state: State, inputs: list[Input]) -> State:
    for happened in inputs:
        state = step(state, happened).state
    return state


def test_every_state_can_be_reached() -> None:
    reached = {State.IDLE, State.OPEN}
    while True:
        more = {row.state for (state, _), row in TRANSITIONS.items() if state in reached}
        if more <= reached:
            break
        reached |= more
    assert reached == set(State)


def test_payer_and_payee_share_only_the_ends() -> None:
    assert PAYER_STATES & PAYEE_STATES == FINISHED
    for (state, _), row in TRANSITIONS.items():
        sides = [side for side in (PAYER_STATES, PAYEE_STATES) if state in side]
        assert any(row.state in side for side in sides)


def test_nothing_is_sent_before_its_bytes_are_stored() -> None:
    for (state, _), row in TRANSITIONS.items():
        if Effect.SEND not in row.effects:
            continue
        writes = [row.effects.index(effect) for effect in row.effects if effect in WRITES]
        assert all(index < row.effects.index(Effect.SEND) for index in writes)
        assert state not in {State.IDLE, State.LOCKED, State.SHOWN, State.VERIFIED}


def test_paid_is_shown_only_after_payment_and_receipt_are_stored() -> None:
    for (state, _), row in TRANSITIONS.items():
        if Effect.SHOW_PAID in row.effects:
            stored_now = Effect.STORE_BYTES in row.effects
            assert stored_now or state in {
                State.RECEIPTED,
                State.SPENT,
                State.CLAIMED,
                State.SETTLED,
            }


def test_a_change_of_state_is_written() -> None:
    in_memory_only = {(State.SHOWN, Input.PAYMENT)}
    for (state, happened), row in TRANSITIONS.items():
        # Spending and claiming are written by the reservation of what is signed away.
        if row.state is not state and (state, happened) not in in_memory_only:
            assert WRITES & set(row.effects), (state, happened)


def test_signing_follows_a_durable_reservation() -> None:
    signing = [state for (state, _), row in TRANSITIONS.items() if Effect.SIGN in row.effects]
    assert sorted(signing) == [State.LOCKED, State.STORED]


def test_the_witness_is_told_before_value_is_signed_away() -> None:
    effects = step(State.LOCKED, Input.CONTINUE).effects
    assert effects.index(Effect.WITNESS) < effects.index(Effect.SIGN)
    told = [row for row in TRANSITIONS.values() if Effect.WITNESS in row.effects]
    assert len(told) == 1


@pytest.mark.parametrize("state", sorted(set(State) - FINISHED - {State.IDLE, State.OPEN}))
def test_the_servers_verdict_ends_every_exchange_that_holds_value(state: State) -> None:
    in_memory_or_empty = {State.VERIFIED, State.SHOWN}
    if state not in in_memory_or_empty:
        assert step(state, Input.VERDICT).state is State.SETTLED


def test_no_input_is_about_time() -> None:
    assert not any("time" in name.value or "expire" in name.value for name in Input)


@pytest.mark.parametrize("state", sorted(UNCONFIRMED))
def test_an_unconfirmed_payment_never_becomes_spendable_by_itself(state: State) -> None:
    for happened in (Input.CONFIRM, Input.CONTINUE, Input.LINK_LOST, Input.HAND_OVER):
        try:
            after = step(state, happened).state
        except ExchangeStateError:
            continue
        assert after in UNCONFIRMED


def test_a_step_that_is_not_in_the_table_changes_nothing() -> None:
    with pytest.raises(ExchangeStateError, match="'locked' cannot take 'receipt'"):
        step(State.LOCKED, Input.RECEIPT)


def test_a_second_offer_sends_the_same_answer() -> None:
    for state in (State.RECEIPTED, State.SPENT, State.CLAIMED, State.SETTLED, State.RETURNED):
        again = step(state, Input.PAYMENT)
        assert again.state is state
        assert Effect.SEND in again.effects
        assert not WRITES & set(again.effects)


ARROW = re.compile(r"^    (\w+) --> (\w+): (.*)$", re.MULTILINE)


@pytest.mark.parametrize(
    ("drawing", "states"), [(payer_diagram, PAYER_STATES), (payee_diagram, PAYEE_STATES)]
)
def test_a_drawing_shows_what_the_table_does(
    drawing: Callable[[], str], states: frozenset[State]
) -> None:
    words = {word: happened for happened, word in WORDS.items()}
    drawn = {
        (State(before), words[word], State(after))
        for before, after, inputs in ARROW.findall(drawing())
        for word in inputs.split(", ")
    }
    assert drawn
    for before, happened, after in drawn:
        assert TRANSITIONS[before, happened].state is after
        assert {before, after} <= states
    assert {before for before, _, _ in drawn} == states - FINISHED


def test_every_change_of_state_is_drawn_and_every_step_is_in_a_table() -> None:
    page = exchange_page()
    drawn = len(ARROW.findall(payer_diagram() + payee_diagram()))
    pairs = {
        (state, row.state) for (state, _), row in TRANSITIONS.items() if row.state is not state
    }
    assert drawn == len(pairs)
    for (state, happened), row in TRANSITIONS.items():
        assert f"| {state.value} | {WORDS[happened]} | {row.state.value} |" in page
    assert set(MEANING) == set(Effect)
