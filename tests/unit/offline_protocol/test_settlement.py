"""Settlement by example: who is paid, from what, and who owes."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from offline_protocol.keys import PublicKey
from offline_protocol.resolution import Root, resolve
from offline_protocol.settlement import (
    Credit,
    RootSettlement,
    Settlement,
    settle,
)
from offline_protocol.shares import allot
from tests.factories.trees import CLOSED, OPEN, Tree, key_of

RICH = 10**9


def _settle(
    *trees: Tree,
    now: int = CLOSED,
    excluded: Mapping[str, Collection[str]] | None = None,
    instant: Mapping[str, int] | None = None,
    collateral: Mapping[str, int] | None = None,
    fund_cap: int = RICH,
) -> Settlement:
    names: dict[PublicKey, str] = {}
    for tree in trees:
        names |= tree.names
    return settle(
        [tree.root for tree in trees],
        account_of=lambda key: names[key].partition("/")[0],
        excluded=excluded or {},
        instant_limit=instant or {},
        collateral=collateral or {},
        fund_cap=fund_cap,
        now=now,
    )


def _one(tree: Tree, **more: Any) -> RootSettlement:
    return _settle(tree, **more).roots[0]


def _amounts(root: RootSettlement) -> dict[str, int]:
    return {account: credit.amount for account, credit in root.credits.items()}


def _double_spend(length: int = 10) -> Tree:
    """Mallory signs one piece away to Alice and to Bob; both claim it."""
    tree = Tree("mallory", length)
    for victim in ("alice", "bob"):
        tree.claim(tree.pay(tree.top, 0, length, victim), 0, length)
    return tree


def test_before_claim_by_only_what_is_claimed_is_credited() -> None:
    tree = Tree("alice", 100)
    paid = tree.pay(tree.top, 0, 30, "bob")
    tree.claim(paid, 0, 10)
    tree.claim(tree.top, 90, 100)
    root = _one(tree, now=OPEN)
    assert (root.closed, root.open) == (False, 80)
    assert _amounts(root) == {"alice": 10, "bob": 10}


def test_from_claim_by_on_everything_goes_to_its_last_known_owner() -> None:
    tree = Tree("alice", 100)
    paid = tree.pay(tree.top, 0, 30, "bob")
    tree.pay(paid, 5, 10, "carol")
    root = _one(tree, now=CLOSED)
    assert (root.closed, root.open) == (True, 0)
    assert _amounts(root) == {"alice": 70, "bob": 25, "carol": 5}
    assert (root.debts, root.forks) == ({}, ())


def test_the_last_second_before_claim_by_is_still_open() -> None:
    tree = Tree("alice", 100)
    assert not _one(tree, now=CLOSED - 1).closed


def test_records_whose_parent_is_missing_wait() -> None:
    tree = Tree("alice", 100)
    paid = tree.pay(tree.top, 0, 30, "bob")
    tree.claim(paid, 0, 30)
    tree.transfers = [t for t in tree.transfers if t.id != paid]
    assert _amounts(_one(tree)) == {"alice": 100}


def test_what_reaches_outside_its_parent_does_not_count() -> None:
    tree = Tree("alice", 100)
    paid = tree.pay(tree.top, 0, 30, "bob")
    tree.pay(paid, 20, 31, "carol")
    tree.pay(tree.top, 50, 101, "carol")
    assert _amounts(_one(tree)) == {"alice": 70, "bob": 30}


def test_nothing_follows_a_claim() -> None:
    tree = Tree("alice", 10)
    claimed = tree.claim(tree.top, 0, 10)
    tree.pay(claimed, 0, 5, "bob")
    tree.pay(claimed, 0, 5, "carol")
    root = _one(tree)
    assert _amounts(root) == {"alice": 10}
    assert root.forks == ()


def test_both_victims_of_a_double_spend_are_paid_and_the_signer_owes_once() -> None:
    tree = _double_spend()
    root = _one(tree, collateral={"mallory": 4})
    assert _amounts(root) == {"alice": 10, "bob": 10}
    assert root.sources.backing == 10
    assert root.sources.collateral == {"mallory": 4}
    assert root.sources.fund == {"mallory": 6}
    assert root.debts == {"mallory": 10}
    (fork,) = root.forks
    assert (fork.key, fork.account, fork.parent) == (key_of("mallory"), "mallory", tree.top)
    assert (fork.lo, fork.hi) == (0, 10)
    assert set(fork.transfer_ids) == {t.id for t in tree.transfers if t.parent == tree.top}


def test_a_partial_overlap_costs_only_the_overlap() -> None:
    tree = Tree("mallory", 100)
    tree.pay(tree.top, 0, 60, "alice")
    tree.pay(tree.top, 50, 90, "bob")
    root = _one(tree)
    assert _amounts(root) == {"alice": 60, "bob": 40, "mallory": 10}
    assert root.debts == {"mallory": 10}
    assert [(fork.lo, fork.hi) for fork in root.forks] == [(50, 60)]


def test_touching_pieces_are_no_fork() -> None:
    tree = Tree("alice", 9)
    tree.pay(tree.top, 0, 5, "bob")
    tree.pay(tree.top, 5, 9, "carol")
    root = _one(tree)
    assert root.forks == ()
    assert _amounts(root) == {"bob": 5, "carol": 4}


def test_when_the_sources_run_short_the_victims_share_in_proportion() -> None:
    tree = _double_spend(11)
    root = _one(tree, collateral={"mallory": 1}, fund_cap=1)
    amounts = _amounts(root)
    assert sorted(amounts.values()) == [6, 7]
    smallest = min(t.id for t in tree.transfers if t.parent != tree.top)
    owner = next(
        leaf.owner for leaf in resolve(tree.root).segments[0].leaves if leaf.id == smallest
    )
    assert amounts[tree.account_of(owner)] == 7
    assert root.debts == {"mallory": 11}
    assert root.sources.total == 13


def test_without_any_source_the_backing_is_shared() -> None:
    assert sorted(_amounts(_one(_double_spend(11), fund_cap=0)).values()) == [5, 6]


def test_one_short_pool_is_shared_over_all_pieces_of_a_root_and_not_first_come() -> None:
    tree = Tree("mallory", 20)
    for lo, hi, victims in [(0, 10, ("alice", "bob")), (10, 20, ("carol", "dora"))]:
        for victim in victims:
            tree.pay(tree.top, lo, hi, victim)
    assert set(_amounts(_one(tree, fund_cap=10)).values()) == {7, 8}


def test_the_signers_own_accounts_and_linked_ones_get_nothing_out_of_it() -> None:
    tree = Tree("mallory", 10)
    for payee in ("alice", "mallory/2", "accomplice"):
        tree.claim(tree.pay(tree.top, 0, 10, payee), 0, 10)
    root = _one(tree, excluded={"mallory": {"accomplice"}})
    assert _amounts(root) == {"alice": 10}
    assert root.debts == {}
    assert len(root.forks[0].transfer_ids) == 3


def test_among_cheats_alone_the_smallest_id_takes_the_backing_and_nobody_owes() -> None:
    tree = Tree("mallory", 10)
    ends = [tree.claim(tree.pay(tree.top, 0, 10, p), 0, 10) for p in ("mallory/2", "accomplice")]
    expected = "mallory" if ends[0] < ends[1] else "accomplice"
    root = _one(tree, excluded={"mallory": ["accomplice"]}, instant={"mallory": 9, "accomplice": 9})
    assert root.credits == {expected: Credit(10, 0)}
    assert (root.debts, root.sources.total) == ({}, 10)


def test_an_account_reached_twice_is_paid_once() -> None:
    tree = Tree("mallory", 10)
    for payee in ("alice", "alice/2", "bob"):
        tree.claim(tree.pay(tree.top, 0, 10, payee), 0, 10)
    root = _one(tree)
    assert _amounts(root) == {"alice": 10, "bob": 10}
    assert root.debts == {"mallory": 10}


def test_an_account_reached_twice_speaks_by_its_smallest_id() -> None:
    """Alice has the smallest and the largest of three ids, so the odd unit is hers."""
    for serial in range(100):
        tree = Tree("mallory", 11, serial=serial)
        low, bobs, high = (tree.pay(tree.top, 0, 11, p) for p in ("alice", "bob", "alice/2"))
        if min(low, high) < bobs < max(low, high):
            break
    assert min(low, high) < bobs < max(low, high)
    assert _amounts(_one(tree, fund_cap=0)) == {"alice": 6, "bob": 5}


def test_an_account_reached_by_two_paths_is_owed_at_the_fork_above_its_smallest_id() -> None:
    owing = set()
    for serial in range(100):
        tree = Tree("mallory", 10, serial=serial)
        direct = tree.pay(tree.top, 0, 10, "alice")
        detour = tree.pay(tree.top, 0, 10, "mike")
        other = tree.pay(detour, 0, 10, "alice/2")
        tree.pay(detour, 0, 10, "bob")
        cheat = "mallory" if direct < other else "mike"
        assert _one(tree).debts == {cheat: 10}
        owing.add(cheat)
    assert owing == {"mallory", "mike"}


def test_the_same_person_paid_twice_with_the_same_units_is_no_loss_but_still_a_fork() -> None:
    tree = Tree("mallory", 10)
    for payee in ("alice", "alice/2"):
        tree.pay(tree.top, 0, 10, payee)
    root = _one(tree)
    assert _amounts(root) == {"alice": 10}
    assert (root.debts, root.sources.fund) == ({}, {})
    assert len(root.forks) == 1


def test_honest_people_between_the_cheat_and_the_victims_owe_nothing() -> None:
    tree = Tree("mallory", 10)
    for middleman, end in (("alice", "carol"), ("bob", "dora")):
        tree.pay(tree.pay(tree.top, 0, 10, middleman), 0, 10, end)
    root = _one(tree)
    assert _amounts(root) == {"carol": 10, "dora": 10}
    assert root.debts == {"mallory": 10}
    assert {fork.account for fork in root.forks} == {"mallory"}


def test_a_fork_below_a_fork_is_owed_by_its_own_signer() -> None:
    tree = Tree("mallory", 10)
    tree.pay(tree.top, 0, 10, "alice")
    second = tree.pay(tree.top, 0, 10, "mike")
    tree.pay(second, 0, 10, "bob")
    tree.pay(second, 0, 10, "carol")
    root = _one(tree)
    assert _amounts(root) == {"alice": 10, "bob": 10, "carol": 10}
    assert root.debts == {"mallory": 10, "mike": 10}
    assert root.sources.total == 30
    assert {fork.account for fork in root.forks} == {"mallory", "mike"}


def test_forks_are_listed_from_the_low_end() -> None:
    tree = Tree("mallory", 20)
    low = tree.pay(tree.top, 0, 10, "mike")
    for victim in ("alice", "bob"):
        tree.pay(tree.top, 15, 20, victim)
        tree.pay(low, 3, 5, victim)
        tree.pay(low, 0, 1, victim)
    assert [(fork.lo, fork.hi) for fork in _one(tree).forks] == [(0, 1), (3, 5), (15, 20)]


def test_a_branch_that_nobody_is_credited_for_is_not_owed() -> None:
    tree = Tree("mallory", 10)
    tree.claim(tree.pay(tree.top, 0, 10, "alice"), 0, 10)
    tree.pay(tree.top, 0, 10, "bob")
    before = _one(tree, now=OPEN)
    assert (_amounts(before), before.debts) == ({"alice": 10}, {})
    assert len(before.forks) == 1
    after = _one(tree, now=CLOSED)
    assert (_amounts(after), after.debts) == ({"alice": 10, "bob": 10}, {"mallory": 10})


def test_a_returned_piece_that_is_spent_again_by_the_payer_is_honest() -> None:
    tree = Tree("alice", 10)
    returned = tree.pay(tree.pay(tree.top, 0, 10, "bob"), 0, 10, "alice")
    tree.pay(returned, 0, 10, "carol")
    root = _one(tree)
    assert root.forks == ()
    assert _amounts(root) == {"carol": 10}


def test_claiming_and_spending_the_same_piece_makes_the_claimant_the_cheat() -> None:
    tree = Tree("alice", 10)
    paid = tree.pay(tree.top, 0, 10, "mallory")
    tree.claim(paid, 0, 10)
    tree.pay(paid, 0, 10, "bob")
    root = _one(tree)
    assert _amounts(root) == {"bob": 10}
    assert {fork.account for fork in root.forks} == {"mallory"}
    assert root.debts == {}


def test_pools_serve_roots_by_claim_by_and_only_then_by_voucher() -> None:
    early = Tree("mallory", 10)
    late = next(
        tree
        for tree in (Tree("mallory", 10, serial=n, later=1) for n in range(1, 100))
        if tree.top < early.top
    )
    for tree in (early, late):
        for victim in ("alice", "bob"):
            tree.pay(tree.top, 0, 10, f"{victim}/{tree.serial}")
    settlement = _settle(late, early, now=CLOSED + 1, collateral={"mallory": 7}, fund_cap=8)
    one, two = settlement.roots
    assert one.voucher_id == early.top
    assert (one.sources.collateral, one.sources.fund) == ({"mallory": 7}, {"mallory": 3})
    assert (two.sources.collateral, two.sources.fund) == ({}, {"mallory": 5})
    assert two.sources.total == sum(credit.amount for credit in two.credits.values()) == 15


def test_each_signer_has_pools_of_its_own() -> None:
    trees = []
    for cheat in ("mallory", "mike"):
        tree = Tree(cheat, 10, serial=cheat)
        for victim in ("alice", "bob"):
            tree.pay(tree.top, 0, 10, victim)
        trees.append(tree)
    settlement = _settle(*trees, fund_cap=10)
    assert sum(sum(root.sources.fund.values()) for root in settlement.roots) == 20


def test_within_the_instant_limit_a_credit_is_final_and_the_issuer_bears_the_gap() -> None:
    tree = _double_spend(10)
    root = _one(tree, instant={"alice": 8}, fund_cap=0, now=OPEN)
    assert root.credits["alice"] == Credit(amount=8, guaranteed=8)
    assert root.credits["bob"] == Credit(amount=5, guaranteed=0)
    assert root.sources.issuer == 3
    assert root.sources.total == 13


def test_an_instant_limit_above_the_credit_promises_no_more_than_the_credit() -> None:
    root = _one(_double_spend(10), instant={"alice": 99}, now=OPEN)
    assert root.credits["alice"] == Credit(10, 10)
    assert root.sources.issuer == 0


def test_roots_given_in_parts_are_put_together() -> None:
    tree = _double_spend()
    whole = _settle(tree)
    parts = [Root(tree.voucher, (t,)) for t in [*tree.transfers, *tree.transfers]]
    split = settle(
        parts,
        account_of=tree.account_of,
        excluded={},
        instant_limit={},
        collateral={},
        fund_cap=RICH,
        now=CLOSED,
    )
    assert split == whole
    assert split.digest() == whole.digest()


def test_the_digest_changes_with_the_outcome() -> None:
    tree = _double_spend()
    digests = {
        _settle(tree).digest(),
        _settle(tree, now=OPEN).digest(),
        _settle(tree, fund_cap=1).digest(),
        _settle(tree, instant={"alice": 1}).digest(),
        _settle().digest(),
    }
    assert len(digests) == 5


def test_one_currency_at_a_time() -> None:
    tree, other = Tree("alice", 10), Tree("alice", 10, serial=1)
    object.__setattr__(other.voucher, "currency", "TRY")
    with pytest.raises(AssertionError):
        _settle(tree, other)


@pytest.mark.parametrize(
    ("total", "weights", "shares"),
    [
        (0, [3, 3], [0, 0]),
        (6, [3, 3], [3, 3]),
        (5, [3, 3], [3, 2]),
        (1, [3, 3, 3], [1, 0, 0]),
        (7, [1, 2, 7], [1, 1, 5]),
        (0, [], []),
        (0, [0, 0], [0, 0]),
    ],
)
def test_shares_are_integers_by_largest_remainder(
    total: int, weights: list[int], shares: list[int]
) -> None:
    assert allot(total, weights) == shares


def test_segments_cover_the_voucher_without_gap() -> None:
    tree = Tree("mallory", 100)
    tree.pay(tree.top, 10, 60, "alice")
    tree.pay(tree.top, 50, 90, "bob")
    segments = resolve(tree.root).segments
    assert [(s.lo, s.hi, len(s.leaves)) for s in segments] == [
        (0, 10, 1),
        (10, 50, 1),
        (50, 60, 2),
        (60, 90, 1),
        (90, 100, 1),
    ]
    assert sum(segment.length for segment in segments) == 100


def test_a_voucher_paid_out_in_ten_thousand_pieces_settles_quickly() -> None:
    """A walk that looked at every child for every piece would take minutes."""
    tree = Tree("alice", 10_000)
    payees = [f"p{number}" for number in range(8)]
    for lo in range(10_000):
        tree.pay(tree.top, lo, lo + 1, payees[lo % 8])
    assert _amounts(_one(tree)) == dict.fromkeys(payees, 1_250)


def test_a_deep_chain_needs_no_deep_recursion() -> None:
    tree = Tree("alice", 10)
    parent = tree.top
    for number in range(3_000):
        parent = tree.pay(parent, 0, 10, ("alice", "bob")[number % 2])
    assert _amounts(_one(tree)) == {"bob": 10}
