"""Settling roots: what should be posted, what was posted, and the difference.

The protocol's `settle` says what every account is due from the records alone. This module gives it
all roots that hang together, finds how much of each debt the debtor's own money covers, posts the
difference to what was posted before, and remembers it, all in the caller's transaction. Doing it
again posts nothing; the order of syncs leaves no trace in the balances.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from server.kit.errors import Unavailable
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.checks import report_unsound, unsound
from server.offline.currency_settlement import BalanceMoved, CurrencySettlement
from server.offline.domain import OfflinePolicy
from server.offline.errors import SettlementUnsound
from server.offline.events import Event, turn_of
from server.offline.models import ConflictRow
from server.offline.owners import Owners
from server.offline.records import Grove, load_roots, slices

T = TypeVar("T")
_ATTEMPTS_MAX = 8


async def run_settling(uow: UnitOfWork, tenant: int, command: Callable[[Tx], Awaitable[T]]) -> T:
    """Run a command that settles, again while other rooms move the same balances.

    Raises:
        SettlementUnsound: the books would not have agreed, so nothing was committed; operators
            were told.
        Unavailable: it did not work out in several attempts.
    """
    for _ in range(_ATTEMPTS_MAX):
        try:
            return await uow.run(command, turn=turn_of(tenant))
        except BalanceMoved:
            continue
        except SettlementUnsound as refusal:
            await report_unsound(uow, tenant, refusal)
            raise
        except IntegrityError as error:
            found = unsound(error)
            if found is None:
                raise
            await report_unsound(uow, tenant, found)
            raise found from error
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
            settlement = CurrencySettlement(
                self.tx,
                self.tenant,
                self.policy,
                self.grove,
                self.owners,
                currency,
                together,
                users,
            )
            await settlement.run()
            self.events += settlement.events

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
            for names in slices(sorted(accounts - known)):
                query = select(ConflictRow.root).where(
                    ConflictRow.tenant == self.tenant,
                    ConflictRow.kind == "fork",
                    ConflictRow.currency == currency,
                    ConflictRow.user_id.in_(names),
                )
                together.update(root for root in await self.tx.session.scalars(query) if root)
            known |= accounts
