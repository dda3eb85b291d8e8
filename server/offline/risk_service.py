"""Use cases of risk officers, each in a transaction of its own and once for each key."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.idempotency import fingerprint, once
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline.audit import officer_of
from server.offline.debts import standings_of, write_off
from server.offline.domain import DEFAULT_POLICY, OfflinePolicy
from server.offline.errors import PolicyInvalid
from server.offline.events import lock_offline
from server.offline.fund import FundState, fund_currencies, fund_state, move_fund
from server.offline.links import end_link, link_accounts, links
from server.offline.models import ConflictRow
from server.offline.oversight_schemas import (
    AccountOversight,
    DebtView,
    FundChange,
    FundList,
    FundView,
    LinkCreate,
    LinkView,
    TierChange,
    TierView,
    WriteOffCreate,
)
from server.offline.policy import policy_in_force
from server.offline.postings import Book
from server.offline.settlement import run_settling
from server.offline.tiers import give_tier, tiers_of

_LIST_MAX = 100


@dataclass(frozen=True, slots=True)
class RiskDesk:
    """One officer at work; ``policy`` holds where the tenant has stored none."""

    uow: UnitOfWork
    caller: Caller
    policy: OfflinePolicy = DEFAULT_POLICY

    @property
    def tenant(self) -> int:
        return self.caller.tenant

    async def fund(self) -> FundList:
        """Return the guarantee fund in every currency in which it was ever used."""

        async def look(tx: Tx) -> FundList:
            rules = await policy_in_force(tx, self.tenant, self.policy)
            codes = await fund_currencies(tx, self.tenant)
            states = [await fund_state(tx, self.tenant, code, rules) for code in codes]
            return FundList(items=[fund_view(state) for state in states])

        return await self.uow.read(look)

    async def move_fund(self, data: FundChange, *, sign: int, key: str) -> FundView:
        """Endow the fund (sign 1) or take out of it (-1).

        Raises:
            FundTooLow: so much is not free.
            UnknownCurrency: this server does not know the currency.
            IdempotencyConflict: the key was used for another request.
        """
        operation = "offline.fund.in" if sign > 0 else "offline.fund.out"

        async def work(tx: Tx) -> FundView:
            rules = await policy_in_force(tx, self.tenant, self.policy)
            book = Book(self.tenant, data.currency)
            state = await move_fund(
                tx,
                self.tenant,
                await officer_of(tx, self.caller),
                rules,
                amount=sign * data.amount,
                currency=data.currency,
                reason=data.reason,
                entry=book.entry_id(operation, self.caller.user_id, key),
            )
            return fund_view(state)

        async def command(tx: Tx) -> FundView:
            await lock_offline(tx, self.tenant)
            return await once(
                tx,
                tenant=self.tenant,
                owner=self.caller.user_id,
                operation=operation,
                key=key,
                digest=fingerprint([data.amount, data.currency, data.reason]),
                answer_type=FundView,
                work=lambda: work(tx),
            )

        return await run_settling(self.uow, self.tenant, command)

    async def link(self, data: LinkCreate) -> LinkView:
        """Link two accounts (see `links.link_accounts`)."""

        async def command(tx: Tx) -> LinkView:
            by = await officer_of(tx, self.caller)
            pair = (data.first, data.second)
            return await link_accounts(
                tx, self.tenant, by, self.policy, pair=pair, reason=data.reason
            )

        return await run_settling(self.uow, self.tenant, command)

    async def end_link(self, link: UUID, reason: str) -> LinkView:
        """End a link (see `links.end_link`)."""

        async def command(tx: Tx) -> LinkView:
            by = await officer_of(tx, self.caller)
            return await end_link(tx, self.tenant, by, self.policy, link=link, reason=reason)

        return await run_settling(self.uow, self.tenant, command)

    async def give_tier(self, user: UUID, data: TierChange) -> TierView:
        """Give an account a tier.

        Raises:
            NotFound: there is no such person.
            PolicyInvalid: no currency of the policy names this tier.
        """

        async def command(tx: Tx) -> TierView:
            rules = await policy_in_force(tx, self.tenant, self.policy)
            if data.tier is not None and not rules.has_tier(data.tier):
                raise PolicyInvalid(
                    f"The policy has no tier {data.tier!r}.",
                    fix="Give the tier limits in the policy first.",
                    problems=[{"field": "tier", "problem": "the policy does not name it"}],
                )
            by = await officer_of(tx, self.caller)
            tier = await give_tier(
                tx, self.tenant, by, user=user, tier=data.tier, reason=data.reason
            )
            return TierView(user_id=user, tier=tier)

        return await run_settling(self.uow, self.tenant, command)

    async def write_off(self, user: UUID, data: WriteOffCreate, *, key: str) -> DebtView:
        """Write a debt off, once for each key (see `debts.write_off`)."""

        async def work(tx: Tx) -> DebtView:
            return await write_off(
                tx,
                self.tenant,
                await officer_of(tx, self.caller),
                user=user,
                currency=data.currency,
                amount=data.amount,
                reason=data.reason,
            )

        async def command(tx: Tx) -> DebtView:
            await lock_offline(tx, self.tenant)
            await find_user(tx, self.tenant, user)
            return await once(
                tx,
                tenant=self.tenant,
                owner=self.caller.user_id,
                operation="offline.write_off",
                key=key,
                digest=fingerprint([str(user), data.currency, data.amount, data.reason]),
                answer_type=DebtView,
                work=lambda: work(tx),
            )

        return await run_settling(self.uow, self.tenant, command)

    async def account(self, user: UUID) -> AccountOversight:
        """Return what officers see of an account.

        Raises:
            NotFound: there is no such person.
        """

        async def look(tx: Tx) -> AccountOversight:
            person = await find_user(tx, self.tenant, user)
            tiers = await tiers_of(tx, self.tenant, [user])
            conflicts = await tx.session.scalars(
                select(ConflictRow.id)
                .where(ConflictRow.tenant == self.tenant, ConflictRow.user_id == user)
                .order_by(ConflictRow.found_at, ConflictRow.id)
                .limit(_LIST_MAX)
            )
            return AccountOversight(
                user_id=user,
                username=person.username,
                display_name=person.display_name,
                role=person.role.value,
                tier=tiers.get(user, person.role.value),
                debts=await standings_of(tx, self.tenant, user),
                links=await links(tx, self.tenant, limit=_LIST_MAX, user=user),
                conflicts=[to_base64url(each) for each in conflicts],
            )

        return await self.uow.read(look)


def fund_view(state: FundState) -> FundView:
    return FundView(
        **{name: getattr(state, name) for name in FundView.__struct_fields__},
    )
