"""Holds over time: what is open, and ending what has run out.

Nothing depends on the sweep: an expired hold cannot be captured, does not count as held, and ends
with the next command on its account. The sweep stores the event also where no command comes.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select

from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger.chart import AccountRef
from server.ledger.domain import HoldState
from server.ledger.entries import expire_due
from server.ledger.models import HoldRow

SWEEP_MAX = 500
HOLDS_MAX = 1000


@dataclass(frozen=True, slots=True)
class OpenHold:
    id: UUID
    amount: int
    taken: int
    expires_at: datetime | None
    placed_at: datetime

    @property
    def rest(self) -> int:
        return self.amount - self.taken


async def open_holds(tx: Tx, ref: AccountRef, *, limit: int = HOLDS_MAX) -> list[OpenHold]:
    """Return the holds on an account that can still be captured, oldest first."""
    rows = await tx.connection.execute(
        select(HoldRow.id, HoldRow.amount, HoldRow.taken, HoldRow.expires_at, HoldRow.at)
        .where(
            HoldRow.tenant == ref.tenant,
            HoldRow.debit == ref.id,
            HoldRow.state == HoldState.OPEN.value,
            or_(HoldRow.expires_at.is_(None), HoldRow.expires_at > tx.now),
        )
        .order_by(HoldRow.at, HoldRow.id)
        .limit(min(limit, HOLDS_MAX))
    )
    return [OpenHold(*row) for row in rows]


async def expire_holds(uow: UnitOfWork, *, tenant: int = 1, limit: int = SWEEP_MAX) -> int:
    """End holds whose time ran out, on up to ``limit`` accounts; return how many ended."""

    async def sweep(tx: Tx) -> int:
        due = await tx.connection.scalars(
            select(HoldRow.debit)
            .where(
                HoldRow.tenant == tenant,
                HoldRow.state == HoldState.OPEN.value,
                HoldRow.expires_at <= tx.now,
            )
            .order_by(HoldRow.expires_at)
            .limit(limit)
        )
        accounts = list(set(due))
        return await expire_due(tx, tenant, accounts) if accounts else 0

    return await uow.run(sweep)
