"""What people decided about banks and their money, and what waits for them to look at it."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Select, insert, select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.payments.banks.models import BankBreakRow, BankDeedRow

OPEN, CLOSED = "open", "closed"
_PAGE_MAX: Final = 100
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Officer:
    """Whoever decides. Without ``id`` it is nobody's account."""

    id: UUID | None
    name: str


OPERATOR: Final = Officer(None, "operator")
"""Somebody at the command line of the server."""


async def officer_of(tx: Tx, caller: Caller) -> Officer:
    user = await find_user(tx, caller.tenant, caller.user_id)
    return Officer(user.id, user.username)


async def record_deed(
    tx: Tx,
    tenant: int,
    by: Officer,
    action: str,
    *,
    subject: str,
    reason: str,
    **detail: object,
) -> None:
    """Keep a deed for ever, in the transaction of the deed itself, and say it to the log."""
    await tx.connection.execute(
        insert(BankDeedRow).values(
            tenant=tenant,
            id=tx.ids.uuid(),
            at=tx.now,
            actor=by.id,
            actor_name=by.name,
            action=action,
            subject=subject,
            reason=reason,
            detail=detail,
        )
    )
    _log.info("bank_deed", action=action, subject=subject, by=by.name, reason=reason)


async def list_break(
    tx: Tx, tenant: int, bank: UUID, kind: str, *, subject: str, **detail: object
) -> None:
    """Put something that does not fit on the officers' list."""
    await tx.connection.execute(
        insert(BankBreakRow).values(
            tenant=tenant,
            id=tx.ids.uuid(),
            bank=bank,
            kind=kind,
            subject=subject,
            detail=detail,
            state=OPEN,
            note=None,
            at=tx.now,
            closed_at=None,
        )
    )
    _log.warning("bank_break", kind=kind, bank=str(bank), subject=subject)


async def list_once(tx: Tx, tenant: int, bank: UUID, kind: str, *, subject: str) -> None:
    """Put something on the list unless it is there and open."""
    if not list(await tx.session.scalars(_listed(tenant, bank, kind, subject))):
        await list_break(tx, tenant, bank, kind, subject=subject)


async def close_listed(tx: Tx, tenant: int, bank: UUID, kind: str, subject: str) -> None:
    """Close what came right by itself."""
    for row in await tx.session.scalars(_listed(tenant, bank, kind, subject)):
        row.state, row.note, row.closed_at = CLOSED, "came right by itself", tx.now
    await tx.session.flush()


async def open_breaks(tx: Tx, tenant: int, *, limit: int = _PAGE_MAX) -> list[BankBreakRow]:
    """Return what is open, the oldest first."""
    rows = await tx.session.scalars(
        select(BankBreakRow)
        .where(BankBreakRow.tenant == tenant, BankBreakRow.state == OPEN)
        .order_by(BankBreakRow.at, BankBreakRow.id)
        .limit(limit)
    )
    return list(rows)


async def close_break(
    tx: Tx, tenant: int, by: Officer, break_id: UUID, *, note: str
) -> BankBreakRow:
    """Close a break with a word on what it was; closing it again changes nothing.

    Raises:
        NotFound: there is no such break.
    """
    row = await tx.session.get(BankBreakRow, (tenant, break_id), with_for_update=True)
    if row is None:
        raise NotFound("There is no such break.")
    if row.state == OPEN:
        row.state, row.note, row.closed_at = CLOSED, note, tx.now
        await record_deed(tx, tenant, by, "break_closed", subject=f"break/{row.id}", reason=note)
        await tx.session.flush()
    return row


def _listed(tenant: int, bank: UUID, kind: str, subject: str) -> Select[BankBreakRow]:
    return select(BankBreakRow).where(
        BankBreakRow.tenant == tenant,
        BankBreakRow.state == OPEN,
        BankBreakRow.bank == bank,
        BankBreakRow.kind == kind,
        BankBreakRow.subject == subject,
    )
