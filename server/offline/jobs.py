"""Later work: closing vouchers at claim-by, and taking what debtors got in the meantime."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select

from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, balance
from server.offline.domain import DEFAULT_POLICY, OfflinePolicy
from server.offline.events import lock_offline, tell
from server.offline.models import AccountRow, VoucherRow, WaitingRow
from server.offline.owners import Owners
from server.offline.records import Grove
from server.offline.settlement import Settler, run_settling

BATCH_MAX = 50
_Debtor = tuple[int, UUID, str]


async def close_due_roots(uow: UnitOfWork, policy: OfflinePolicy = DEFAULT_POLICY) -> int:
    """Settle for good every voucher whose claim-by has come; return how many.

    Value that nobody claimed is credited to its last known owner, so that a lost phone costs time
    but no money. Ends by asking debtors (see `collect_debts`).
    """
    closed = 0
    while True:
        tenants = await uow.read(_tenants_with_due)
        for tenant in tenants:
            closed += await run_settling(
                uow,
                tenant,
                lambda tx, tenant=tenant: _close(tx, tenant, policy),  # type: ignore[misc]
            )
        if not tenants:
            break
    await collect_debts(uow, policy)
    return closed


async def collect_debts(uow: UnitOfWork, policy: OfflinePolicy = DEFAULT_POLICY) -> int:
    """Take debts from users who have money again; return from how many.

    What is recovered goes to victims who were paid short, then relieves the issuer's loss, then
    goes back to the guarantee fund.
    """
    debtors = await uow.read(_debtors_with_money)
    for tenant, user, currency in debtors:
        await run_settling(
            uow,
            tenant,
            lambda tx, tenant=tenant, user=user, currency=currency: _settle(  # type: ignore[misc]
                tx, tenant, policy, (), [(user, currency)]
            ),
        )
    return len(debtors)


async def _tenants_with_due(tx: Tx) -> Sequence[int]:
    query = (
        select(VoucherRow.tenant)
        .where(VoucherRow.closed.is_(False), VoucherRow.claim_by <= int(tx.now.timestamp()))
        .distinct()
        .order_by(VoucherRow.tenant)
    )
    return (await tx.session.scalars(query)).all()


async def _close(tx: Tx, tenant: int, policy: OfflinePolicy) -> int:
    await lock_offline(tx, tenant)
    query = (
        select(VoucherRow.id)
        .where(
            VoucherRow.tenant == tenant,
            VoucherRow.closed.is_(False),
            VoucherRow.claim_by <= int(tx.now.timestamp()),
        )
        .order_by(VoucherRow.claim_by, VoucherRow.id)
        .limit(BATCH_MAX)
    )
    roots = (await tx.session.scalars(query)).all()
    await _settle(tx, tenant, policy, roots, ())
    # Whatever waited longer than any voucher lives waits for nothing.
    oldest = tx.now - policy.spend_by - policy.claim_after
    await tx.session.execute(
        delete(WaitingRow).where(WaitingRow.tenant == tenant, WaitingRow.received_at < oldest)
    )
    return len(roots)


async def _settle(
    tx: Tx,
    tenant: int,
    policy: OfflinePolicy,
    roots: Sequence[bytes],
    debtors: Sequence[tuple[UUID, str]],
) -> None:
    await lock_offline(tx, tenant)
    settler = Settler(tx, tenant, policy, Grove(), Owners(tx, tenant))
    await settler.settle(roots, debtors)
    await tell(tx, tenant, settler.events)


async def _debtors_with_money(tx: Tx) -> list[_Debtor]:
    query = (
        select(AccountRow)
        .where(AccountRow.owed - AccountRow.recovered + AccountRow.overdrawn > 0)
        .order_by(AccountRow.tenant, AccountRow.user_id, AccountRow.currency)
    )
    found = []
    for row in await tx.session.scalars(query):
        ref = AccountRef(AccountKind.USER_AVAILABLE, row.currency, row.user_id, row.tenant)
        if (await balance(tx, ref)).available > 0:
            found.append((row.tenant, row.user_id, row.currency))
    return found
