"""Settling roots: what should be posted, what was posted, and the difference.

The protocol's `settle` says what every account is due from the records alone. This module gives it
all roots that hang together, finds how much of each debt the debtor's own money covers, posts the
difference to what was posted before, and remembers it, all in the caller's transaction. Doing it
again posts nothing; the order of syncs leaves no trace in the balances.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select

from offline_protocol.settlement import RootSettlement, Settlement, settle
from server.kit.errors import Unavailable
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, EntryRequest, balance, post_many
from server.ledger.errors import Refusal
from server.offline.domain import CurrencyLimits, OfflinePolicy
from server.offline.events import Event
from server.offline.models import AccountRow, ConflictRow
from server.offline.owners import Owners
from server.offline.positions import Positions, load_positions
from server.offline.postings import Book, Recovery, order_entries
from server.offline.records import Grove, load_roots
from server.offline.standing import Standing, restate

T = TypeVar("T")
_ROUNDS_MAX = 64
_ATTEMPTS_MAX = 8


class BalanceMoved(Exception):
    """A balance fell between reading and posting; the whole command is run again."""


async def run_settling(uow: UnitOfWork, command: Callable[[Tx], Awaitable[T]]) -> T:
    """Run a command that settles, again while other rooms move the same balances.

    Raises:
        Unavailable: it did not work out in several attempts.
    """
    for _ in range(_ATTEMPTS_MAX):
        try:
            return await uow.run(command)
        except BalanceMoved:
            continue
    raise Unavailable("The balances moved too fast to settle.", fix="Send the same request again.")


@dataclass(slots=True)
class Settler:
    """Settles the roots of one tenant inside one transaction. The caller holds `lock_offline`."""

    tx: Tx
    tenant: int
    policy: OfflinePolicy
    grove: Grove
    owners: Owners
    events: list[Event] = field(default_factory=list)

    async def settle(
        self, roots: Collection[bytes], debtors: Collection[tuple[UUID, str]] = ()
    ) -> None:
        """Post what changed for these roots and for users who owe in a currency."""
        await load_roots(self.tx, self.tenant, roots, self.grove)
        work: dict[str, tuple[set[bytes], set[UUID]]] = {}
        for root in roots:
            work.setdefault(self.grove.rows[root].currency, (set(), set()))[0].add(root)
        for user, currency in debtors:
            work.setdefault(currency, (set(), set()))[1].add(user)
        for currency, (some_roots, users) in sorted(work.items()):
            together = await self._close_over(currency, some_roots, users)
            await _Round(self, currency, together, users).run()

    async def _close_over(self, currency: str, roots: set[bytes], users: set[UUID]) -> list[bytes]:
        """Return these roots and all that share a double spender's account with them."""
        together, known = set(roots), set[UUID]()
        while True:
            await load_roots(self.tx, self.tenant, together, self.grove)
            trees = [self.grove.trees[root] for root in together]
            await self.owners.learn(trees)
            accounts = users | {user for tree in trees for user in self.owners.users_in(tree)}
            if not accounts - known:
                return sorted(together)
            query = select(ConflictRow.root).where(
                ConflictRow.tenant == self.tenant,
                ConflictRow.kind == "fork",
                ConflictRow.currency == currency,
                ConflictRow.user_id.in_(accounts - known),
            )
            together.update(root for root in await self.tx.session.scalars(query) if root)
            known |= accounts


@dataclass(slots=True)
class _Round:
    """One settlement of roots in one currency that hang together."""

    settler: Settler
    currency: str
    roots: list[bytes]
    users: set[UUID]
    accounts: dict[UUID, AccountRow] = field(default_factory=dict)
    available: dict[UUID, int] = field(default_factory=dict)

    async def run(self) -> None:
        settler, tx = self.settler, self.settler.tx
        limits = settler.policy.limits(self.currency)
        positions = await load_positions(tx, settler.tenant, self.roots)
        await self._load_accounts(limits)
        result, standings = await self._find_fixed_point(limits, positions)
        entries = self._post_roots(result, positions) + self._post_standings(standings)
        await self._post(entries)
        await positions.store(tx)

    @property
    def _book(self) -> Book:
        return Book(self.settler.tenant, self.currency)

    async def _load_accounts(self, limits: CurrencyLimits) -> None:
        """Load the users' rows; lift those of claimants where the policy has become wider."""
        settler = self.settler
        trees = [settler.grove.trees[root] for root in self.roots]
        users = self.users.union(*(settler.owners.users_in(tree) for tree in trees))
        query = select(AccountRow).where(
            AccountRow.tenant == settler.tenant,
            AccountRow.currency == self.currency,
            AccountRow.user_id.in_(users),
        )
        self.accounts = {row.user_id: row for row in await settler.tx.session.scalars(query)}
        now = int(settler.tx.now.timestamp())
        claimants: set[UUID] = set()
        for tree in trees:
            due = tree.voucher.body.claim_by <= now
            claimants |= settler.owners.users_in(tree) if due else settler.owners.claimants_in(tree)
        await settler.owners.learn_users(claimants)
        for user in sorted(claimants):
            row = self._account(user)
            role = settler.owners.users[user].role
            row.instant_limit = max(row.instant_limit, limits.instant_for(role))

    def _account(self, user: UUID) -> AccountRow:
        row = self.accounts.get(user)
        if row is None:
            row = AccountRow(
                tenant=self.settler.tenant,
                user_id=user,
                currency=self.currency,
                owed=0,
                recovered=0,
                overdrawn=0,
                instant_limit=0,
                fund_limit=0,
                revision=0,
            )
            self.settler.tx.session.add(row)
            self.accounts[user] = row
        return row

    async def _find_fixed_point(
        self, limits: CurrencyLimits, positions: Positions
    ) -> tuple[Settlement, dict[UUID, Standing]]:
        """Settle until what debtors can cover and what they are credited agree.

        Starts from the least collateral and only ever adds, so the answer is the least one.
        """
        final_use = positions.final_collateral(self.settler.grove.rows)
        collateral = dict(final_use)
        for _ in range(_ROUNDS_MAX):
            result = self._settle(limits, collateral)
            standings = await self._restate(result, positions, final_use)
            covered = {user: s.recovered for user, s in standings.items() if s.recovered}
            if covered == {user: amount for user, amount in collateral.items() if amount}:
                break
            collateral = covered
        # Where it has not settled yet, less collateral was used than was recovered: the sums still
        # meet, and the next settlement goes on from there.
        return result, standings

    def _settle(self, limits: CurrencyLimits, collateral: Mapping[UUID, int]) -> Settlement:
        settler = self.settler
        return settle(
            (settler.grove.trees[root].settled_by() for root in self.roots),
            account_of=lambda key: str(settler.owners.user_of(key.id)),
            excluded={},
            instant_limit={str(user): row.instant_limit for user, row in self.accounts.items()},
            collateral={str(user): amount for user, amount in collateral.items()},
            fund_cap=max([limits.fund, *(row.fund_limit for row in self.accounts.values())]),
            now=int(settler.tx.now.timestamp()),
        )

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
            self.available[user] = (await balance(self.settler.tx, ref)).available
        return self.available[user]

    def _post_roots(self, result: Settlement, positions: Positions) -> list[EntryRequest]:
        entries: list[EntryRequest] = []
        for root in result.roots:
            row = self.settler.grove.rows[root.voucher_id]
            changes = positions.move_to(root, self._book, revision=row.revision + 1)
            if changes:
                row.revision += 1
                row.unpaid = root.open
                entries += changes
            self.settler.events += positions.news_of(
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
            row.fund_limit = max(row.fund_limit, self.settler.policy.limits(self.currency).fund)
            row.owed, row.recovered, row.overdrawn = after.owed, after.recovered, after.overdrawn
            entries += [
                self._book.change(leg, user, by, subject="standing", revision=row.revision)
                for leg, by in deltas.items()
                if by
            ]
            self.settler.events.append(Event.debt(user, self.currency, after))
        return entries

    async def _post(self, entries: list[EntryRequest]) -> None:
        await self.settler.tx.session.flush()
        if not entries:
            return
        for outcome in await post_many(self.settler.tx, order_entries(entries)):
            if outcome.reason is Refusal.INSUFFICIENT_FUNDS:
                raise BalanceMoved
            outcome.raise_for_refusal()


def _sums_meet(root: RootSettlement) -> bool:
    return root.sources.total == sum(credit.amount for credit in root.credits.values())
