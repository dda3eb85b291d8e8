"""Reading the audit."""

from sqlalchemy import select

from server.kit.unit_of_work import Tx
from server.offline.oversight_models import AuditRow
from server.offline.oversight_schemas import DeedView


async def deeds(
    tx: Tx, tenant: int, *, before: int | None, subject: str | None, limit: int
) -> list[DeedView]:
    """Return deeds, the newest first; with ``subject`` only those about it."""
    query = select(AuditRow).where(AuditRow.tenant == tenant)
    if before is not None:
        query = query.where(AuditRow.seq < before)
    if subject is not None:
        query = query.where(AuditRow.subject == subject)
    rows = await tx.session.scalars(query.order_by(AuditRow.seq.desc()).limit(limit))
    return [_view(row) for row in rows]


async def deeds_about(tx: Tx, tenant: int, subject: str, *, limit: int) -> list[DeedView]:
    """Return what was done to something, the oldest first."""
    query = (
        select(AuditRow)
        .where(AuditRow.tenant == tenant, AuditRow.subject == subject)
        .order_by(AuditRow.seq)
        .limit(limit)
    )
    return [_view(row) for row in await tx.session.scalars(query)]


def _view(row: AuditRow) -> DeedView:
    return DeedView(**{name: getattr(row, name) for name in DeedView.__struct_fields__})
