"""Settling roots of one currency that hang together: targets, debts, and the entries between.

A debtor's own money is collateral, so it changes what victims get; what victims get may be a
debtor's own money. The settlement goes round until both agree, from the least collateral upwards.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from sqlalchemy import select

from offline_protocol.settlement import Settlement, settle
from server.kit.money import AMOUNT_MAX
from server.kit.unit_of_work import Tx
from server.ledger import BATCH_MAX, AccountKind, EntryRequest, Refusal, balance, post_many
from server.offline.accounts import empty_account, keep_standing, standing_of
from server.offline.checks import check_settled
from server.offline.domain import OfflinePolicy
from server.offline.events import Event
from server.offline.fund import promise
from server.offline.models import AccountRow
from server.offline.owners import Owners
from server.offline.positions import Positions, debts_of, load_positions
from server.offline.postings import BEARERS, Book, Recovery, order_entries
from server.offline.records import Grove, slices
from server.offline.standing import Standing, restate
from server.offline.terms import RootTerms, load_terms
from server.offline.tiers import tiers_of

_ROUNDS_MAX = 64
SETTLE_ASIDE_MIN = 500
"""Records from which on settling would keep the event loop from everybody else."""


class BalanceMoved(Exception):
    """A balance fell between reading and posting; the whole command is run again."""


@dataclass(slots=True)
class CurrencySettlement:
    """One settlement of roots in one currency that hang together."""

    tx: Tx
    tenant: int
    policy: OfflinePolicy
    grove: Grove
    owners: Owners
    currency: str
    roots: list[bytes]
    users: set[UUID]
    events: list[Event] = field(default_factory=list)
    accounts: dict[UUID, AccountRow] = field(default_factory=dict)
    available: dict[UUID, int] = field(default_factory=dict)
    terms: RootTerms = field(init=False)
    changed: set[bytes] = field(default_factory=set)

    async def run(self) -> None:
        positions = await load_positions(self.tx, self.tenant, self.roots)
        await self._load_accounts()
        self.terms = await load_terms(
            self.tx,
            self.tenant,
            vouchers=self.grove.rows,
            users={root: self.owners.users_in(self.grove.trees[root]) for root in self.roots},
            positions=positions,
        )
        result, standings = await self._find_fixed_point(positions)
        entries = self._post_roots(result, positions) + self._post_standings(standings)
        self._free_fund(result, positions)
        await self._post(entries)
        await positions.store(self.tx)
        await check_settled(self.tx, self.tenant, self.currency, self.changed)

    @property
    def _book(self) -> Book:
        return Book(self.tenant, self.currency)

    @property
    def _now(self) -> int:
        """Unix seconds, never before the claim-by of a root that was closed: it stays closed.

        Another server's clock may be ahead of ours, and it may have had the lock first.
        """
        rows = (self.grove.rows[root] for root in self.roots)
        closings = (row.claim_by for row in rows if row.closed)
        return max([int(self.tx.now.timestamp()), *closings])

    async def _load_accounts(self) -> None:
        """Load the users' rows, and say how much of a credit is final at once for each."""
        trees = [self.grove.trees[root] for root in self.roots]
        users = self.users.union(*(self.owners.users_in(tree) for tree in trees))
        for names in slices(sorted(users)):
            query = select(AccountRow).where(
                AccountRow.tenant == self.tenant,
                AccountRow.currency == self.currency,
                AccountRow.user_id.in_(names),
            )
            self.accounts |= {row.user_id: row for row in await self.tx.session.scalars(query)}
        claimants: set[UUID] = set()
        now = self._now
        for tree in trees:
            due = tree.voucher.body.claim_by <= now
            claimants |= self.owners.users_in(tree) if due else self.owners.claimants_in(tree)
        await self.owners.learn_users(claimants)
        limits = self.policy.limits(self.currency)
        tiers = await tiers_of(self.tx, self.tenant, claimants)
        for user in sorted(claimants):
            tier = tiers.get(user, self.owners.users[user].role)
            self._account(user).instant_limit = limits.instant_for(tier)

    def _account(self, user: UUID) -> AccountRow:
        row = self.accounts.get(user)
        if row is None:
            row = empty_account(self.tenant, user, self.currency)
            self.tx.session.add(row)
            self.accounts[user] = row
        return row

    async def _find_fixed_point(
        self, positions: Positions
    ) -> tuple[Settlement, dict[UUID, Standing]]:
        """Settle until what debtors can cover and what they are credited agree.

        Starts from the least collateral and only ever adds, so the answer is the least one. The
        debts depend on none of it, so they are known before anything is promised for them.
        """
        result = await self._settle({})
        collateral = final_use = positions.final_collateral(self.grove.rows, result)
        known = not await self._promise(result) and not collateral
        for _ in range(_ROUNDS_MAX):
            if not known:
                result = await self._settle(collateral)
            standings = await self._restate(result, positions, final_use)
            covered = {user: s.recovered for user, s in standings.items() if s.recovered}
            if covered == {user: amount for user, amount in collateral.items() if amount}:
                break
            collateral, known = covered, False
        # Where it has not settled yet, less collateral was used than was recovered: the sums still
        # meet, and the next settlement goes on from there.
        return result, standings

    async def _promise(self, result: Settlement) -> bool:
        """Let the fund promise its part for cheats under open vouchers; say whether it did."""
        owing = {
            user
            for root in result.roots
            if not self.grove.rows[root.voucher_id].closed
            for user, amount in debts_of(root).items()
            if amount
        }
        rows = [self._account(user) for user in owing]
        return await promise(self.tx, self.tenant, self.policy, self.currency, rows)

    def _free_fund(self, result: Settlement, positions: Positions) -> None:
        """Take back promises of the fund that no open voucher can need any more."""
        waiting = {user for root in result.roots if not root.closed for user in debts_of(root)}
        for user, row in self.accounts.items():
            if row.fund_limit and user not in waiting:
                row.fund_limit = min(row.fund_limit, positions.paid_by_fund(user))

    async def _settle(self, collateral: Mapping[UUID, int]) -> Settlement:
        trees = [self.grove.trees[root] for root in self.roots]
        accounts = {key: str(device.user_id) for key, device in self.owners.devices.items()}
        work = partial(
            settle,
            [tree.settled_by() for tree in trees],
            account_of=lambda key: accounts[key.id],
            excluded={},
            instant_limit={str(user): row.instant_limit for user, row in self.accounts.items()},
            collateral=dict.fromkeys(BEARERS, AMOUNT_MAX)
            | {str(user): amount for user, amount in collateral.items()},
            fund_cap=0,
            fund_caps={str(u): row.fund_limit for u, row in self.accounts.items()},
            terms=self.terms.by_root,
            now=self._now,
        )
        if sum(len(tree.nodes) for tree in trees) < SETTLE_ASIDE_MIN:
            return work()
        return await asyncio.to_thread(work)

    async def _restate(
        self, result: Settlement, positions: Positions, final_use: Mapping[UUID, int]
    ) -> dict[UUID, Standing]:
        """Return the new standing of everybody who owes, owed, or loses free credit."""
        changes = positions.free_changes(result)
        owed = dict.fromkeys(self.users, 0)
        for root in result.roots:
            for user, amount in debts_of(root).items():
                owed[user] = owed.get(user, 0) + amount
        standings = {}
        for user in self.accounts.keys() | owed.keys() | changes.keys():
            row = self._account(user)
            before = standing_of(row)
            change = changes.get(user, 0)
            if before == Standing() and not owed.get(user) and change >= 0:
                continue
            standings[user] = restate(
                before,
                available=await self._available(user),
                change=change,
                owed=owed.get(user, 0),
                final_use=final_use.get(user, 0),
                collateral=row.collateral,
            )
        return standings

    async def _available(self, user: UUID) -> int:
        if user not in self.available:
            ref = self._book.account(AccountKind.USER_AVAILABLE, user)
            self.available[user] = (await balance(self.tx, ref)).available
        return self.available[user]

    def _post_roots(self, result: Settlement, positions: Positions) -> list[EntryRequest]:
        entries: list[EntryRequest] = []
        for root in result.roots:
            row = self.grove.rows[root.voucher_id]
            changes = positions.move_to(root, self._book, revision=row.revision + 1)
            if changes:
                row.revision += 1
                row.unpaid = root.open
                entries += changes
                self.changed.add(root.voucher_id)
            tree = self.grove.trees[root.voucher_id]
            self.events += positions.news_of(
                root,
                self.currency,
                parties={row.user_id, *self.owners.users_in(tree)},
                closes=root.closed and not row.closed,
            )
            if root.closed and not row.closed:
                row.closed = True
                self.changed.add(root.voucher_id)
                self.terms.freeze(self.tx, root.voucher_id)
        return entries

    def _post_standings(self, standings: Mapping[UUID, Standing]) -> list[EntryRequest]:
        entries = []
        for user, after in sorted(standings.items()):
            row = self.accounts[user]
            before = standing_of(row)
            if after == before:
                continue
            row.revision += 1
            keep_standing(row, after)
            moved = [
                self._book.change(leg, user, by, subject="standing", revision=row.revision)
                for leg, by in _recoveries(before, after)
                if by
            ]
            entries += moved
            entry_ids = [each.id for each in moved]
            self.events.append(Event.debt(user, self.currency, before, after, entry_ids))
        return entries

    async def _post(self, entries: list[EntryRequest]) -> None:
        await self.tx.session.flush()
        ordered = order_entries(entries)
        for start in range(0, len(ordered), BATCH_MAX):
            for outcome in await post_many(self.tx, ordered[start : start + BATCH_MAX]):
                if outcome.reason is Refusal.INSUFFICIENT_FUNDS:
                    raise BalanceMoved
                outcome.raise_for_refusal()


def _recoveries(before: Standing, after: Standing) -> list[tuple[Recovery, int]]:
    """Return by how much each movement between a user and the debt rose."""
    forgone = after.written_off - after.written_off_debt
    forgone_before = before.written_off - before.written_off_debt
    return [
        (Recovery.RECOVERED, after.taken - before.taken),
        (Recovery.SECURED, after.secured - before.secured),
        (Recovery.OVERDRAWN, after.overdrawn - before.overdrawn),
        (Recovery.CUSHIONED, after.cushioned - before.cushioned),
        (Recovery.WRITTEN_OFF, after.written_off_debt - before.written_off_debt),
        (Recovery.WRITTEN_OFF_CREDIT, forgone - forgone_before),
    ]
