"""Settlements: trees of transfers, whose outcome must not depend on order, doubles or batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from offline_protocol import NO_REQUEST, PublicKey, Transfer, TransferKind, Voucher, VoucherLimits
from tests.conformance.client import judge
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import DAY, NOW, entropy

OPEN, CLOSED = NOW, NOW + 50 * DAY
MOST = 2**53 - 1
_SETTLING = world.SETTLING.public_key


def key_of(name: str) -> PublicKey:
    """The key of a device; `alice/2` is a second device of alice's account."""
    return world.ed25519("settlement", name).public_key


@dataclass
class Tree:
    """A voucher and what was signed under it, by the names of devices."""

    holder: str
    value: int = 1_000
    serial: object = 0
    later: int = 0
    transfers: list[Transfer] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.devices.add(self.holder)
        self.voucher = Voucher(
            kid=b"kid",
            serial=entropy("settlement", self.serial, size=16),
            currency="EUR",
            value=self.value,
            holder=key_of(self.holder),
            issued_at=NOW - DAY,
            spend_by=NOW + 29 * DAY,
            limits=VoucherLimits(8, self.value),
            claim_by=NOW + 43 * DAY + self.later,
        )

    @property
    def top(self) -> bytes:
        return self.voucher.id

    def pay(self, parent: bytes, lo: int, hi: int, payee: str) -> bytes:
        self.devices.add(payee)
        return self._add(parent, lo, hi, key_of(payee), TransferKind.PAY)

    def give_back(self, parent: bytes, lo: int, hi: int, payer: str) -> bytes:
        return self._add(parent, lo, hi, key_of(payer), TransferKind.RETURN)

    def claim(self, parent: bytes, lo: int, hi: int) -> bytes:
        return self._add(parent, lo, hi, _SETTLING, TransferKind.CLAIM)

    def paid(self, payee: str, lo: int, hi: int, *, claimed: bool = True) -> bytes:
        """The holder pays, and the payee claims."""
        paid = self.pay(self.top, lo, hi, payee)
        if claimed:
            self.claim(paid, lo, hi)
        return paid

    def _add(self, parent: bytes, lo: int, hi: int, payee: PublicKey, kind: TransferKind) -> bytes:
        number = len(self.transfers)
        transfer = Transfer(parent, lo, hi, payee, NO_REQUEST, number, NOW, kind)
        self.transfers.append(transfer)
        return transfer.id


def root(tree: Tree, transfers: Sequence[Transfer] | None = None) -> dict[str, Any]:
    shown = tree.transfers if transfers is None else transfers
    return {
        "voucher": tree.voucher.payload.hex(),
        "transfers": [transfer.payload.hex() for transfer in shown],
    }


def policy(*trees: Tree, **changes: Any) -> dict[str, Any]:
    """Everything beside the records; each device belongs to the account before its stroke."""
    devices = sorted(set().union(*(tree.devices for tree in trees)))
    usual = {
        "accounts": {key_of(name).raw.hex(): name.partition("/")[0] for name in devices},
        "excluded": {},
        "instant_limit": {},
        "collateral": {},
        "fund_cap": "0",
        "fund_caps": {},
        "terms": {},
        "now": CLOSED,
    }
    return usual | changes


def vectors() -> Vectors:
    out = Vectors("settlements", "Who is paid and who owes, from the same records in any order")
    for name, trees, changes in _told():
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
            root(tree, part) for tree in trees for part in (tree.transfers[1::2], tree.transfers[::2])
        ],
    }
    verdicts = {order: judge("settlement", {"roots": roots, **given}) for order, roots in orders.items()}
    assert len({str(verdict) for verdict in verdicts.values()}) == 1, f"{name} depends on the order"
    for order, roots in orders.items():
        if order == "" or any(tree.transfers for tree in trees):
            out.add("settlement", name + order, roots=roots, **given)


Told = tuple[str, Sequence[Tree], dict[str, Any]]


def _told() -> Iterator[Told]:
    yield "an open voucher that nobody spent", [Tree("alice")], {"now": OPEN}
    yield "a closed voucher that nobody spent", [Tree("alice")], {}
    yield "a second before claim-by", [Tree("alice")], {"now": Tree("alice").voucher.claim_by - 1}
    yield "at claim-by", [Tree("alice")], {"now": Tree("alice").voucher.claim_by}
    tree = Tree("alice")
    tree.paid("bob", 0, 300)
    tree.paid("cid", 300, 500, claimed=False)
    yield "two payments, one claimed, open", [tree], {"now": OPEN}
    yield "two payments, one claimed, open, with limits", [tree], {
        "now": OPEN,
        "instant_limit": {"bob": "100", "cid": "1000", "alice": "50"},
    }
    yield "two payments, one claimed, closed", [tree], {}
    yield from _waiting()
    yield from _forks()
    yield from _pools()
    yield from _terms()


def _waiting() -> Iterator[Told]:
    tree = Tree("alice")
    tree.pay(entropy("missing"), 0, 10, "bob")
    tree.paid("cid", 5, 9)
    yield "a record whose parent is missing", [tree], {}
    tree = Tree("alice")
    tree.paid("bob", 900, 1_001)
    inner = tree.pay(tree.top, 0, 100, "cid")
    tree.claim(inner, 50, 101)
    yield "intervals outside their parents", [tree], {}
    tree = Tree("alice")
    paid = tree.pay(tree.top, 0, 100, "bob")
    back = tree.give_back(paid, 0, 100, "alice")
    spent = tree.pay(back, 20, 60, "cid")
    tree.claim(spent, 20, 60)
    yield "what came back and was spent", [tree], {}
    tree = Tree("alice")
    paid = tree.pay(tree.top, 0, 100, "bob")
    tree.claim(paid, 0, 40)
    tree.claim(paid, 70, 100)
    tree.claim(tree.top, 100, 900)
    yield "claims of parts", [tree], {"now": OPEN}
    tree = Tree("alice")
    claimed = tree.claim(tree.top, 0, 1_000)
    tree.pay(claimed, 0, 1_000, "bob")
    yield "a payment under a claim", [tree], {}


def _forks() -> Iterator[Told]:
    tree = Tree("eve")
    tree.paid("bob", 0, 600)
    tree.paid("cid", 400, 1_000)
    yield "a fork without any money", [tree], {}
    yield "a fork and a fund", [tree], {"fund_cap": "1000"}
    yield "a fork and a fund that is short", [tree], {"fund_cap": "77"}
    yield "a fork and collateral", [tree], {"collateral": {"eve": "150", "bob": "900"}}
    yield "a fork, collateral and a fund", [tree], {"collateral": {"eve": "150"}, "fund_cap": "30"}
    yield "a fork and limits", [tree], {"instant_limit": {"bob": "550", "cid": "20000"}}
    yield "a fork with a linked account", [tree], {"excluded": {"eve": ["cid"]}}
    yield "a fork with linked accounts only", [tree], {"excluded": {"eve": ["cid", "bob"]}}
    yield "a fork with links of somebody else", [tree], {"excluded": {"bob": ["cid"]}}
    unclaimed = Tree("eve")
    unclaimed.paid("bob", 0, 600)
    unclaimed.paid("cid", 400, 1_000, claimed=False)
    yield "a fork with one claim, open", [unclaimed], {"now": OPEN, "fund_cap": "1000"}
    yield "a fork with one claim, closed", [unclaimed], {"fund_cap": "1000"}
    tree = Tree("eve")
    tree.paid("eve/2", 0, 1_000)
    tree.paid("bob", 0, 500)
    yield "a fork to another device of the cheat", [tree], {"fund_cap": "1000"}
    tree = Tree("eve")
    for device in ("bob", "bob/2", "cid"):
        tree.paid(device, 0, 1_000)
    yield "one account by two ways", [tree], {"fund_cap": "1000"}
    tree = Tree("eve", 7)
    for name in ("bob", "cid", "dan"):
        tree.paid(name, 0, 7)
    yield "seven units for three", [tree], {}
    yield "eight units for three", [tree], {"fund_cap": "1"}
    tree = Tree("eve", MOST)
    for name in ("bob", "cid", "dan"):
        tree.paid(name, 0, MOST)
    yield "the greatest value for three", [tree], {}
    yield "the greatest value for three, all of it", [tree], {"fund_cap": str(2 * MOST)}
    yield "the greatest value for three, short by one", [tree], {
        "fund_cap": str(MOST),
        "collateral": {"eve": str(MOST - 1)},
    }
    yield from _nested()


def _nested() -> Iterator[Told]:
    tree = Tree("eve")
    left = tree.pay(tree.top, 0, 1_000, "fay")
    right = tree.pay(tree.top, 0, 1_000, "bob")
    tree.claim(right, 0, 1_000)
    for name, lo, hi in (("cid", 0, 600), ("dan", 300, 900)):
        paid = tree.pay(left, lo, hi, name)
        tree.claim(paid, lo, hi)
    yield "a fork inside a fork", [tree], {}
    yield "a fork inside a fork, with money", [tree], {
        "collateral": {"eve": "100", "fay": "50"},
        "fund_cap": "200",
    }
    tree = Tree("eve")
    first = tree.pay(tree.top, 0, 1_000, "bob")
    second = tree.pay(tree.top, 0, 1_000, "cid")
    meet = tree.pay(first, 0, 500, "dan")
    other = tree.pay(second, 250, 750, "dan/2")
    tree.claim(meet, 0, 500)
    tree.claim(other, 250, 750)
    yield "branches that meet again", [tree], {"fund_cap": "600"}
    tree = Tree("eve")
    paid = tree.pay(tree.top, 0, 1_000, "bob")
    tree.claim(paid, 0, 1_000)
    onward = tree.pay(paid, 100, 200, "cid")
    tree.claim(onward, 100, 200)
    yield "a claim of what was paid away", [tree], {"fund_cap": "1000"}
    tree = Tree("eve")
    paid = tree.pay(tree.top, 0, 1_000, "bob")
    tree.give_back(paid, 0, 1_000, "eve")
    tree.claim(paid, 0, 1_000)
    yield "a claim of what was returned", [tree], {"fund_cap": "1000"}
    tree = Tree("eve")
    spent = tree.pay(tree.top, 0, 1_000, "eve/2")
    tree.pay(tree.top, 0, 1_000, "eve/3")
    tree.claim(spent, 0, 1_000)
    yield "a cheat among itself", [tree], {"instant_limit": {"eve": "1000"}}


def _pools() -> Iterator[Told]:
    early, late = Tree("eve", serial=1), Tree("eve", serial=2, later=DAY)
    for tree in (late, early):
        tree.paid("bob", 0, 500)
        tree.paid("cid", 0, 500)
    pooled = {"collateral": {"eve": "300"}, "fund_cap": "450"}
    yield "two vouchers of one cheat", [late, early], pooled
    yield "two vouchers of one cheat, one still open", [late, early], {
        **pooled,
        "now": early.voucher.claim_by,
    }
    same = [Tree("eve", serial=number) for number in (3, 4, 5)]
    for tree in same:
        tree.paid("bob", 0, 100)
        tree.paid("cid", 0, 100)
    yield "three vouchers of one second", same, {"fund_cap": "150"}
    two = Tree("gus", serial=6)
    two.paid("bob", 0, 500)
    two.paid("cid", 0, 500)
    yield "two cheats", [early, two], {"fund_cap": "100", "fund_caps": {"gus": "400", "bob": "9"}}
    tree = Tree("eve", 10)
    for name, lo, hi in (("bob", 0, 4), ("cid", 0, 4), ("dan", 4, 7), ("fay", 4, 7), ("gus", 7, 10), ("hal", 7, 10)):
        tree.paid(name, lo, hi)
    for cap in (1, 2, 3, 5):
        yield f"{cap} units over three segments", [tree], {"fund_cap": str(cap)}


def _terms() -> Iterator[Told]:
    tree = Tree("eve")
    tree.paid("bob", 0, 600)
    tree.paid("cid", 400, 1_000)
    name = tree.top.hex()

    def terms(**own: Any) -> dict[str, Any]:
        return {"terms": {name: {"promised": {}, "borne_by": {}} | own}}

    yield "links that were frozen as none", [tree], {"excluded": {"eve": ["cid"]}, **terms(excluded={})}
    yield "links that were frozen", [tree], terms(excluded={"eve": ["bob"]})
    yield "more promised than the limit", [tree], {
        "instant_limit": {"bob": "10"},
        **terms(promised={"bob": "590"}),
    }
    yield "less promised than the limit", [tree], {
        "instant_limit": {"bob": "590"},
        **terms(promised={"bob": "10", "cid": "1"}),
    }
    yield "a fork that somebody else bears", [tree], {
        "collateral": {"eve": "100", "house": "50"},
        "fund_cap": "30",
        **terms(borne_by={name: "house"}),
    }


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
