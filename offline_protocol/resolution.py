"""Who owns what of one voucher, from the set of records about it.

`resolve` walks from the voucher down. At each node the intervals of its children are swept into
elementary segments: no child, and the node's owner has it; one child, and the walk goes on there;
several, and the owner signed it away more than once: a fork, and every branch is followed to its
end. The answer depends on the set of records only, never on their order or number.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple, TypeVar

from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.vouchers import Voucher

Item = TypeVar("Item")

_SPAN_LO = itemgetter(0)


@dataclass(frozen=True)
class Root:
    """A voucher and the transfers known under it, each verified before.

    Transfers whose parent is not among them wait: they do not count.
    """

    voucher: Voucher
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True)
class Turn:
    """Where a path leaves a fork: the fork's parent, its signer, and the child taken."""

    parent: bytes
    signer: PublicKey
    child: bytes


class Leaf(NamedTuple):
    """Where a path ends: the owner of the units, by which object, and whether they are claimed.

    `id` is that of the claim, else of the transfer or voucher that made `owner` the owner. `turns`
    are the forks above, from the voucher down.
    """

    id: bytes
    owner: PublicKey
    claimed: bool
    turns: tuple[Turn, ...] = ()


class Segment(NamedTuple):
    """Units [lo, hi) with all their leaves, in the order of the leaves' ids."""

    lo: int
    hi: int
    leaves: tuple[Leaf, ...]

    @property
    def length(self) -> int:
        return self.hi - self.lo


@dataclass(frozen=True)
class Fork:
    """One key signed [lo, hi) of one parent away in several transfers, ids ascending."""

    key: PublicKey
    parent: bytes
    lo: int
    hi: int
    transfer_ids: tuple[bytes, ...]


@dataclass(frozen=True)
class Resolution:
    """Segments that cover the voucher without gap, and every fork, in a fixed order."""

    segments: tuple[Segment, ...]
    forks: tuple[Fork, ...]


class _Node(NamedTuple):
    """A place in the tree where somebody owned [lo, hi)."""

    id: bytes
    owner: PublicKey
    lo: int
    hi: int


def resolve(root: Root) -> Resolution:
    """Walk one voucher."""
    tree = _Tree(root)
    ends = list(tree.ends())
    segments = tuple(
        Segment(lo, hi, tuple(leaves))
        for lo, hi, leaves in sweep(ends, 0, root.voucher.value, order=lambda leaf: leaf.id)
    )
    forks = sorted(tree.forks, key=lambda fork: (fork.lo, fork.hi, fork.parent))
    return Resolution(segments, tuple(forks))


def sweep(
    spans: Iterable[tuple[int, int, Item]], lo: int, hi: int, *, order: Callable[[Item], bytes]
) -> Iterator[tuple[int, int, list[Item]]]:
    """Cut [lo, hi) wherever a span begins or ends; give each part with what covers it, ordered.

    Spans lie inside [lo, hi) and are not empty. Parts that nothing covers are given too.
    """
    spans = sorted(spans, key=_SPAN_LO)
    if any(left[1] > right[0] for left, right in pairwise(spans)):
        yield from _sweep_overlapping(spans, lo, hi, order=order)
        return
    # Side by side, as nearly always: they are the parts, and so are the gaps between them.
    for span_lo, span_hi, item in spans:
        if lo < span_lo:
            yield lo, span_lo, []
        yield span_lo, span_hi, [item]
        lo = span_hi
    if lo < hi:
        yield lo, hi, []


def _sweep_overlapping(
    spans: Iterable[tuple[int, int, Item]], lo: int, hi: int, *, order: Callable[[Item], bytes]
) -> Iterator[tuple[int, int, list[Item]]]:
    starts: dict[int, list[tuple[int, Item]]] = defaultdict(list)
    bounds = {lo, hi}
    for span_lo, span_hi, item in spans:
        starts[span_lo].append((span_hi, item))
        bounds |= {span_lo, span_hi}
    covering: list[tuple[int, Item]] = []
    for left, right in pairwise(sorted(bounds)):
        covering = [(end, item) for end, item in covering if end > left]
        covering += starts.get(left, ())
        yield left, right, sorted((item for _, item in covering), key=order)


@dataclass
class _Tree:
    """The records of one root by their parents, and the walk over them."""

    root: Root
    forks: list[Fork] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._children: dict[bytes, dict[bytes, Transfer]] = defaultdict(dict)
        for transfer in self.root.transfers:
            self._children[transfer.parent][transfer.id] = transfer
        self._parts: dict[bytes, Sequence[tuple[int, int, list[Transfer]]]] = {}

    def ends(self) -> Iterator[tuple[int, int, Leaf]]:
        """Parts of the voucher as each path sees them, and where it ends."""
        voucher = self.root.voucher
        top = _Node(voucher.id, voucher.holder, 0, voucher.value)
        waiting: list[tuple[_Node, int, int, tuple[Turn, ...]]] = [(top, 0, voucher.value, ())]
        while waiting:
            node, lo, hi, turns = waiting.pop()
            if node.id not in self._children:
                yield lo, hi, Leaf(node.id, node.owner, claimed=False, turns=turns)
                continue
            parts = list(self._parts_within(node, lo, hi))
            for part_lo, part_hi, children in parts:
                if not children:
                    leaf = Leaf(node.id, node.owner, claimed=False, turns=turns)
                    yield part_lo, part_hi, leaf
            for run_lo, run_hi, child, forked in _runs(parts):
                below = (*turns, Turn(node.id, node.owner, child.id)) if forked else turns
                if child.kind is TransferKind.CLAIM:
                    leaf = Leaf(child.id, node.owner, claimed=True, turns=below)
                    yield run_lo, run_hi, leaf
                else:
                    after = _Node(child.id, child.payee, child.lo, child.hi)
                    waiting.append((after, run_lo, run_hi, below))

    def _parts_within(
        self, node: _Node, lo: int, hi: int
    ) -> Iterator[tuple[int, int, list[Transfer]]]:
        """The node's parts cut down to [lo, hi): a fork above may show only some of the node."""
        parts = self._parts_of(node)
        first = bisect_right(parts, lo, key=lambda part: part[0]) - 1
        for part_lo, part_hi, children in parts[first:]:
            if part_lo >= hi:
                return
            yield max(part_lo, lo), min(part_hi, hi), children

    def _parts_of(self, node: _Node) -> Sequence[tuple[int, int, list[Transfer]]]:
        """Elementary segments of a node, swept once however many paths lead here."""
        if node.id not in self._parts:
            # Validity is judged before; what reaches outside its parent can never be valid.
            spans = [
                (child.lo, child.hi, child)
                for child in self._children.get(node.id, {}).values()
                if node.lo <= child.lo and child.hi <= node.hi
            ]
            parts = list(sweep(spans, node.lo, node.hi, order=lambda child: child.id))
            self._parts[node.id] = parts
            self.forks += [
                Fork(node.owner, node.id, lo, hi, tuple(child.id for child in children))
                for lo, hi, children in parts
                if len(children) > 1
            ]
        return self._parts[node.id]


def _runs(
    parts: Iterable[tuple[int, int, list[Transfer]]],
) -> Iterator[tuple[int, int, Transfer, bool]]:
    """Each child with the longest stretches on which it has rivals, or has none.

    Going down once per stretch and not once per part keeps many nested forks affordable. Parts
    come in order and a child is one interval, so its parts touch.
    """
    runs: dict[bytes, list[tuple[int, int, Transfer, bool]]] = defaultdict(list)
    for lo, hi, children in parts:
        forked = len(children) > 1
        for child in children:
            own = runs[child.id]
            if own and own[-1][3] == forked:
                own[-1] = (own[-1][0], hi, child, forked)
            else:
                own.append((lo, hi, child, forked))
    for own in runs.values():
        yield from own
