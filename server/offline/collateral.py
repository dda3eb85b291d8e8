"""Collateral: money that a user sets aside, and the higher limits that it gives.

It lies on an account of its own and pays the user's debts before anything else does. It comes back
when nothing depends on it: no debt, no double spending in a voucher that is still open, and no
open voucher that was issued only because of it. A voucher counts until claim-by, also when it is
paid out already, since until then a second branch of it may turn up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import exists, func, select

from server.kit.auth import Caller
from server.kit.idempotency import fingerprint, once
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, post_many
from server.offline.accounts import account_row, standing_of
from server.offline.domain import OfflinePolicy
from server.offline.errors import CollateralBound, DebtOutstanding
from server.offline.events import Event, EventType, lock_offline, tell
from server.offline.models import AccountRow, ConflictRow, VoucherRow
from server.offline.oversight_models import PledgeRow
from server.offline.oversight_schemas import CollateralChange, CollateralView
from server.offline.policy import policy_in_force
from server.offline.postings import Book
from server.offline.settlement import run_settling


@dataclass(frozen=True, slots=True)
class Collateral:
    """A user's collateral in one currency: all of it, what debts have used, what vouchers need."""

    set_aside: int = 0
    used: int = 0
    needed: int = 0

    @property
    def free(self) -> int:
        """What could go without an open voucher missing it."""
        return max(0, self.set_aside - self.used - self.needed)


async def free_collateral(tx: Tx, tenant: int, user: UUID, currency: str) -> int:
    """Return what a user has set aside and no debt has used."""
    row = await tx.session.get(AccountRow, (tenant, user, currency))
    return 0 if row is None else row.collateral - row.secured - row.cushioned


async def bind(tx: Tx, vouchers: Sequence[VoucherRow], amount: int) -> None:
    """Remember how much collateral vouchers need that were issued together."""
    if amount:
        tx.session.add_all(
            PledgeRow(
                tenant=row.tenant,
                voucher=row.id,
                user_id=row.user_id,
                currency=row.currency,
                amount=amount,
            )
            for row in vouchers
        )
        await tx.session.flush()


async def collateral_of(tx: Tx, tenant: int, user: UUID) -> dict[str, Collateral]:
    """Return a user's collateral by currency."""
    rows = await tx.session.scalars(
        select(AccountRow).where(
            AccountRow.tenant == tenant, AccountRow.user_id == user, AccountRow.collateral > 0
        )
    )
    found = {row.currency: row for row in rows}
    needed = await _needed(tx, tenant, user)
    return {
        currency: Collateral(row.collateral, row.secured + row.cushioned, needed.get(currency, 0))
        for currency, row in sorted(found.items())
    }


async def _needed(tx: Tx, tenant: int, user: UUID) -> dict[str, int]:
    query = (
        select(PledgeRow.currency, func.max(PledgeRow.amount))
        .join(
            VoucherRow,
            (VoucherRow.tenant == PledgeRow.tenant) & (VoucherRow.id == PledgeRow.voucher),
        )
        .where(PledgeRow.tenant == tenant, PledgeRow.user_id == user, VoucherRow.closed.is_(False))
        .group_by(PledgeRow.currency)
    )
    return {currency: int(most) for currency, most in await tx.session.execute(query)}


async def set_aside(
    uow: UnitOfWork, policy: OfflinePolicy, caller: Caller, data: CollateralChange, *, key: str
) -> CollateralView:
    """Move available money to the caller's collateral, once for each key.

    Raises:
        UnknownCurrency: this server does not know the currency.
        DebtOutstanding: a debt is paid first.
        InsufficientFunds: the available balance does not cover the amount.
        IdempotencyConflict: the key was used for another request.
    """
    return await _Change(uow, policy, caller, data, key).run("offline.collateral_set", data.amount)


async def take_back(
    uow: UnitOfWork, policy: OfflinePolicy, caller: Caller, data: CollateralChange, *, key: str
) -> CollateralView:
    """Move collateral back to the available balance, once for each key.

    Raises:
        UnknownCurrency: this server does not know the currency.
        CollateralBound: a debt, a double spending or an open voucher depends on it.
        IdempotencyConflict: the key was used for another request.
    """
    change = _Change(uow, policy, caller, data, key)
    return await change.run("offline.collateral_back", -data.amount)


@dataclass(frozen=True, slots=True)
class _Change:
    uow: UnitOfWork
    policy: OfflinePolicy
    caller: Caller
    data: CollateralChange
    key: str

    async def run(self, kind: str, by: int) -> CollateralView:
        async def command(tx: Tx) -> CollateralView:
            await lock_offline(tx, self.caller.tenant)
            return await once(
                tx,
                tenant=self.caller.tenant,
                owner=self.caller.user_id,
                operation=kind,
                key=self.key,
                digest=fingerprint([self.data.amount, self.data.currency]),
                answer_type=CollateralView,
                work=lambda: self._move(tx, kind, by),
            )

        return await run_settling(self.uow, self.caller.tenant, command)

    async def _move(self, tx: Tx, kind: str, by: int) -> CollateralView:
        tenant, user, currency = self.caller.tenant, self.caller.user_id, self.data.currency
        limits = (await policy_in_force(tx, tenant, self.policy)).limits(currency)
        row = await account_row(tx, tenant, user, currency)
        if by > 0:
            _refuse_debtor(row)
        else:
            await _check_free(tx, row, -by)
        aside, free = AccountKind.USER_COLLATERAL, AccountKind.USER_AVAILABLE
        debit, credit = (free, aside) if by > 0 else (aside, free)
        book = Book(tenant, currency)
        entry = book.decided(
            kind,
            debit,
            credit,
            abs(by),
            entry=book.entry_id(kind, user, self.key),
            user=user,
        )
        for outcome in await post_many(tx, [entry]):
            outcome.raise_for_refusal()
        row.collateral += by
        await tx.session.flush()
        body = {
            "amount": by,
            "total": row.collateral,
            "currency": currency,
            "entries": [str(entry.id)],
        }
        await tell(tx, tenant, [Event(EventType.COLLATERAL_CHANGED, user, body)])
        found = (await collateral_of(tx, tenant, user)).get(currency, Collateral())
        return view_of(currency, found, limits.balance_with(found.set_aside - found.used))


def view_of(currency: str, found: Collateral, balance_max: int) -> CollateralView:
    return CollateralView(
        currency=currency,
        set_aside=found.set_aside,
        used=found.used,
        needed=found.needed,
        free=found.free,
        balance_max=balance_max,
    )


def _refuse_debtor(row: AccountRow) -> None:
    if standing_of(row).outstanding:
        raise DebtOutstanding(
            "You owe for value that was spent twice.",
            fix="Add money to your account; the debt is taken from it, then try again.",
        )


async def _check_free(tx: Tx, row: AccountRow, amount: int) -> None:
    """Refuse to let go what something depends on."""
    bound_by = None
    if standing_of(row).outstanding:
        bound_by = "debt"
    elif await _cheats_in_open_vouchers(tx, row):
        bound_by = "conflict"
    else:
        found = (await collateral_of(tx, row.tenant, row.user_id)).get(row.currency, Collateral())
        if amount <= found.free:
            return
        bound_by = "vouchers" if amount <= found.set_aside - found.used else "amount"
    raise CollateralBound(
        {
            "debt": "You owe for value that was spent twice.",
            "conflict": "A double spending of yours is in a voucher that is not closed yet.",
            "vouchers": "Vouchers that are not closed yet were issued because of it.",
            "amount": "You have not set aside so much.",
        }[bound_by],
        fix="GET /v1/offline/collateral says what is free; vouchers are closed at their claim-by.",
        bound_by=bound_by,
    )


async def _cheats_in_open_vouchers(tx: Tx, row: AccountRow) -> bool:
    return await _cheats_where_known(tx, row) or await _cheats_somewhere(tx, row)


async def _cheats_somewhere(tx: Tx, row: AccountRow) -> bool:
    """Whether a double spending is proved whose voucher may be any that was issued before it."""
    query = select(func.max(ConflictRow.found_at)).where(
        ConflictRow.tenant == row.tenant,
        ConflictRow.user_id == row.user_id,
        ConflictRow.kind == "fork",
        ConflictRow.root.is_(None),
    )
    found_at = await tx.session.scalar(query)
    if found_at is None:
        return False
    may_be = exists().where(
        VoucherRow.tenant == row.tenant,
        VoucherRow.currency == row.currency,
        VoucherRow.closed.is_(False),
        VoucherRow.issued_at <= int(found_at.timestamp()),
    )
    return bool(await tx.session.scalar(select(may_be)))


async def _cheats_where_known(tx: Tx, row: AccountRow) -> bool:
    query = select(
        exists()
        .where(ConflictRow.tenant == row.tenant, ConflictRow.user_id == row.user_id)
        .where(ConflictRow.kind == "fork", VoucherRow.tenant == ConflictRow.tenant)
        .where(VoucherRow.id == ConflictRow.root, VoucherRow.closed.is_(False))
        .where(VoucherRow.currency == row.currency)
    )
    return bool(await tx.session.scalar(query))
