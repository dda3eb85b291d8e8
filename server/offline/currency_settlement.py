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

from offline_protocol.settlement import RootSettlement, Settlement, settle
from server.kit.unit_of_work import Tx
from server.ledger import BATCH_MAX, AccountKind, EntryRequest, Refusal, balance, post_many
from server.offline.domain import CurrencyLimits, OfflinePolicy
from server.offline.events import Event
from server.offline.models import AccountRow
from server.offline.owners import Owners
from server.offline.positions import Positions, load_positions
from server.offline.postings import Book, Recovery, order_entries
from server.offline.records import Grove
from server.offline.standing import Standing, restate

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

    async def run(self) -> None:
        limits = self.policy.limits(self.currency)
        positions = await load_positions(self.tx, self.tenant, self.roots)
        await self._load_accounts(limits)
        result, standings = await self._find_fixed_point(limits, positions)
        entries = self._post_roots(result, positions) + self._post_standings(standings)
        await self._post(entries)
        await positions.store(self.tx)

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

    async def _load_accounts(self, limits: CurrencyLimits) -> None:
        """Load the users' rows; lift those of claimants where the policy has become wider."""
        trees = [self.grove.trees[root] for root in self.roots]
        users = self.users.union(*(self.owners.users_in(tree) for tree in trees))
        query = select(AccountRow).where(
            AccountRow.tenant == self.tenant,
            AccountRow.currency == self.currency,
            AccountRow.user_id.in_(users),
        )
        self.accounts = {row.user_id: row for row in await self.tx.session.scalars(query)}
        claimants: set[UUID] = set()
        for tree in trees:
            due = tree.voucher.body.claim_by <= self._now
            claimants |= self.owners.users_in(tree) if due else self.owners.claimants_in(tree)
        await self.owners.learn_users(claimants)
        for user in sorted(claimants):
            row = self._account(user)
            role = self.owners.users[user].role
            row.instant_limit = max(row.instant_limit, limits.instant_for(role))

    def _account(self, user: UUID) -> AccountRow:
        row = self.accounts.get(user)
        if row is None:
            row = AccountRow(
                tenant=self.tenant,
                user_id=user,
                currency=self.currency,
                owed=0,
                recovered=0,
                overdrawn=0,
                instant_limit=0,
                fund_limit=0,
                revision=0,
            )
            self.tx.session.add(row)
            self.accounts[user] = row
        return row

    async def _find_fixed_point(
        self, limits: CurrencyLimits, positions: Positions
    ) -> tuple[Settlement, dict[UUID, Standing]]:
        """Settle until what debtors can cover and what they are credited agree.

        Starts from the least collateral and only ever adds, so the answer is the least one.
        """
        final_use = positions.final_collateral(self.grove.rows)
        collateral = dict(final_use)
        for _ in range(_ROUNDS_MAX):
            result = await self._settle(limits, collateral)
            standings = await self._restate(result, positions, final_use)
            covered = {user: s.recovered for user, s in standings.items() if s.recovered}
            if covered == {user: amount for user, amount in collateral.items() if amount}:
                break
            collateral = covered
        # Where it has not settled yet, less collateral was used than was recovered: the sums still
        # meet, and the next settlement goes on from there.
        return result, standings

    async def _settle(self, limits: CurrencyLimits, collateral: Mapping[UUID, int]) -> Settlement:
        trees = [self.grove.trees[root] for root in self.roots]
        accounts = {key: str(device.user_id) for key, device in self.owners.devices.items()}
        work = partial(
            settle,
            [tree.settled_by() for tree in trees],
            account_of=lambda key: accounts[key.id],
            excluded={},
            instant_limit={str(user): row.instant_limit for user, row in self.accounts.items()},
            collateral={str(user): amount for user, amount in collateral.items()},
            fund_cap=max([limits.fund, *(row.fund_limit for row in self.accounts.values())]),
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
            for account, amount in root.debts.items():
                owed[UUID(account)] = owed.get(UUID(account), 0) + amount
        standings = {}
        for user in self.accounts.keys() | owed.keys() | changes.keys():
            row = self._account(user)
            before = Standing(row.owed, row.recovered, row.overdrawn)
            change = changes.get(user, 0)
            if before == Standing() and not owed.get(user) and change >= 0:
                continue
            standings[user] = restate(
                before,
                available=await self._available(user),
                change=change,
                owed=owed.get(user, 0),
                final_use=final_use.get(user, 0),
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
            self.events += positions.news_of(
                root, self.currency, holder=row.user_id, closes=root.closed and not row.closed
            )
            row.closed = row.closed or root.closed
            assert _sums_meet(root)
        return entries

    def _post_standings(self, standings: Mapping[UUID, Standing]) -> list[EntryRequest]:
        entries = []
        for user, after in sorted(standings.items()):
            row = self.accounts[user]
            deltas = {
                Recovery.RECOVERED: after.recovered - row.recovered,
                Recovery.OVERDRAWN: after.overdrawn - row.overdrawn,
            }
            if after == Standing(row.owed, row.recovered, row.overdrawn):
                continue
            row.revision += 1
            row.fund_limit = max(row.fund_limit, self.policy.limits(self.currency).fund)
            row.owed, row.recovered, row.overdrawn = after.owed, after.recovered, after.overdrawn
            entries += [
                self._book.change(leg, user, by, subject="standing", revision=row.revision)
                for leg, by in deltas.items()
                if by
            ]
            self.events.append(Event.debt(user, self.currency, after))
        return entries

    async def _post(self, entries: list[EntryRequest]) -> None:
        await self.tx.session.flush()
        ordered = order_entries(entries)
        for start in range(0, len(ordered), BATCH_MAX):
            for outcome in await post_many(self.tx, ordered[start : start + BATCH_MAX]):
                if outcome.reason is Refusal.INSUFFICIENT_FUNDS:
                    raise BalanceMoved
                outcome.raise_for_refusal()


def _sums_meet(root: RootSettlement) -> bool:
    return root.sources.total == sum(credit.amount for credit in root.credits.values())
