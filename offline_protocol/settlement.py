"""Who is paid, from what, and who owes: a pure function of records, accounts and limits.

Every account that was paid in good faith is paid, also where a unit was signed away twice. What the
unit itself does not cover comes from the fork signer's collateral, then from the guarantee fund up
to a cap for each fork signer. If that falls short the claimants share in proportion. No rule looks
at who came first, and none can be steered by choosing hashes beyond one minor unit.

Accounts are strings that the caller chooses; amounts are minor units of the roots' one currency.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from offline_protocol.keys import PublicKey
from offline_protocol.resolution import Root, resolve
from offline_protocol.shares import AccountOf, Faith, Pools, Tally, share_out


@dataclass(frozen=True)
class Credit:
    """What an account gets of one root. `guaranteed` is final at once, the rest at claim-by."""

    amount: int
    guaranteed: int


@dataclass(frozen=True)
class Sources:
    """Where the credits of one root come from; collateral and fund by the fork signer's account."""

    backing: int
    collateral: Mapping[str, int]
    fund: Mapping[str, int]
    issuer: int

    @property
    def total(self) -> int:
        return self.backing + sum(self.collateral.values()) + sum(self.fund.values()) + self.issuer


@dataclass(frozen=True)
class AccountFork:
    """A fork and the account behind the key that signed it."""

    key: PublicKey
    account: str
    parent: bytes
    lo: int
    hi: int
    transfer_ids: tuple[bytes, ...]


@dataclass(frozen=True)
class RootSettlement:
    """The outcome for one voucher. `open` is the part of its value that nobody has got yet."""

    voucher_id: bytes
    value: int
    closed: bool
    credits: Mapping[str, Credit]
    sources: Sources
    debts: Mapping[str, int]
    forks: tuple[AccountFork, ...]

    @property
    def open(self) -> int:
        return self.value - self.sources.backing


@dataclass(frozen=True)
class Terms:
    """What is settled differently for one root than the arguments of `settle` say for all.

    ``excluded`` replaces the links of that argument, for a root whose links were frozen.
    ``promised`` is, by account, what was guaranteed before: a lower limit takes none of it back.
    ``borne_by`` names, by the parent of a fork, the account that bears its cost instead of the
    signer's: the debt is that account's, and its collateral and its part of the fund pay.
    """

    excluded: Mapping[str, Collection[str]] | None = None
    promised: Mapping[str, int] = field(default_factory=dict)
    borne_by: Mapping[bytes, str] = field(default_factory=dict)


_USUAL = Terms()


@dataclass(frozen=True)
class Settlement:
    """Outcomes in the order in which the pools were used: claim-by, then voucher id."""

    roots: tuple[RootSettlement, ...]

    def digest(self) -> bytes:
        """32 bytes that are equal exactly when all outcomes are."""
        plain = [asdict(root) for root in self.roots]
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), default=_plain)
        return hashlib.sha256(text.encode()).digest()


def settle(
    roots: Iterable[Root],
    *,
    account_of: AccountOf,
    excluded: Mapping[str, Collection[str]],
    instant_limit: Mapping[str, int],
    collateral: Mapping[str, int],
    fund_cap: int,
    now: int,
    fund_caps: Mapping[str, int] | None = None,
    terms: Mapping[bytes, Terms] | None = None,
) -> Settlement:
    """Settle vouchers of one currency.

    Give all roots that share a fork signer's account together: its collateral and its part of the
    fund are pools over all of them. Roots given in several parts are put together.

    Args:
        roots: vouchers with their verified transfers.
        account_of: the account behind a device key.
        excluded: for a fork signer's account, accounts linked to it; its own always is.
        instant_limit: the most that an account is guaranteed of one root; none when not listed.
        collateral: what each account has set aside for its own debts.
        fund_cap: the most that the guarantee fund pays for one fork signer's account.
        now: Unix seconds; from its claim-by on a root is closed.
        fund_caps: caps that differ from `fund_cap`, by the fork signer's account.
        terms: what differs for single roots, by voucher id.
    """
    merged = _merge(roots)
    assert len({root.voucher.currency for root in merged}) <= 1, "one currency at a time"
    pools = Pools(dict(collateral), defaultdict(lambda: fund_cap, fund_caps or {}))
    outcomes = []
    for root in merged:
        own = (terms or {}).get(root.voucher.id, _USUAL)
        links = excluded if own.excluded is None else own.excluded
        faith = Faith(account_of, links, own.borne_by)
        outcomes.append(
            _settle_root(
                root, faith, pools, instant_limit=instant_limit, promised=own.promised, now=now
            )
        )
    return Settlement(tuple(outcomes))


def _merge(roots: Iterable[Root]) -> list[Root]:
    """Each voucher once with all its transfers, in the order in which the pools are used."""
    merged: dict[bytes, Root] = {}
    for root in roots:
        known = merged.get(root.voucher.id)
        transfers = root.transfers if known is None else known.transfers + root.transfers
        merged[root.voucher.id] = Root(root.voucher, transfers)
    return sorted(merged.values(), key=lambda root: (root.voucher.claim_by, root.voucher.id))


def _settle_root(
    root: Root,
    faith: Faith,
    pools: Pools,
    *,
    instant_limit: Mapping[str, int],
    promised: Mapping[str, int],
    now: int,
) -> RootSettlement:
    closed = now >= root.voucher.claim_by
    resolution = resolve(root)
    tally = Tally()
    share_out(resolution, faith, pools, tally, closed=closed)
    credited, issuer = _guarantee(tally, instant_limit, promised)
    return RootSettlement(
        voucher_id=root.voucher.id,
        value=root.voucher.value,
        closed=closed,
        credits=credited,
        sources=Sources(tally.backing, tally.collateral, tally.fund, issuer),
        debts=dict(sorted(tally.debts.items())),
        forks=tuple(
            AccountFork(f.key, faith.account_of(f.key), f.parent, f.lo, f.hi, f.transfer_ids)
            for f in resolution.forks
        ),
    )


def _guarantee(
    tally: Tally, instant_limit: Mapping[str, int], promised: Mapping[str, int]
) -> tuple[dict[str, Credit], int]:
    """Lift each credit to what was promised at once; the issuer bears the difference."""
    credited: dict[str, Credit] = {}
    issuer = 0
    for account, entitled in sorted(tally.entitled.items()):
        limit = max(instant_limit.get(account, 0), promised.get(account, 0))
        guaranteed = min(tally.full[account], limit)
        amount = max(entitled, guaranteed)
        issuer += amount - entitled
        if amount:
            credited[account] = Credit(amount, guaranteed)
    return credited, issuer


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no place in an outcome")
