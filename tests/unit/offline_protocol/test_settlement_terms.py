"""What is settled differently for single roots: links, promises, borne forks, caps for cheats."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from offline_protocol.keys import PublicKey
from offline_protocol.settlement import Settlement, Terms, settle
from tests.factories.trees import CLOSED, OPEN, Tree
from tests.property.offline_protocol.strategies import History, histories

RICH = 10**6


def _settle(*trees: Tree, terms: Mapping[bytes, Terms] | None = None, **rules: Any) -> Settlement:
    names: dict[PublicKey, str] = {}
    for tree in trees:
        names |= tree.names
    arguments: dict[str, Any] = {
        "excluded": {},
        "instant_limit": {},
        "collateral": {},
        "fund_cap": 0,
        "now": CLOSED,
        **rules,
    }
    return settle(
        [tree.root for tree in trees],
        account_of=lambda key: names[key].partition("/")[0],
        terms=terms,
        **arguments,
    )


def _double_spend(cheat: str = "mallory", serial: object = 0) -> Tree:
    tree = Tree(cheat, 10, serial=serial)
    for victim in ("alice", "bob"):
        tree.claim(tree.pay(tree.top, 0, 10, victim), 0, 10)
    return tree


def test_links_of_a_root_replace_the_links_of_all() -> None:
    first, second = _double_spend(serial=1), _double_spend(serial=2)
    everywhere = {"mallory": ("alice",)}
    terms = {first.top: Terms(excluded={}), second.top: Terms(excluded={"mallory": ("bob",)})}
    outcome = {
        root.voucher_id: {account: credit.amount for account, credit in root.credits.items()}
        for root in _settle(first, second, excluded=everywhere, terms=terms).roots
    }
    assert outcome == {first.top: {"alice": 5, "bob": 5}, second.top: {"alice": 10}}


def test_what_was_promised_is_kept_when_the_limit_is_lower_now() -> None:
    tree = _double_spend()
    terms = {tree.top: Terms(promised={"alice": 8})}
    (root,) = _settle(tree, instant_limit={"alice": 2, "bob": 6}, terms=terms).roots
    assert {a: (c.amount, c.guaranteed) for a, c in root.credits.items()} == {
        "alice": (8, 8),
        "bob": (6, 6),
    }
    assert root.sources.issuer == 4
    (more,) = _settle(tree, instant_limit={}, terms={tree.top: Terms(promised={"alice": 99})}).roots
    assert more.credits["alice"].guaranteed == 10, "no promise is more than what one was paid"


def test_a_borne_fork_is_the_bearers_debt_and_paid_from_its_pools() -> None:
    tree = _double_spend()
    terms = {tree.top: Terms(borne_by={tree.top: "house"})}
    (root,) = _settle(tree, collateral={"mallory": 3, "house": RICH}, terms=terms).roots
    assert root.debts == {"house": 10}
    assert root.sources.collateral == {"house": 10}
    assert {a: c.amount for a, c in root.credits.items()} == {"alice": 10, "bob": 10}
    assert [fork.account for fork in root.forks] == ["mallory"], "the fact stays what it is"


def test_only_the_borne_fork_changes_hands() -> None:
    tree = Tree("mallory", 10)
    middle = tree.pay(tree.top, 5, 10, "mallory")
    for lo, parent in ((0, tree.top), (5, middle)):
        for victim in ("alice", "bob"):
            tree.claim(tree.pay(parent, lo, lo + 5, victim), lo, lo + 5)
    terms = {tree.top: Terms(borne_by={middle: "house"})}
    (root,) = _settle(tree, fund_cap=RICH, terms=terms).roots
    assert root.debts == {"house": 5, "mallory": 5}


def test_the_signer_of_a_borne_fork_is_still_not_paid_by_it() -> None:
    tree = Tree("mallory", 10)
    tree.claim(tree.pay(tree.top, 0, 10, "alice"), 0, 10)
    tree.claim(tree.top, 0, 10)
    terms = {tree.top: Terms(borne_by={tree.top: "house"})}
    (root,) = _settle(tree, collateral={"house": RICH}, now=OPEN, terms=terms).roots
    assert {a: c.amount for a, c in root.credits.items()} == {"alice": 10}
    assert root.debts == {}


def test_a_cheat_may_have_a_cap_of_its_own() -> None:
    first, second = _double_spend("mallory", 1), _double_spend("trudy", 2)
    roots = _settle(first, second, fund_cap=4, fund_caps={"trudy": 1}).roots
    drawn = {account: amount for root in roots for account, amount in root.sources.fund.items()}
    assert drawn == {"mallory": 4, "trudy": 1}


@given(histories(), st.integers(0, 9), st.sampled_from((OPEN, CLOSED)))
@settings(max_examples=100, deadline=None)
def test_usual_terms_change_nothing_and_borne_forks_cost_what_they_cost(
    history: History, fund: int, now: int
) -> None:
    """Who bears a fork moves its cost from one account to another, and nothing else of the debt."""
    rules: dict[str, Any] = {
        "account_of": history.account_of,
        "excluded": {},
        "instant_limit": {},
        "fund_cap": fund,
        "now": now,
    }
    trees = [tree.root for tree in history.trees]
    plain = settle(trees, collateral={}, **rules)
    usual = {tree.top: Terms() for tree in history.trees}
    assert settle(trees, collateral={}, terms=usual, **rules) == plain
    borne = {
        root.voucher_id: Terms(borne_by={fork.parent: "house" for fork in root.forks})
        for root in plain.roots
    }
    for before, after in zip(
        plain.roots,
        settle(trees, collateral={"house": RICH}, terms=borne, **rules).roots,
        strict=True,
    ):
        assert sum(before.debts.values()) == sum(after.debts.values())
        assert set(after.debts) <= {"house"}
        assert all(c.amount <= after.credits[a].amount for a, c in before.credits.items())
        assert sum(c.amount for c in after.credits.values()) == after.sources.total
