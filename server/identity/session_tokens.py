"""The tokens of a session: made at sign-in, at enrolment and at each refresh."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import update

from server.identity.desk import Desk
from server.identity.domain import SessionEnd
from server.identity.models import RefreshTokenRow, SessionRow, UserRow
from server.identity.schemas import SessionTokens
from server.identity.signing_keys import current_signing_key
from server.identity.tokens import (
    AUDIENCE,
    ISSUER,
    LEVEL_DEVICE,
    LEVEL_PASSWORD,
    REFRESH_BYTES,
    AccessClaims,
    Confirmation,
    issue_access_token,
    token_digest,
    unix_seconds,
)
from server.kit.schema import to_base64url
from server.kit.unit_of_work import Tx


async def first_tokens(tx: Tx, desk: Desk, session: SessionRow) -> SessionTokens:
    """Return tokens for a session that begins, or that has just been bound to a device."""
    token = tx.ids.token(REFRESH_BYTES) if session.refreshable else None
    if token is not None:
        await store_refresh_token(tx, desk, session, token)
    return await tokens_with(tx, desk, session, token)


async def tokens_with(
    tx: Tx, desk: Desk, session: SessionRow, refresh_token: bytes | None
) -> SessionTokens:
    """Return a fresh access token beside the given refresh token."""
    life = desk.policy.access_life if session.refreshable else desk.policy.remembered_life
    life = min(life, session.expires_at - tx.now)
    user = await tx.session.get_one(UserRow, (session.tenant, session.user_id))
    bound_to = session.key_thumbprint
    issued_at = unix_seconds(tx.now)
    claims = AccessClaims(
        iss=ISSUER,
        aud=AUDIENCE,
        sub=session.user_id,
        sid=session.id,
        jti=tx.ids.uuid(),
        iat=issued_at,
        exp=issued_at + int(life / timedelta(seconds=1)),
        auth_time=unix_seconds(session.auth_at),
        acr=LEVEL_DEVICE if bound_to else LEVEL_PASSWORD,
        role=user.role,
        cnf=Confirmation(bound_to) if bound_to else None,
    )
    return SessionTokens(
        access_token=issue_access_token(claims, await current_signing_key(tx, desk)),
        token_type="DPoP" if bound_to else "Bearer",
        expires_in=claims.exp - claims.iat,
        refresh_token=to_base64url(refresh_token) if refresh_token else None,
        session_id=str(session.id),
    )


async def store_refresh_token(tx: Tx, desk: Desk, session: SessionRow, token: bytes) -> None:
    tx.session.add(
        RefreshTokenRow(
            tenant=session.tenant,
            digest=token_digest(token),
            session_id=session.id,
            expires_at=min(tx.now + desk.policy.refresh_idle, session.expires_at),
            used_at=None,
        )
    )
    await tx.session.flush()


async def retire_refresh_tokens(tx: Tx, session: SessionRow) -> None:
    """No refresh token that the session has had is good any longer."""
    await tx.session.execute(
        update(RefreshTokenRow)
        .where(
            RefreshTokenRow.tenant == session.tenant,
            RefreshTokenRow.session_id == session.id,
            RefreshTokenRow.used_at.is_(None),
        )
        .values(used_at=tx.now)
    )


async def end_sessions(
    tx: Tx,
    tenant: int,
    reason: SessionEnd,
    *,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
    device_id: UUID | None = None,
) -> int:
    """End the live sessions that fit every given id; return how many. Their tokens die at once."""
    assert user_id or session_id or device_id, "never everybody's"
    given = {"user_id": user_id, "id": session_id, "device_id": device_id}
    ended = await tx.session.execute(
        update(SessionRow)
        .where(SessionRow.tenant == tenant, SessionRow.ended_at.is_(None))
        .where(*(getattr(SessionRow, name) == value for name, value in given.items() if value))
        .values(ended_at=tx.now, end_reason=reason)
        .returning(SessionRow.id)
    )
    return len(ended.all())
