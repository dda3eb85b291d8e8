"""Refreshing: a refresh token works once, and what a second use means.

The token that follows is worked out, not stored, so a device whose answer was lost gets the very
same one again, for ten seconds and with a proof of its key. Any other second use shows that two
parties hold the token: the session ends and its owner is told.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select, update

from server.identity.desk import Desk
from server.identity.domain import DeviceStatus, SessionEnd
from server.identity.errors import (
    DeviceInactive,
    ProofInvalid,
    ProofReplayed,
    RefreshTokenInvalid,
    SessionEnded,
)
from server.identity.models import DeviceRow, RefreshTokenRow, SessionRow
from server.identity.nonces import remember_proof
from server.identity.notices import notify_user
from server.identity.proofs import CallFacts, Proof, verify_proof
from server.identity.schemas import SessionTokens
from server.identity.session_tokens import end_sessions, store_refresh_token, tokens_with
from server.identity.signals import Signal, record_signal
from server.identity.tokens import REFRESH_BYTES, refresh_successor, token_digest
from server.kit.clock import Clock
from server.kit.errors import InvalidRequest, Unauthenticated
from server.kit.schema import from_base64url
from server.kit.unit_of_work import Tx

_SIGN_IN: Final = "Sign in with POST /v1/sessions."


@dataclass(frozen=True, slots=True)
class _Offer:
    token: bytes
    proof: Proof | None


async def refresh_session(
    desk: Desk, clock: Clock, refresh_token: str, call: CallFacts, proof_header: str | None
) -> SessionTokens:
    """Exchange a refresh token for fresh tokens.

    Raises:
        RefreshTokenInvalid: unknown, expired, or used before.
        ProofInvalid, ProofOutOfTime, ProofReplayed: the session is bound to a key and this call
            does not show it.
        SessionEnded, DeviceInactive: the session is over, or its device may not call.
    """
    try:
        token = from_base64url(refresh_token, field="refresh_token", size_max=REFRESH_BYTES)
    except InvalidRequest:
        raise _unknown() from None
    proof = None
    if proof_header is not None:
        proof = verify_proof(
            proof_header,
            call,
            access_token=None,
            now=clock.now(),
            window=desk.policy.proof_window,
        )
    offer = _Offer(token, proof)
    answer = await desk.uow.run(lambda tx: _exchange(tx, desk, offer))
    if isinstance(answer, Unauthenticated):
        raise answer
    return answer


async def _exchange(tx: Tx, desk: Desk, offer: _Offer) -> SessionTokens | Unauthenticated:
    """Rotate in this transaction. A refusal is returned: what it stored has to stay."""
    session = await _session_of(tx, desk, offer.token)
    if session is None:
        return _unknown()
    if refusal := await _not_allowed(tx, desk, session, offer.proof):
        return refusal
    successor = refresh_successor(desk.vault, offer.token)
    taken = await tx.connection.execute(
        update(RefreshTokenRow)
        .where(
            RefreshTokenRow.tenant == desk.tenant,
            RefreshTokenRow.digest == token_digest(offer.token),
            RefreshTokenRow.used_at.is_(None),
            RefreshTokenRow.expires_at > tx.now,
        )
        .values(used_at=tx.now)
        .returning(RefreshTokenRow.session_id)
    )
    if taken.scalar_one_or_none() is not None:
        await store_refresh_token(tx, desk, session, successor)
        session.last_seen_at = tx.now
        return await tokens_with(tx, desk, session, successor)
    if refusal := await _used_or_expired(tx, desk, session, offer.token, successor):
        return refusal
    return await tokens_with(tx, desk, session, successor)


async def _session_of(tx: Tx, desk: Desk, token: bytes) -> SessionRow | None:
    return await tx.session.scalar(
        select(SessionRow)
        .join(
            RefreshTokenRow,
            (RefreshTokenRow.tenant == SessionRow.tenant)
            & (RefreshTokenRow.session_id == SessionRow.id),
        )
        .where(RefreshTokenRow.tenant == desk.tenant, RefreshTokenRow.digest == token_digest(token))
        .with_for_update(of=SessionRow)
    )


async def _not_allowed(
    tx: Tx, desk: Desk, session: SessionRow, proof: Proof | None
) -> Unauthenticated | None:
    """Return why this session may not be refreshed by this caller, whatever the token."""
    if session.ended_at is not None or session.expires_at <= tx.now:
        return SessionEnded("The session has ended.", fix=_SIGN_IN)
    if session.device_id is not None:
        device = await tx.session.get_one(DeviceRow, (session.tenant, session.device_id))
        if device.status != DeviceStatus.ACTIVE:
            return DeviceInactive(f"The device is {device.status}.")
    if session.key_thumbprint is None:
        return None
    if proof is None or proof.thumbprint != session.key_thumbprint:
        await record_signal(
            tx,
            desk.tenant,
            Signal.REFRESH_WRONG_KEY,
            user_id=session.user_id,
            session_id=session.id,
            detail={"shown": proof.thumbprint if proof else ""},
        )
        return ProofInvalid(
            "The session is bound to the key of another device.",
            fix="Send a DPoP proof of the device key, without ath.",
        )
    if not await remember_proof(tx, desk.tenant, proof):
        await record_signal(
            tx,
            desk.tenant,
            Signal.PROOF_REPLAYED,
            user_id=session.user_id,
            session_id=session.id,
        )
        return ProofReplayed("This proof was used before.", fix="Sign a new proof for each call.")
    return None


async def _used_or_expired(
    tx: Tx, desk: Desk, session: SessionRow, token: bytes, successor: bytes
) -> Unauthenticated | None:
    """Say what is wrong with a token that could not be taken; None for the same device again."""
    row = await tx.session.get_one(RefreshTokenRow, (desk.tenant, token_digest(token)))
    if row.used_at is None:
        return _unknown()
    follower = await tx.session.get(RefreshTokenRow, (desk.tenant, token_digest(successor)))
    same_device = session.key_thumbprint is not None and follower is not None
    if same_device and tx.now - row.used_at <= desk.policy.refresh_grace:
        return None
    await end_sessions(tx, desk.tenant, SessionEnd.REFRESH_REUSED, session_id=session.id)
    await record_signal(
        tx, desk.tenant, Signal.REFRESH_REUSED, user_id=session.user_id, session_id=session.id
    )
    await notify_user(
        tx,
        desk,
        session.user_id,
        "We ended one of your sessions",
        f"A sign-in token of the session '{session.name}' was used twice. Somebody may have copied "
        "it, so the session was ended. Sign in again; if you did nothing, change your password.",
    )
    return _unknown()


def _unknown() -> RefreshTokenInvalid:
    return RefreshTokenInvalid("The refresh token is unknown, used or too old.", fix=_SIGN_IN)
