"""What people decided about offline money: who, what, when and why; kept for ever.

Written in the transaction of the deed itself, and to the log. A line of the log alone could be
lost, and a row alone would wake nobody.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import func, insert, select

from server.identity import find_user
from server.kit.auth import Caller
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.offline.oversight_models import AuditRow

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Officer:
    """Whoever decides. Without ``id`` it is nobody's account."""

    id: UUID | None
    name: str


OPERATOR: Final = Officer(None, "operator")
"""Somebody at the command line of the server."""
SERVER: Final = Officer(None, "server")


async def officer_of(tx: Tx, caller: Caller) -> Officer:
    """Return the caller by the name that they have now."""
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
) -> int:
    """Keep a deed; return its number. The caller holds `lock_offline`."""
    last = await tx.session.scalar(select(func.max(AuditRow.seq)).where(AuditRow.tenant == tenant))
    seq = (last or 0) + 1
    await tx.connection.execute(
        insert(AuditRow).values(
            tenant=tenant,
            seq=seq,
            at=tx.now,
            actor=by.id,
            actor_name=by.name,
            action=action,
            subject=subject,
            reason=reason,
            detail=detail,
        )
    )
    _log.info(
        "offline_deed", action=action, subject=subject, by=by.name, audit_seq=seq, reason=reason
    )
    return seq
