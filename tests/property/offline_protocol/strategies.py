"""Strategies: plain CBOR values, and random histories of vouchers with some cheating devices."""

import unicodedata
from dataclasses import dataclass

from hypothesis import strategies as st

from offline_protocol import Transfer, TransferKind
from offline_protocol.cbor import Value
from offline_protocol.constants import UINT_MAX
from tests.factories.trees import SETTLE_KEY, Tree, key_of

CHEATS = ("mallory", "mike")
HONEST = ("alice", "bob", "carol", "bob/2")
DEVICES = (*HONEST, *CHEATS, "mallory/2")
VALUE = 12

texts = st.text(st.characters(codec="utf-8"), max_size=12).map(
    lambda text: unicodedata.normalize("NFC", text)
)
uints = st.integers(0, 30) | st.integers(0, UINT_MAX)
map_keys = st.integers(1, 23) | st.integers(-24, -1)
leaf_values: st.SearchStrategy[Value] = uints | st.binary(max_size=40) | texts
cbor_values: st.SearchStrategy[Value] = st.recursive(
    leaf_values,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(map_keys, inner, max_size=4),
    max_leaves=12,
).filter(lambda value: _depth(value) <= 6)


def _depth(value: Value) -> int:
    if type(value) is list:
        return 1 + max(map(_depth, value), default=0)
    if type(value) is dict:
        return 1 + max(map(_depth, value.values()), default=0)
    return 0


@dataclass
class History:
    """Trees that share devices. Only those named in CHEATS contradict themselves."""

    trees: list[Tree]

    def account_of(self, key: object) -> str:
        names = {k: name for tree in self.trees for k, name in tree.names.items()}
        return names[key].partition("/")[0]  # type: ignore[index]


@st.composite
def histories(draw: st.DrawFn, *, trees_max: int = 2, steps_max: int = 14) -> History:
    """Devices pay, return and claim; honest ones only what they still own."""
    count = draw(st.integers(1, trees_max))
    made = [_tree(draw, serial, steps_max) for serial in range(count)]
    return History(made)


def _tree(draw: st.DrawFn, serial: int, steps_max: int) -> Tree:
    holder = draw(st.sampled_from((*CHEATS, *DEVICES)))
    tree = Tree(holder, VALUE, serial=serial, later=draw(st.integers(0, 1)))
    nodes: list[tuple[bytes, str, int, int]] = [(tree.top, holder, 0, VALUE)]
    for _ in range(draw(st.integers(0, steps_max))):
        # The voucher and the newest node come up often: wide forks and long chains.
        parent, owner, lo, hi = draw(st.sampled_from((nodes[0], nodes[-1], *nodes)))
        start, end = lo, hi
        if draw(st.booleans()):
            start = draw(st.integers(lo, hi - 1))
            end = draw(st.integers(start + 1, hi))
        if owner.partition("/")[0] not in CHEATS and _taken(tree, parent, start, end):
            continue
        payee = draw(st.sampled_from((*HONEST, *DEVICES, "", "")))
        if payee:
            nodes.append((tree.pay(parent, start, end, payee), payee, start, end))
        else:
            tree.claim(parent, start, end)
    return tree


def _taken(tree: Tree, parent: bytes, lo: int, hi: int) -> bool:
    return any(t.parent == parent and t.lo < hi and lo < t.hi for t in tree.transfers)


def unit_owners(tree: Tree, unit: int) -> list[tuple[str, bytes, bool, tuple[str, ...]]]:
    """Who ends up with one unit: device, leaf id, claimed, devices that forked above it.

    Written for this test from the fork lemma, one unit at a time, with no intervals to sweep.
    """
    ends: list[tuple[str, bytes, bool, tuple[str, ...]]] = []

    def follow(node: bytes, owner: str, forked: tuple[str, ...]) -> None:
        children = [t for t in tree.transfers if t.parent == node and t.lo <= unit < t.hi]
        if not children:
            ends.append((owner, node, False, forked))
        above = (*forked, owner) if len(children) > 1 else forked
        for child in children:
            if child.kind is TransferKind.CLAIM:
                ends.append((owner, child.id, True, above))
            else:
                follow(child.id, _name(child), above)

    follow(tree.top, tree.holder, ())
    return ends


def _name(transfer: Transfer) -> str:
    assert transfer.payee != SETTLE_KEY
    return next(name for name in DEVICES if key_of(name) == transfer.payee)
