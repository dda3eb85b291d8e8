"""Deposit references: every slip of a pen is noticed, whatever stands around them."""

from hypothesis import given
from hypothesis import strategies as st

from server.payments.banks.references import (
    find_references,
    is_reference,
    make_reference,
    show_reference,
)

REFERENCES = st.binary(min_size=8, max_size=8).map(make_reference)
CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def test_the_check_digits_are_those_of_the_standard() -> None:
    # The example that explanations of ISO 11649 use.
    assert make_reference((539_007_547_034).to_bytes(8, "big")) == "RF18539007547034"
    assert is_reference("RF18539007547034")


@given(REFERENCES)
def test_what_is_made_is_found_as_it_is_and_as_it_is_shown(reference: str) -> None:
    assert is_reference(reference)
    assert find_references(reference) == [reference]
    assert find_references(f"a {show_reference(reference).lower()}; b") == [reference]


@given(REFERENCES, st.integers(0, 15), st.sampled_from(CHARACTERS))
def test_one_wrong_character_is_noticed(reference: str, place: int, character: str) -> None:
    changed = reference[:place] + character + reference[place + 1 :]
    assert is_reference(changed) == (changed == reference)


@given(REFERENCES, st.integers(2, 14))
def test_two_neighbours_that_changed_places_are_noticed(reference: str, place: int) -> None:
    first, second = reference[place], reference[place + 1]
    changed = reference[:place] + second + first + reference[place + 2 :]
    assert is_reference(changed) == (first == second)


@given(st.text(max_size=300))
def test_no_text_breaks_the_search(text: str) -> None:
    assert all(is_reference(found) for found in find_references(text))


@given(st.lists(REFERENCES, max_size=4, unique=True), st.sampled_from([" ", ", ", "; und "]))
def test_several_are_all_found(references: list[str], between: str) -> None:
    assert set(references) <= set(find_references(between.join(references)))
