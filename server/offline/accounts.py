"""Rows of users' standings, and the way between a row and a `Standing`."""

from uuid import UUID

from server.kit.unit_of_work import Tx
from server.offline.models import AccountRow
from server.offline.standing import Standing

_KEPT = ("owed", "recovered", "overdrawn", "secured", "cushioned", "written_off")


def empty_account(tenant: int, user: UUID, currency: str) -> AccountRow:
    """Return the row of a user who never had anything to do with offline money."""
    figures = dict.fromkeys((*_KEPT, "collateral", "instant_limit", "fund_limit", "revision"), 0)
    return AccountRow(tenant=tenant, user_id=user, currency=currency, **figures)


async def account_row(tx: Tx, tenant: int, user: UUID, currency: str) -> AccountRow:
    """Return a user's row in a currency; begins one if need be. The caller holds `lock_offline`."""
    row = await tx.session.get(AccountRow, (tenant, user, currency))
    if row is None:
        row = empty_account(tenant, user, currency)
        tx.session.add(row)
        await tx.session.flush()
    return row


def standing_of(row: AccountRow) -> Standing:
    return Standing(**{name: getattr(row, name) for name in _KEPT})


def keep_standing(row: AccountRow, standing: Standing) -> None:
    for name in _KEPT:
        setattr(row, name, getattr(standing, name))
