"""Taking over a new key set: only from the pinned root, and never an older one."""

from dataclasses import replace
from typing import Any

import pytest

from offline_protocol.certificates import KeySet, verify_key_set
from offline_protocol.cose import Signed, seal
from offline_protocol.errors import KeySetRefused
from tests.factories.protocol import NOW, Issuer, entropy

ISSUER = Issuer()
CURRENT = ISSUER.key_set.body
ROOT = ISSUER.root.public_key


def _next(**changes: Any) -> Signed[KeySet]:
    fields: dict[str, Any] = {"version": 2, "time": NOW + 1, "previous": CURRENT.id, **changes}
    return seal(replace(CURRENT, **fields), ISSUER.root)


def test_a_key_set_of_the_root_is_taken() -> None:
    assert verify_key_set(ISSUER.key_set, ROOT) == CURRENT


def test_a_key_set_of_anybody_else_is_not() -> None:
    forged = seal(CURRENT, ISSUER.issuing)
    with pytest.raises(KeySetRefused, match="pinned root"):
        verify_key_set(forged, ROOT)


def test_the_set_in_use_and_its_successors_are_taken() -> None:
    verify_key_set(ISSUER.key_set, ROOT, CURRENT)
    verify_key_set(_next(), ROOT, CURRENT)
    verify_key_set(_next(version=7, previous=entropy("sixth")), ROOT, CURRENT)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 1},
        {"time": NOW - 1},
        {"previous": None},
        {"previous": entropy("another first set")},
    ],
)
def test_an_older_or_parted_set_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(KeySetRefused):
        verify_key_set(_next(**changes), ROOT, CURRENT)
