"""Payee tiers: how much of a credit is final at once, for whom.

An account's tier is its role until a risk officer gives it another.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, select

from server.identity import find_user
from server.kit.unit_of_work import Tx
from server.offline.audit import Officer, record_deed
from server.offline.events import lock_offline
from server.offline.oversight_models import TierRow

_USERS_IN_QUERY = 500


async def tiers_of(tx: Tx, tenant: int, users: Collection[UUID]) -> dict[UUID, str]:
    """Return the tiers that were given to some of these users."""
    names = sorted(users)
    found: dict[UUID, str] = {}
    for start in range(0, len(names), _USERS_IN_QUERY):
        query = select(TierRow.user_id, TierRow.tier).where(
            TierRow.tenant == tenant, TierRow.user_id.in_(names[start : start + _USERS_IN_QUERY])
        )
        found |= dict((await tx.session.execute(query)).all())
    return found


async def give_tier(
    tx: Tx, tenant: int, by: Officer, *, user: UUID, tier: str | None, reason: str
) -> str:
    """Give an account a tier, or with None the one of its role again; return it.

    It counts from the account's next credit on. What was final before stays final.

    Raises:
        NotFound: there is no such person.
    """
    await lock_offline(tx, tenant)
    person = await find_user(tx, tenant, user)
    row = await tx.session.get(TierRow, (tenant, user))
    before = person.role.value if row is None else row.tier
    if tier is None:
        await tx.session.execute(
            delete(TierRow).where(TierRow.tenant == tenant, TierRow.user_id == user)
        )
    else:
        fresh = {"tier": tier, "reason": reason, "set_by": by.name, "set_at": tx.now}
        if row is None:
            tx.session.add(TierRow(tenant=tenant, user_id=user, **fresh))
        else:
            for name, value in fresh.items():
                setattr(row, name, value)
    await tx.session.flush()
    after = tier or person.role.value
    await record_deed(
        tx,
        tenant,
        by,
        "tier_given",
        subject=f"account/{user}",
        reason=reason,
        before=before,
        after=after,
    )
    return after
