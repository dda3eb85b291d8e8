"""Trees that each show one rule of settlement."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.conformance.generate.trees import MOST, OPEN, Tree
from tests.conformance.generate.world import DAY, entropy

Told = tuple[str, Sequence[Tree], dict[str, Any]]


def told_trees() -> Iterator[Told]:
    yield "an open voucher that nobody spent", [Tree("alice")], {"now": OPEN}
    yield "a closed voucher that nobody spent", [Tree("alice")], {}
    yield "a second before claim-by", [Tree("alice")], {"now": Tree("alice").voucher.claim_by - 1}
    yield "at claim-by", [Tree("alice")], {"now": Tree("alice").voucher.claim_by}
    tree = Tree("alice")
    tree.paid("bob", 0, 300)
    tree.paid("cid", 300, 500, claimed=False)
    yield "two payments, one claimed, open", [tree], {"now": OPEN}
    yield (
        "two payments, one claimed, open, with limits",
        [tree],
        {
            "now": OPEN,
            "instant_limit": {"bob": "100", "cid": "1000", "alice": "50"},
        },
    )
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
    yield (
        "the greatest value for three, short by one",
        [tree],
        {
            "fund_cap": str(MOST),
            "collateral": {"eve": str(MOST - 1)},
        },
    )
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
    yield (
        "a fork inside a fork, with money",
        [tree],
        {
            "collateral": {"eve": "100", "fay": "50"},
            "fund_cap": "200",
        },
    )
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
    yield (
        "two vouchers of one cheat, one still open",
        [late, early],
        {
            **pooled,
            "now": early.voucher.claim_by,
        },
    )
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
    for name, lo, hi in (
        ("bob", 0, 4),
        ("cid", 0, 4),
        ("dan", 4, 7),
        ("fay", 4, 7),
        ("gus", 7, 10),
        ("hal", 7, 10),
    ):
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

    yield (
        "links that were frozen as none",
        [tree],
        {"excluded": {"eve": ["cid"]}, **terms(excluded={})},
    )
    yield "links that were frozen", [tree], terms(excluded={"eve": ["bob"]})
    yield (
        "more promised than the limit",
        [tree],
        {
            "instant_limit": {"bob": "10"},
            **terms(promised={"bob": "590"}),
        },
    )
    yield (
        "less promised than the limit",
        [tree],
        {
            "instant_limit": {"bob": "590"},
            **terms(promised={"bob": "10", "cid": "1"}),
        },
    )
    yield (
        "a fork that somebody else bears",
        [tree],
        {
            "collateral": {"eve": "100", "house": "50"},
            "fund_cap": "30",
            **terms(borne_by={name: "house"}),
        },
    )
