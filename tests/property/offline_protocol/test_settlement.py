"""Settlement over random histories: order never matters, sums hold, the honest are safe."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from offline_protocol.cose import Signed
from offline_protocol.fraud import find_forks
from offline_protocol.resolution import Root, resolve
from offline_protocol.settlement import Credit, Settlement, settle
from tests.factories.trees import CLOSED, OPEN
from tests.property.offline_protocol.strategies import (
    CHEATS,
    HONEST,
    VALUE,
    History,
    histories,
    unit_owners,
)

RICH = 10**6
EXCLUDED = {"mallory": ("carol",)}
pools = st.fixed_dictionaries(
    {
        "collateral": st.dictionaries(st.sampled_from(CHEATS), st.integers(0, 9)),
        "fund_cap": st.integers(0, 9) | st.just(RICH),
        "instant_limit": st.dictionaries(
            st.sampled_from(("alice", "bob", "carol", *CHEATS)), st.integers(0, VALUE)
        ),
        "excluded": st.sampled_from(({}, EXCLUDED)),
        "now": st.sampled_from((OPEN, CLOSED, CLOSED + 1)),
    }
)


def _settle(history: History, roots: list[Root] | None = None, **rules: Any) -> Settlement:
    arguments: dict[str, Any] = {
        "collateral": {},
        "fund_cap": RICH,
        "instant_limit": {},
        "excluded": {},
        "now": CLOSED + 1,
        **rules,
    }
    given_roots = [tree.root for tree in history.trees] if roots is None else roots
    return settle(given_roots, account_of=history.account_of, **arguments)


def _account(device: str) -> str:
    return device.partition("/")[0]


@given(histories(), pools, st.data())
@settings(max_examples=150, deadline=None)
def test_order_doubles_and_batches_never_matter(
    history: History, rules: Mapping[str, Any], data: st.DataObject
) -> None:
    expected = _settle(history, **rules)
    records = [(tree.voucher, t) for tree in history.trees for t in tree.transfers]
    doubled = data.draw(
        st.permutations(records + data.draw(st.lists(st.sampled_from(records))))
        if records
        else st.just([])
    )
    batches = [Root(tree.voucher) for tree in history.trees]
    batches += [Root(voucher, (transfer,)) for voucher, transfer in doubled]
    shuffled = _settle(history, data.draw(st.permutations(batches)), **rules)
    assert shuffled == expected
    assert shuffled.digest() == expected.digest()


@given(histories(), pools)
@settings(max_examples=200, deadline=None)
def test_every_credit_comes_from_somewhere_and_nothing_is_lost(
    history: History, rules: Mapping[str, Any]
) -> None:
    settlement = _settle(history, **rules)
    drawn: Counter[str] = Counter()
    from_fund: Counter[str] = Counter()
    for root in settlement.roots:
        assert sum(credit.amount for credit in root.credits.values()) == root.sources.total
        assert 0 <= root.open <= root.value
        assert not root.closed or root.open == 0
        for account, credit in root.credits.items():
            assert credit.guaranteed <= credit.amount
            assert credit.guaranteed <= rules["instant_limit"].get(account, 0)
        for signer, debt in root.debts.items():
            funded = root.sources.collateral.get(signer, 0) + root.sources.fund.get(signer, 0)
            assert debt > 0
            assert funded <= debt
        drawn.update(root.sources.collateral)
        from_fund.update(root.sources.fund)
    assert all(drawn[account] <= rules["collateral"].get(account, 0) for account in drawn)
    assert all(amount <= rules["fund_cap"] for amount in from_fund.values())


@given(histories(), pools)
@settings(max_examples=200, deadline=None)
def test_honest_people_are_never_convicted_and_never_owe(
    history: History, rules: Mapping[str, Any]
) -> None:
    for root in _settle(history, **rules).roots:
        assert {fork.account for fork in root.forks} <= set(CHEATS)
        assert set(root.debts) <= set(CHEATS)


@given(histories(), st.sampled_from((OPEN, CLOSED + 1)), st.sampled_from(({}, EXCLUDED)))
@settings(max_examples=200, deadline=None)
def test_with_enough_behind_it_everybody_gets_exactly_the_units_that_are_theirs(
    history: History, now: int, excluded: Mapping[str, tuple[str, ...]]
) -> None:
    """Against a count unit by unit that knows nothing of segments."""
    settlement = _settle(history, now=now, excluded=excluded)
    by_voucher = {root.voucher_id: root for root in settlement.roots}
    for tree in history.trees:
        expected: Counter[str] = Counter()
        extra = 0
        for unit in range(VALUE):
            ends = [end for end in unit_owners(tree, unit) if end[2] or now >= CLOSED]
            if not ends:
                continue
            good = {
                _account(device)
                for device, _, _, above in ends
                if not any(
                    _account(device) == _account(cheat)
                    or _account(device) in excluded.get(_account(cheat), ())
                    for cheat in above
                )
            }
            credited = good or {_account(min(ends, key=lambda end: end[1])[0])}
            expected.update(credited)
            extra += len(credited) - 1
        root = by_voucher[tree.top]
        assert {a: credit.amount for a, credit in root.credits.items()} == dict(expected)
        assert sum(root.debts.values()) == extra


@given(histories())
@settings(max_examples=200, deadline=None)
def test_every_unit_signed_away_twice_is_attributed_to_its_signer(history: History) -> None:
    for tree in history.trees:
        forks = resolve(tree.root).forks
        for unit in range(VALUE):
            cheats = {name for end in unit_owners(tree, unit) for name in end[3]}
            found = {tree.names[fork.key] for fork in forks if fork.lo <= unit < fork.hi}
            assert found == cheats


@given(histories(trees_max=1), st.data())
@settings(max_examples=200, deadline=None)
def test_more_records_never_clear_a_fork_and_never_take_back_what_was_guaranteed(
    history: History, data: st.DataObject
) -> None:
    (tree,) = history.trees
    some = tree.transfers[: data.draw(st.integers(0, len(tree.transfers)))]
    limits = dict.fromkeys(("alice", "bob", "carol"), data.draw(st.integers(0, VALUE)))
    rules: dict[str, Any] = {
        "fund_cap": data.draw(st.integers(0, 9)),
        "now": OPEN,
        "instant_limit": limits,
    }
    (early,) = _settle(history, [Root(tree.voucher, tuple(some))], **rules).roots
    (late,) = _settle(history, **rules).roots
    for fork in early.forks:
        for unit in range(fork.lo, fork.hi):
            covering = [f for f in late.forks if f.parent == fork.parent and f.lo <= unit < f.hi]
            assert any(set(fork.transfer_ids) <= set(f.transfer_ids) for f in covering)
    for account, credit in early.credits.items():
        if account in {_account(device) for device in HONEST}:
            # With nothing guaranteed a share of one unit may fall to none, and leave no credit.
            assert late.credits.get(account, Credit(0, 0)).guaranteed >= credit.guaranteed


@given(histories(trees_max=1))
@settings(max_examples=150, deadline=None)
def test_a_device_finds_evidence_exactly_when_the_settlement_finds_a_fork(
    history: History,
) -> None:
    (tree,) = history.trees
    pairs = find_forks(Signed(transfer, b"") for transfer in tree.transfers)
    parents = {first.body.parent for first, _ in pairs}
    assert parents == {fork.parent for fork in resolve(tree.root).forks}
    for first, second in pairs:
        assert first.body.overlaps(second.body)
        assert first.id < second.id
