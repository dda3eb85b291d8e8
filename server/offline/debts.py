"""Debts of double spenders as officers see them, and writing them off.

Writing off is bookkeeping and no gift: the user still owes, gets no new offline value, and money
that comes after all is taken as before; the write-off falls with it. A debt that is not the user's
to bear is released by overturning the conflict (see `disputes`).
"""

from uuid import UUID

from sqlalchemy import select, tuple_

from server.kit.unit_of_work import Tx
from server.ledger import post_many
from server.offline.accounts import account_row, standing_of
from server.offline.audit import Officer, record_deed
from server.offline.errors import NothingOwed
from server.offline.events import lock_offline
from server.offline.models import AccountRow
from server.offline.oversight_schemas import DebtView
from server.offline.postings import Book, Recovery


async def debts(
    tx: Tx, tenant: int, *, after: tuple[UUID, str] | None, limit: int
) -> list[DebtView]:
    """Return what users owe, by user and currency; those who owe nothing are left out."""
    query = select(AccountRow).where(
        AccountRow.tenant == tenant,
        AccountRow.owed - AccountRow.recovered + AccountRow.overdrawn > 0,
    )
    if after is not None:
        query = query.where(tuple_(AccountRow.user_id, AccountRow.currency) > after)
    query = query.order_by(AccountRow.user_id, AccountRow.currency).limit(limit)
    return [view_of(row) for row in await tx.session.scalars(query)]


async def standings_of(tx: Tx, tenant: int, user: UUID) -> list[DebtView]:
    """Return a user's standing in every currency, also where nothing is owed."""
    query = select(AccountRow).where(AccountRow.tenant == tenant, AccountRow.user_id == user)
    return [view_of(row) for row in await tx.session.scalars(query.order_by(AccountRow.currency))]


def view_of(row: AccountRow) -> DebtView:
    standing = standing_of(row)
    return DebtView(
        user_id=row.user_id,
        currency=row.currency,
        owed=row.owed,
        recovered=row.recovered,
        from_collateral=row.secured + row.cushioned,
        overdrawn=row.overdrawn,
        outstanding=standing.outstanding,
        written_off=row.written_off,
        collateral=row.collateral,
        fund_promised=row.fund_limit,
    )


async def write_off(
    tx: Tx,
    tenant: int,
    by: Officer,
    *,
    user: UUID,
    currency: str,
    amount: int | None,
    reason: str,
) -> DebtView:
    """Take a debt, or part of one, out of what the books expect.

    Raises:
        NothingOwed: so much is not outstanding, or it is written off already.
        UnknownCurrency: this server does not know the currency.
    """
    await lock_offline(tx, tenant)
    book = Book(tenant, currency)
    row = await account_row(tx, tenant, user, currency)
    before = standing_of(row)
    most = before.outstanding - before.written_off
    wanted = most if amount is None else amount
    if not 0 < wanted <= most:
        raise NothingOwed(
            f"{most} minor units of {currency} are outstanding and not written off.",
            fix="GET /v1/offline/debts says who owes what.",
            most=most,
        )
    row.written_off += wanted
    row.revision += 1
    after = standing_of(row)
    owed = after.written_off_debt - before.written_off_debt
    entries = [
        book.change(leg, user, by_amount, subject="standing", revision=row.revision)
        for leg, by_amount in (
            (Recovery.WRITTEN_OFF, owed),
            (Recovery.WRITTEN_OFF_CREDIT, wanted - owed),
        )
        if by_amount
    ]
    await tx.session.flush()
    for outcome in await post_many(tx, entries):
        outcome.raise_for_refusal()
    await record_deed(
        tx,
        tenant,
        by,
        "debt_written_off",
        subject=f"account/{user}",
        reason=reason,
        amount=wanted,
        currency=currency,
        entries=[str(entry.id) for entry in entries],
    )
    return view_of(row)
