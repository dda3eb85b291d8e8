from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.ledger.canonical import Field, canonical

FIELDS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=8),
    st.binary(max_size=20),
    st.uuids(),
)


@given(st.lists(FIELDS, max_size=5), st.lists(FIELDS, max_size=5))
def test_two_rows_share_a_spelling_only_when_they_are_equal(
    one: list[Field], other: list[Field]
) -> None:
    assert (canonical(*one) == canonical(*other)) == (one == other)


def test_the_spelling_is_fixed() -> None:
    spelling = canonical(None, -2, "ü", b"\x00", UUID(int=1))
    assert spelling.hex() == (
        "0001fffffffffffffffe0200000002c3bc0300000001000400000000000000000000000000000001"
    )


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        canonical(2**63)
