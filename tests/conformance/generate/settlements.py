"""Settlements: trees of transfers, whose outcome must not depend on order, doubles or batches."""

from collections.abc import Sequence
from typing import Any

from tests.conformance.client import judge
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.told_trees import told_trees
from tests.conformance.generate.trees import CLOSED, OPEN, Tree, policy, root
from tests.conformance.generate.world import entropy


def vectors() -> Vectors:
    out = Vectors("settlements", "Who is paid and who owes, from the same records in any order")
    for name, trees, changes in told_trees():
        _add_permuted(out, name, trees, policy(*trees, **changes))
    for number in range(16):
        trees, changes = _grown(number)
        _add_permuted(out, f"grown {number}", trees, policy(*trees, **changes))
    return out


def _add_permuted(out: Vectors, name: str, trees: Sequence[Tree], given: dict[str, Any]) -> None:
    orders = {
        "": [root(tree) for tree in trees],
        ", backwards and doubled": [
            root(tree, [*tree.transfers[::-1], *tree.transfers]) for tree in reversed(trees)
        ],
        ", in parts": [
            root(tree, part)
            for tree in trees
            for part in (tree.transfers[1::2], tree.transfers[::2])
        ],
    }
    verdicts = {
        order: judge("settlement", {"roots": roots, **given}) for order, roots in orders.items()
    }
    assert len({str(verdict) for verdict in verdicts.values()}) == 1, f"{name} depends on the order"
    for order, roots in orders.items():
        if order == "" or any(tree.transfers for tree in trees):
            out.add("settlement", name + order, roots=roots, **given)


class _Dice:
    """Numbers that follow from a word."""

    def __init__(self, *words: object) -> None:
        self._words = words
        self._thrown = 0

    def below(self, bound: int) -> int:
        self._thrown += 1
        return int.from_bytes(entropy("dice", *self._words, self._thrown)) % bound


def _grown(number: int) -> tuple[list[Tree], dict[str, Any]]:
    """Random trees in which everybody may cheat."""
    dice = _Dice("tree", number)
    names = ["ann", "ben", "cho", "dee", "ben/2"]
    trees = []
    for serial in range(1 + number % 2):
        tree = Tree(names[dice.below(5)], 40, (number, serial), later=dice.below(3))
        places = [(tree.top, 0, 40)]
        for _ in range(9):
            parent, low, high = places[dice.below(len(places))]
            lo = low + dice.below(high - low)
            hi = lo + 1 + dice.below(high - lo)
            if dice.below(3):
                places.append((tree.pay(parent, lo, hi, names[dice.below(5)]), lo, hi))
            else:
                tree.claim(parent, lo, hi)
        trees.append(tree)
    return trees, {
        "collateral": {"ann": str(dice.below(30)), "ben": str(dice.below(30))},
        "fund_cap": str(dice.below(40)),
        "instant_limit": {"cho": str(dice.below(30)), "dee": str(dice.below(30))},
        "excluded": {"dee": ["cho"]} if dice.below(2) else {},
        "now": OPEN if dice.below(3) == 0 else CLOSED,
    }
