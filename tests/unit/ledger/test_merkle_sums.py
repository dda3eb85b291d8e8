"""Proofs of liabilities: what the server builds, what the client checks, what neither lets pass.

The two sides share no code. `liability_vectors.json` pins the bytes for a third.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.liabilities import ProofBroken, check_proof, read_root
from offline_protocol.keys import SoftwareSigner
from server.kit.db import to_microseconds
from server.ledger.canonical import canonical
from server.ledger.liabilities import LiabilityProof, LiabilityRoot
from server.ledger.liability_rounds import CONTEXT
from server.ledger.merkle_sums import (
    Node,
    leaf_node,
    levels_of,
    parent_of,
    siblings_of,
    sum_bytes,
)
from tests.unit.ledger.books import START

SIGNER = SoftwareSigner(bytes(range(32)))
VECTORS = Path(__file__).parent / "liability_vectors.json"
_Document = dict[str, Any]


def _salt(n: int) -> bytes:
    return n.to_bytes(32, "big")


def _signed(levels: list[list[Node]], **changed: Any) -> LiabilityRoot:
    fields: dict[str, Any] = {
        "tenant": 1,
        "number": 3,
        "asset": "EUR",
        "day": 20_514,
        "day_hash": bytes([7] * 32),
        "leaves": len(levels[0]),
        "total": levels[-1][0].total,
        "root": levels[-1][0].hash,
        "below_zero": 0,
        "below_zero_sum": 0,
        "at": START,
    } | changed
    values = [*fields.values()][:-1]
    values[6] = sum_bytes(fields["total"])
    content = CONTEXT + canonical(*values, to_microseconds(START))
    return LiabilityRoot(**fields, public_key=SIGNER.public_key.raw, signature=SIGNER.sign(content))


def _tree(balances: list[int]) -> list[list[Node]]:
    return levels_of([leaf_node(_salt(n), UUID(int=n), b) for n, b in enumerate(balances)])


def _proof(balances: list[int], place: int) -> tuple[_Document, str]:
    levels = _tree(balances)
    root = _signed(levels)
    path = tuple(levels[level][at] for level, at in siblings_of(place, len(balances)))
    proof = LiabilityProof(UUID(int=place), balances[place], _salt(place), place, path, root)
    return json.loads(json.dumps(proof.as_json())), json.dumps(root.as_json())


def _check(document: _Document, root: str) -> int:
    return check_proof(json.dumps(document), read_root(root)).balance


@settings(max_examples=200)
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=70))
def test_the_root_carries_the_sum_and_every_leaf_finds_it(balances: list[int]) -> None:
    levels = _tree(balances)
    assert levels[-1][0].total == sum(balances)
    for place in {0, len(balances) // 2, len(balances) - 1}:
        document, root = _proof(balances, place)
        assert _check(document, root) == balances[place]


def _holder(document: Any, *path: str | int) -> tuple[Any, str | int]:
    for step in path[:-1]:
        document = document[step]
    return document, path[-1]


@settings(max_examples=300)
@given(st.data())
def test_any_change_of_a_proof_is_found(data: st.DataObject) -> None:
    balances = data.draw(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
    place = data.draw(st.integers(0, len(balances) - 1))
    document, root = _proof(balances, place)
    steps = len(document["path"])
    targets: list[tuple[str | int, ...]] = [("balance",), ("salt",), ("user",), ("round",)]
    targets += [("place",), ("currency",)]
    targets += [("path", n, what) for n in range(steps) for what in ("total", "hash")]
    target = data.draw(st.sampled_from(targets))
    holder, name = _holder(document, *target)
    old = holder[name]
    match name:
        case "balance" | "total":
            holder[name] = str(data.draw(st.integers(0, 2000)))
        case "salt" | "hash":
            holder[name] = data.draw(st.binary(min_size=32, max_size=32)).hex()
        case "user":
            holder[name] = str(data.draw(st.uuids()))
        case "place" | "round":
            holder[name] = data.draw(st.integers(0, 40))
        case _:
            holder[name] = "USD"
    if holder[name] == old:
        assert _check(document, root) == balances[place]
    else:
        with pytest.raises(ProofBroken):
            _check(document, root)


@settings(max_examples=300)
@given(st.data())
def test_any_change_of_a_root_is_found(data: st.DataObject) -> None:
    balances = data.draw(st.lists(st.integers(0, 1000), min_size=1, max_size=9))
    _, root = _proof(balances, 0)
    document: _Document = json.loads(root)
    name = data.draw(st.sampled_from(sorted(document)))
    old = document[name]
    changed = data.draw(
        st.integers(-3, 2**70)
        | st.text(max_size=40)
        | st.integers(-5, 5000).map(str)
        | st.binary(min_size=32, max_size=32).map(bytes.hex)
        | st.none()
        | st.lists(st.integers(), max_size=2)
    )
    if changed == old and type(changed) is type(old):
        return
    document[name] = changed
    with pytest.raises(ProofBroken):
        read_root(json.dumps(document))


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=8,
    )
)
def test_no_document_makes_the_reader_fail_otherwise(value: object) -> None:
    _, root = _proof([1, 2, 3], 1)
    for text in (json.dumps(value), str(value)):
        with pytest.raises(ProofBroken):
            read_root(text)
        with pytest.raises(ProofBroken):
            check_proof(text, read_root(root))


def test_a_path_has_one_length() -> None:
    document, root = _proof([5, 6, 7, 8, 9], 2)
    shorter = document | {"path": document["path"][:-1]}
    longer = document | {"path": [*document["path"], {"total": "0", "hash": "00" * 32}]}
    for changed, words in ((shorter, "too short"), (longer, "too long")):
        with pytest.raises(ProofBroken, match=words):
            _check(changed, root)


def test_a_leaf_is_not_shown_at_two_places() -> None:
    """An odd leaf goes up alone: doubling it would count money twice under the same root."""
    balances = [10, 20, 30]
    levels = _tree(balances)
    doubled = levels_of([*levels[0], levels[0][2]])
    assert levels[-1][0] != doubled[-1][0]
    assert levels[-1][0].total == 60
    document, root = _proof(balances, 2)
    with pytest.raises(ProofBroken):
        _check(document | {"place": 1}, root)


def test_an_inner_node_is_not_taken_for_a_leaf() -> None:
    """Leaves and nodes are hashed apart, whatever their content looks like."""
    levels = _tree([1, 2])
    root = _signed(levels[1:], leaves=1)
    left, right = levels[0]
    content = sum_bytes(left.total) + left.hash + sum_bytes(right.total) + right.hash
    document = {
        "user": str(UUID(bytes=content[32:48])),
        "currency": "EUR",
        "round": 3,
        "balance": "3",
        "salt": content[:32].hex(),
        "place": 0,
        "path": [],
    }
    with pytest.raises(ProofBroken, match="published root"):
        _check(document, json.dumps(root.as_json()))


def test_sums_cannot_be_hidden_on_one_side() -> None:
    """With only their total hashed, an operator could move a sum from one child to the other."""
    left, right = _tree([100, 50])[0]
    honest = parent_of(left, right)
    shifted = parent_of(left._replace(total=10), right._replace(total=140))
    assert honest.total == shifted.total
    assert honest.hash != shifted.hash


def test_a_tree_with_a_negative_leaf_cannot_be_built_or_shown() -> None:
    with pytest.raises(ValueError, match="no leaf"):
        leaf_node(_salt(1), UUID(int=1), -1)
    document, root = _proof([5, 7], 0)
    document["path"][0]["total"] = "-2"
    with pytest.raises(ProofBroken, match="out of range"):
        _check(document, root)


def test_sums_beyond_the_range_are_refused() -> None:
    """A sum that wraps around could make the total small again."""
    left = leaf_node(_salt(0), UUID(int=0), 5)
    right = Node(2**127 - 1, bytes(32))
    levels = [[left, right], [parent_of(left, right)]]
    root = _signed(levels, total=4)
    document = {
        "user": str(UUID(int=0)),
        "currency": "EUR",
        "round": 3,
        "balance": "5",
        "salt": _salt(0).hex(),
        "place": 0,
        "path": [{"total": str(right.total), "hash": right.hash.hex()}],
    }
    with pytest.raises(ProofBroken, match="out of range"):
        _check(document, json.dumps(root.as_json()))


def test_a_root_that_is_signed_with_another_total_is_refused() -> None:
    document, _ = _proof([5, 7], 0)
    lying = _signed(_tree([5, 7]), total=13)
    with pytest.raises(ProofBroken, match="another sum"):
        _check(document, json.dumps(lying.as_json()))


def make_vectors() -> list[_Document]:
    """Return what is stored as `liability_vectors.json`."""
    trees = ([1], [1, 2], [0, 5, 9], [2**63 - 1] * 5, list(range(1, 12)))
    return [
        {"proof": document, "root": json.loads(root)}
        for balances in trees
        for place in range(len(balances))
        for document, root in [_proof(balances, place)]
    ]


def test_the_bytes_are_those_of_the_published_vectors() -> None:
    stored = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert stored == make_vectors()
    for vector in stored:
        balance = _check(vector["proof"], json.dumps(vector["root"]))
        assert str(balance) == vector["proof"]["balance"]
