"""A person's sessions: list, rename, end."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update

from server.identity.desk import Desk
from server.identity.domain import SessionEnd, clean_name
from server.identity.models import SessionRow
from server.identity.schemas import SessionView
from server.identity.session_tokens import end_sessions
from server.kit.auth import Caller
from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx


async def list_sessions(desk: Desk, caller: Caller) -> list[SessionView]:
    """Return the live sessions, the last used first; there are never more than ``sessions_max``."""

    async def query(tx: Tx) -> list[SessionView]:
        rows = await tx.session.scalars(
            select(SessionRow)
            .where(
                SessionRow.tenant == caller.tenant,
                SessionRow.user_id == caller.user_id,
                SessionRow.ended_at.is_(None),
                SessionRow.expires_at > tx.now,
                SessionRow.last_seen_at > tx.now - desk.policy.refresh_idle,
            )
            .order_by(SessionRow.last_seen_at.desc(), SessionRow.id.desc())
            .limit(desk.policy.sessions_max)
        )
        return [session_view(row, caller) for row in rows]

    return await desk.uow.read(query)


async def signed_in_at(tx: Tx, caller: Caller) -> datetime | None:
    """Return when the caller last showed a password in this session; None once it has ended."""
    return await tx.session.scalar(
        select(SessionRow.auth_at).where(
            SessionRow.tenant == caller.tenant,
            SessionRow.id == caller.session_id,
            SessionRow.user_id == caller.user_id,
            SessionRow.ended_at.is_(None),
        )
    )


def session_view(row: SessionRow, caller: Caller) -> SessionView:
    return SessionView(
        id=str(row.id),
        name=row.name,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        current=row.id == caller.session_id,
        device_id=str(row.device_id) if row.device_id else None,
    )


async def rename_session(desk: Desk, caller: Caller, session_id: UUID, name: str) -> SessionView:
    """Give a session another name.

    Raises:
        NotFound: the caller has no such live session.
    """
    name = clean_name(name, field="name")

    async def command(tx: Tx) -> SessionView:
        row = await tx.session.scalar(
            update(SessionRow)
            .where(
                SessionRow.tenant == caller.tenant,
                SessionRow.user_id == caller.user_id,
                SessionRow.id == session_id,
                SessionRow.ended_at.is_(None),
            )
            .values(name=name)
            .returning(SessionRow)
        )
        if row is None:
            raise _no_session()
        return session_view(row, caller)

    return await desk.uow.run(command)


async def end_session(desk: Desk, caller: Caller, session_id: UUID) -> None:
    """End one session of the caller; its tokens die at once.

    Raises:
        NotFound: the caller has no such live session.
    """
    own = session_id == caller.session_id
    reason = SessionEnd.SIGNED_OUT if own else SessionEnd.ENDED_REMOTELY
    ended = await desk.uow.run(
        lambda tx: end_sessions(
            tx, caller.tenant, reason, user_id=caller.user_id, session_id=session_id
        )
    )
    if not ended:
        raise _no_session()


async def end_all_sessions(desk: Desk, caller: Caller) -> None:
    """End every session of the caller, this one too."""
    await desk.uow.run(
        lambda tx: end_sessions(
            tx, caller.tenant, SessionEnd.ENDED_REMOTELY, user_id=caller.user_id
        )
    )


def _no_session() -> NotFound:
    return NotFound("You have no such session.", fix="GET /v1/sessions lists yours.")
