"""How the units of one voucher are shared among those who were paid with them.

Where several accounts were paid in good faith with the same units, the backing is not enough. Each
fork signer owes what its fork costs; that is drawn from its collateral and then from its part of
the guarantee fund, and what is still missing the claimants bear in proportion.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from offline_protocol.keys import PublicKey
from offline_protocol.resolution import Leaf, Resolution, Segment

AccountOf = Callable[[PublicKey], str]


@dataclass(frozen=True)
class Share:
    """A claimant's place in a segment: the account and the leaf that speaks for it."""

    account: str
    leaf: Leaf


@dataclass(frozen=True)
class Due:
    """What one fork costs in one segment, and the account that has to make it good."""

    signer: str
    segment: int
    amount: int


@dataclass(frozen=True)
class Faith:
    """Tells who was paid in good faith, and who bears the cost of a fork.

    ``borne_by`` names another account than the signer's, by the fork's parent. It makes nobody's
    faith better or worse: the signature is what it was.
    """

    account_of: AccountOf
    excluded: Mapping[str, Collection[str]]
    borne_by: Mapping[bytes, str] = field(default_factory=dict)

    def debtor(self, parent: bytes, signer: PublicKey) -> str:
        """Return the account that owes what a fork costs."""
        return self.borne_by.get(parent) or self.account_of(signer)

    def claimants(self, leaves: Sequence[Leaf]) -> list[Share]:
        """One share for each good-faith account, by its smallest leaf id, in the order of those."""
        shares: dict[str, Share] = {}
        for leaf in leaves:
            account = self.account_of(leaf.owner)
            if account not in shares and not self._involved(account, leaf):
                shares[account] = Share(account, leaf)
        return list(shares.values())

    def _involved(self, account: str, leaf: Leaf) -> bool:
        signers = {self.account_of(turn.signer) for turn in leaf.turns}
        return any(s == account or account in self.excluded.get(s, ()) for s in signers)


@dataclass
class Pools:
    """What is left of each fork signer's collateral and of the fund's cap for it."""

    collateral: dict[str, int]
    fund: dict[str, int]

    def draw(self, signer: str, amount: int) -> tuple[int, int]:
        """Take up to `amount`: from the collateral first, then from the fund."""
        from_collateral = min(amount, self.collateral.get(signer, 0))
        from_fund = min(amount - from_collateral, self.fund[signer])
        self.collateral[signer] = self.collateral.get(signer, 0) - from_collateral
        self.fund[signer] -= from_fund
        return from_collateral, from_fund


@dataclass
class Tally:
    """The sums of one root while it is settled: `full` is what full funding would credit."""

    entitled: Counter[str] = field(default_factory=Counter)
    full: Counter[str] = field(default_factory=Counter)
    backing: int = 0
    collateral: dict[str, int] = field(default_factory=dict)
    fund: dict[str, int] = field(default_factory=dict)
    debts: Counter[str] = field(default_factory=Counter)


def allot(total: int, weights: Sequence[int]) -> list[int]:
    """Share `total` in proportion to weights: integers, largest remainder, ties to the earlier.

    No share exceeds its weight as long as the total does not exceed the sum of the weights.
    """
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


def share_out(
    resolution: Resolution, faith: Faith, pools: Pools, tally: Tally, *, closed: bool
) -> None:
    """Credit every segment that has somebody to credit."""
    contested: list[tuple[Segment, list[Share]]] = []
    for segment in resolution.segments:
        # Until claim-by a leaf counts once it is claimed; then R8 credits the last known owner.
        leaves = [leaf for leaf in segment.leaves if closed or leaf.claimed]
        if not leaves:
            continue
        tally.backing += segment.length
        shares = faith.claimants(leaves)
        if len(shares) > 1:
            contested.append((segment, shares))
        else:
            account = shares[0].account if shares else faith.account_of(leaves[0].owner)
            tally.entitled[account] += segment.length
            tally.full[account] += segment.length if shares else 0
    _share_contested(contested, faith, pools, tally)


def _share_contested(
    contested: Sequence[tuple[Segment, list[Share]]],
    faith: Faith,
    pools: Pools,
    tally: Tally,
) -> None:
    """Pay several good-faith claimants of the same units, as far as the sources reach."""
    dues = [
        due
        for index, (segment, shares) in enumerate(contested)
        for due in _dues(index, segment, shares, faith)
    ]
    funding = [segment.length for segment, _ in contested]
    for due, funded in _fund(dues, pools, tally):
        funding[due.segment] += funded
    for (segment, shares), funds in zip(contested, funding, strict=True):
        parts = allot(funds, [segment.length] * len(shares))
        for share, part in zip(shares, parts, strict=True):
            tally.entitled[share.account] += part
            tally.full[share.account] += segment.length


def _dues(index: int, segment: Segment, shares: Sequence[Share], faith: Faith) -> list[Due]:
    """What each fork above the claimants costs: one length for each branch beyond the first.

    The paths to n claimants form a tree with n ends, so the branches beyond the first are n - 1 in
    all: the dues of a segment are exactly what its backing does not cover.
    """
    branches: dict[tuple[bytes, PublicKey], set[bytes]] = defaultdict(set)
    for share in shares:
        for turn in share.leaf.turns:
            branches[turn.parent, turn.signer].add(turn.child)
    return [
        Due(faith.debtor(parent, signer), index, (len(children) - 1) * segment.length)
        for (parent, signer), children in sorted(branches.items(), key=lambda item: item[0][0])
        if len(children) > 1
    ]


def _fund(dues: Sequence[Due], pools: Pools, tally: Tally) -> list[tuple[Due, int]]:
    """Draw on each signer's pools for all its dues in the root together, then share what came."""
    funded: list[tuple[Due, int]] = []
    for signer in sorted({due.signer for due in dues}):
        own = [due for due in dues if due.signer == signer]
        debt = sum(due.amount for due in own)
        collateral, fund = pools.draw(signer, debt)
        tally.debts[signer] = debt
        if collateral:
            tally.collateral[signer] = collateral
        if fund:
            tally.fund[signer] = fund
        parts = allot(collateral + fund, [due.amount for due in own])
        funded += zip(own, parts, strict=True)
    return funded
