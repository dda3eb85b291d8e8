"""The guarantee fund: what it may promise, what it has promised, and what people put in or take.

A promise is made for each cheat when the first debt is found, and is not taken back: then the order
in which the cheat's victims synchronise changes nothing. It is at most what the policy gives one
cheat, and what is left of the budget: of the period's sum over all cheats, and of the balance above
the floor. One that was cut short grows when there is room again, until the vouchers are closed.
Where the policy sets no budget there is always enough.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, insert, select

from server.kit.money import ASSETS
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, balance, post_many
from server.offline.audit import Officer, record_deed
from server.offline.domain import CurrencyLimits, OfflinePolicy
from server.offline.errors import FundTooLow
from server.offline.events import lock_offline
from server.offline.models import AccountRow, PositionRow, VoucherRow
from server.offline.oversight_models import FundGrantRow
from server.offline.postings import Book, Leg


@dataclass(frozen=True, slots=True)
class FundState:
    """The fund in one currency, in minor units. ``reserved`` is promised and not paid yet."""

    currency: str
    balance: int
    reserved: int
    promised_in_period: int
    floor: int | None
    per_period: int | None

    @property
    def room(self) -> int | None:
        """What may still be promised; None when nothing limits it."""
        rooms = []
        if self.floor is not None:
            rooms.append(self.balance - self.reserved - self.floor)
        if self.per_period is not None:
            rooms.append(self.per_period - self.promised_in_period)
        return max(0, min(rooms)) if rooms else None

    @property
    def free(self) -> int:
        """What may be taken out: never what was promised, nor below the floor or zero."""
        return max(0, self.balance - self.reserved - max(0, self.floor or 0))


async def fund_state(tx: Tx, tenant: int, currency: str, policy: OfflinePolicy) -> FundState:
    """Return where the fund stands in a currency."""
    limits = policy.limits(currency)
    ref = AccountRef(AccountKind.HOUSE_GUARANTEE_FUND, currency, None, tenant)
    promised = await tx.session.scalar(
        select(func.coalesce(func.sum(FundGrantRow.amount), 0)).where(
            FundGrantRow.tenant == tenant,
            FundGrantRow.currency == currency,
            FundGrantRow.at > tx.now - policy.fund_period,
        )
    )
    return FundState(
        currency=currency,
        balance=(await balance(tx, ref)).posted,
        reserved=await _reserved(tx, tenant, currency),
        promised_in_period=int(promised or 0),
        floor=limits.fund_floor,
        per_period=limits.fund_per_period,
    )


async def fund_currencies(tx: Tx, tenant: int) -> list[str]:
    """Return the currencies in which the fund was ever used."""
    found = []
    for code in ASSETS:
        ref = AccountRef(AccountKind.HOUSE_GUARANTEE_FUND, code, None, tenant)
        if (await balance(tx, ref)).version:
            found.append(code)
    return found


async def _reserved(tx: Tx, tenant: int, currency: str) -> int:
    """Return what the fund promised for cheats and has not paid."""
    cheats = select(AccountRow.user_id).where(
        AccountRow.tenant == tenant, AccountRow.currency == currency, AccountRow.fund_limit > 0
    )
    promised = await tx.session.scalar(
        select(func.coalesce(func.sum(AccountRow.fund_limit), 0)).where(
            AccountRow.tenant == tenant, AccountRow.currency == currency
        )
    )
    paid = await tx.session.scalar(
        select(func.coalesce(func.sum(PositionRow.amount), 0))
        .join(
            VoucherRow,
            (VoucherRow.tenant == PositionRow.tenant) & (VoucherRow.id == PositionRow.root),
        )
        .where(
            PositionRow.tenant == tenant,
            PositionRow.leg == Leg.FUND.value,
            PositionRow.account.in_(cheats),
            VoucherRow.currency == currency,
        )
    )
    return int(promised or 0) - int(paid or 0)


async def promise(
    tx: Tx,
    tenant: int,
    policy: OfflinePolicy,
    currency: str,
    cheats: Iterable[AccountRow],
) -> bool:
    """Raise what the fund pays for these cheats to the policy's share, as far as there is room.

    Returns:
        Whether any promise rose. The caller holds `lock_offline`.
    """
    limits = policy.limits(currency)
    wanting = [row for row in cheats if row.fund_limit < limits.fund]
    if not wanting:
        return False
    room = await _room(tx, tenant, currency, limits, policy)
    last = await tx.session.scalar(
        select(func.max(FundGrantRow.seq)).where(FundGrantRow.tenant == tenant)
    )
    granted: list[dict[str, object]] = []
    for row in sorted(wanting, key=lambda row: row.user_id):
        amount = limits.fund - row.fund_limit
        if room is not None:
            amount = min(amount, room)
            room -= amount
        if amount:
            row.fund_limit += amount
            granted.append({"user_id": row.user_id, "amount": amount})
    if granted:
        about = {"tenant": tenant, "currency": currency, "at": tx.now}
        rows = [about | each | {"seq": (last or 0) + n} for n, each in enumerate(granted, 1)]
        await tx.connection.execute(insert(FundGrantRow), rows)
    return bool(granted)


async def _room(
    tx: Tx, tenant: int, currency: str, limits: CurrencyLimits, policy: OfflinePolicy
) -> int | None:
    if limits.fund_floor is None and limits.fund_per_period is None:
        return None
    await tx.session.flush()
    return (await fund_state(tx, tenant, currency, policy)).room


async def move_fund(
    tx: Tx,
    tenant: int,
    by: Officer,
    policy: OfflinePolicy,
    *,
    amount: int,
    currency: str,
    reason: str,
    entry: UUID,
) -> FundState:
    """Put owners' money into the fund, or with a negative amount take it out again.

    ``entry`` is the id of the ledger entry. Repeating is for the caller to recognise.

    Raises:
        FundTooLow: so much is not free beside the floor and the promises.
        UnknownCurrency: this server does not know the currency.
    """
    await lock_offline(tx, tenant)
    before = await fund_state(tx, tenant, currency, policy)
    if -amount > before.free:
        raise FundTooLow(
            f"The fund has {before.balance} minor units of {currency}; {before.reserved} of them "
            f"are promised, so {before.free} may be taken out.",
            fix="Take out less, or wait until vouchers of cheats have been closed.",
            free=before.free,
        )
    fund, owners = AccountKind.HOUSE_GUARANTEE_FUND, AccountKind.HOUSE_CAPITAL
    debit, credit = (owners, fund) if amount > 0 else (fund, owners)
    action = "fund_endowed" if amount > 0 else "fund_withdrawn"
    request = Book(tenant, currency).decided(
        f"offline.{action}", debit, credit, abs(amount), entry=entry, memo={"by": by.name}
    )
    for outcome in await post_many(tx, [request]):
        outcome.raise_for_refusal()
    await record_deed(
        tx,
        tenant,
        by,
        action,
        subject=f"fund/{currency}",
        reason=reason,
        amount=abs(amount),
        entry=str(entry),
    )
    return await fund_state(tx, tenant, currency, policy)
