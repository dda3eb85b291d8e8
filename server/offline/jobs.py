"""Later work: closing vouchers at claim-by, asking debtors, checking the books once a day."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select

from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger import AccountKind, AccountRef, balance
from server.offline.book_checks import find_breaks
from server.offline.domain import DEFAULT_POLICY, OfflinePolicy
from server.offline.errors import SettlementUnsound
from server.offline.events import lock_offline, tell, turn_of
from server.offline.models import AccountRow, VoucherRow, WaitingRow
from server.offline.oversight_models import CheckRow
from server.offline.owners import Owners
from server.offline.policy import policy_in_force
from server.offline.records import Grove
from server.offline.settlement import Settler, run_settling

BATCH_MAX = 50
DUE_MAX = 10_000
"""Vouchers of a tenant that one round closes at most."""
REFUSALS_MAX = 20
"""Refused settlements of one currency after which a round leaves the others to the next one."""
CHECK_EVERY = timedelta(days=1)
_log = get_logger(__name__)
_Debtor = tuple[int, UUID, str]


async def close_due_roots(uow: UnitOfWork, policy: OfflinePolicy = DEFAULT_POLICY) -> int:
    """Settle for good every voucher whose claim-by has come; return how many.

    Value that nobody claimed is credited to its last known owner, so that a lost phone costs time
    but no money. A voucher that cannot be settled keeps no other from it; it is tried again the
    next time. Ends by asking debtors (see `collect_debts`). ``policy`` is that of tenants which
    have stored none.
    """
    closed = 0
    for tenant in await uow.read(_tenants_with_due):
        due = await uow.read(lambda tx, tenant=tenant: _due(tx, tenant))  # type: ignore[misc]
        for roots in due.values():
            closed += await _close_all(uow, tenant, policy, roots)
    await collect_debts(uow, policy)
    return closed


async def _close_all(
    uow: UnitOfWork, tenant: int, policy: OfflinePolicy, roots: Sequence[bytes]
) -> int:
    """Close due roots of one currency; where some are refused, each of that batch by itself."""
    parts = [roots[start : start + BATCH_MAX] for start in range(0, len(roots), BATCH_MAX)]
    closed = refused = 0
    while parts and refused < REFUSALS_MAX:
        part = parts.pop()
        try:
            await run_settling(
                uow,
                tenant,
                lambda tx, part=part: _close(tx, tenant, policy, part),  # type: ignore[misc]
            )
        except SettlementUnsound:
            refused += 1
            parts += [[root] for root in part] if len(part) > 1 else []
        else:
            closed += len(part)
    return closed


async def collect_debts(uow: UnitOfWork, policy: OfflinePolicy = DEFAULT_POLICY) -> int:
    """Take debts from users who have money again; return from how many.

    What is recovered goes to victims who were paid short, then relieves the issuer's loss, then
    goes back to the guarantee fund.
    """
    debtors = await uow.read(_debtors_with_money)
    asked = 0
    for tenant, user, currency in debtors:
        try:
            await run_settling(
                uow,
                tenant,
                lambda tx, tenant=tenant, user=user, currency=currency: settle_anew(  # type: ignore[misc]
                    tx, tenant, policy, debtors=[(user, currency)]
                ),
            )
        except SettlementUnsound:
            continue
        asked += 1
    return asked


async def check_books_daily(uow: UnitOfWork, tenant: int) -> bool | None:
    """Check all books of a tenant once a day; return whether they agree, or None when it was done.

    What is found is kept and logged; nothing is mended.
    """

    async def due(tx: Tx) -> bool:
        last = await tx.session.scalar(
            select(func.max(CheckRow.at)).where(CheckRow.tenant == tenant)
        )
        return last is None or last <= tx.now - CHECK_EVERY

    if not await uow.read(due):
        return None
    breaks = await uow.read(lambda tx: find_breaks(tx, tenant))
    findings = [asdict(each) for each in breaks]

    async def keep(tx: Tx) -> None:
        await lock_offline(tx, tenant)
        if await due(tx):
            tx.session.add(
                CheckRow(tenant=tenant, at=tx.now, sound=not findings, findings=findings)
            )

    await uow.run(keep, turn=turn_of(tenant))
    if findings:
        _log.error("offline_books_wrong", tenant=tenant, breaks=len(findings), first=findings[0])
    return not findings


async def _tenants_with_due(tx: Tx) -> Sequence[int]:
    query = (
        select(VoucherRow.tenant)
        .where(VoucherRow.closed.is_(False), VoucherRow.claim_by <= int(tx.now.timestamp()))
        .distinct()
        .order_by(VoucherRow.tenant)
    )
    return (await tx.session.scalars(query)).all()


async def _due(tx: Tx, tenant: int) -> dict[str, list[bytes]]:
    """Return the vouchers of a tenant that are to be closed, by currency."""
    query = (
        select(VoucherRow.currency, VoucherRow.id)
        .where(
            VoucherRow.tenant == tenant,
            VoucherRow.closed.is_(False),
            VoucherRow.claim_by <= int(tx.now.timestamp()),
        )
        .order_by(VoucherRow.claim_by, VoucherRow.id)
        .limit(DUE_MAX)
    )
    due: dict[str, list[bytes]] = {}
    for currency, root in await tx.session.execute(query):
        due.setdefault(currency, []).append(root)
    return due


async def _close(tx: Tx, tenant: int, policy: OfflinePolicy, roots: Sequence[bytes]) -> None:
    rules = await settle_anew(tx, tenant, policy, roots=roots)
    # Whatever waited longer than any voucher lives waits for nothing.
    oldest = tx.now - rules.spend_by - rules.claim_after
    await tx.session.execute(
        delete(WaitingRow).where(WaitingRow.tenant == tenant, WaitingRow.received_at < oldest)
    )


async def settle_anew(
    tx: Tx,
    tenant: int,
    policy: OfflinePolicy,
    *,
    roots: Collection[bytes] = (),
    debtors: Sequence[tuple[UUID, str]] = (),
) -> OfflinePolicy:
    """Settle vouchers and debtors by what is known, and tell those whom it concerns.

    Returns:
        The policy in force, which is ``policy`` where the tenant has stored none.
    """
    await lock_offline(tx, tenant)
    rules = await policy_in_force(tx, tenant, policy)
    settler = Settler(tx, tenant, rules, Grove(), Owners(tx, tenant))
    await settler.settle(roots, debtors)
    await tell(tx, tenant, settler.events)
    return rules


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
