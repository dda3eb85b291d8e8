"""Where the open days begin."""

from sqlalchemy import func, select

from server.kit.unit_of_work import Tx
from server.ledger.book_guards import DAY_US
from server.ledger.book_models import DayCutoffRow


async def first_open(tx: Tx, tenant: int) -> int:
    """Return the first instant at which something may still take effect, in microseconds."""
    day = await tx.connection.scalar(
        select(func.max(DayCutoffRow.day)).where(DayCutoffRow.tenant == tenant)
    )
    return 0 if day is None else (int(day) + 1) * DAY_US
