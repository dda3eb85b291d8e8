"""Who is calling: checks an access token, its session, its device, and the proof of its key.

The session is looked up at each call, so what has ended is over at once and not when its token is.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select, update

from server.identity.calls import call_facts, proof_header
from server.identity.domain import DeviceStatus
from server.identity.errors import (
    DeviceInactive,
    ProofInvalid,
    ProofReplayed,
    SessionEnded,
    TokenInvalid,
)
from server.identity.models import DeviceRow, SessionRow, UserRow
from server.identity.nonces import remember_proof
from server.identity.proofs import Proof, verify_proof
from server.identity.settings import DEFAULT_POLICY, IdentityPolicy, Installation
from server.identity.signals import Signal, record_signal
from server.identity.signing_keys import PublicKeys
from server.identity.tokens import TOKEN_MAX, AccessClaims, key_id_of, verify_access_token
from server.kit.auth import Caller, Connection
from server.kit.clock import Clock
from server.kit.crypto import Vault
from server.kit.errors import Unauthenticated
from server.kit.unit_of_work import Tx, UnitOfWork

_SIGN_IN: Final = "Sign in with POST /v1/sessions."


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a call shows about its sender, checked as far as that needs no database."""

    claims: AccessClaims
    proof: Proof | None


@dataclass(frozen=True, slots=True)
class _Verdict:
    answer: Caller | Unauthenticated
    signal: Signal | None = None
    is_stale: bool = False
    """The session's last use is to be stored anew."""

    @property
    def leaves_trace(self) -> bool:
        return self.signal is not None or self.is_stale


class SessionAuthenticator:
    """Implements `server.kit.auth.Authenticator`."""

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        settings: Installation,
        vault: Vault,  # noqa: ARG002 - verifying needs no secret
        clock: Clock,
        policy: IdentityPolicy = DEFAULT_POLICY,
    ) -> None:
        self._uow = uow
        self._settings = settings
        self._clock = clock
        self._policy = policy
        self._keys = PublicKeys(uow, settings.tenant)

    async def authenticate(self, connection: Connection, body: bytes) -> Caller | None:
        """Return the caller, or None when no token was shown.

        Raises:
            TokenInvalid, TokenExpired: the token.
            SessionEnded, DeviceInactive: what it stands for.
            ProofInvalid, ProofOutOfTime, ProofReplayed: the proof of its key.
        """
        headers = connection.headers.getall("authorization", [])
        if not headers:
            return None
        scheme, _, token = headers[0].partition(" ")
        if len(headers) > 1 or scheme.lower() not in {"bearer", "dpop"} or len(token) > TOKEN_MAX:
            raise TokenInvalid(
                "The Authorization header is not 'Bearer' or 'DPoP' and one token.", fix=_SIGN_IN
            )
        public_raw = await self._keys.find(key_id_of(token))
        if public_raw is None:
            raise TokenInvalid("The token was signed with an unknown key.", fix=_SIGN_IN)
        now = self._clock.now()
        claims = verify_access_token(token, public_raw, now=now)
        proof = None
        if scheme.lower() == "dpop":
            proof = verify_proof(
                proof_header(connection) or "",
                call_facts(connection, self._settings, body),
                access_token=token,
                now=now,
                window=self._policy.proof_window,
            )
        return await self._judge(_Shown(claims, proof))

    async def _judge(self, shown: _Shown) -> Caller:
        if shown.proof is None:
            verdict = await self._uow.read(lambda tx: self._look_up(tx, shown))
            if verdict.leaves_trace:
                verdict = await self._uow.run(lambda tx: self._settle(tx, shown))
        else:
            verdict = await self._uow.run(lambda tx: self._settle(tx, shown))
        if isinstance(verdict.answer, Unauthenticated):
            raise verdict.answer
        return verdict.answer

    async def _settle(self, tx: Tx, shown: _Shown) -> _Verdict:
        """Judge and store what has to be remembered, also when the answer is no."""
        verdict = await self._look_up(tx, shown)
        accepted = isinstance(verdict.answer, Caller)
        if accepted and shown.proof is not None:
            tenant = self._settings.tenant
            if not await remember_proof(tx, tenant, shown.proof):
                refusal = ProofReplayed(
                    "This proof was used before.", fix="Sign a new proof for each call."
                )
                verdict = _Verdict(refusal, signal=Signal.PROOF_REPLAYED)
        if verdict.signal is not None:
            await record_signal(
                tx,
                self._settings.tenant,
                verdict.signal,
                user_id=shown.claims.sub,
                session_id=shown.claims.sid,
                detail={"shown": shown.proof.thumbprint if shown.proof else ""},
            )
        if verdict.is_stale:
            await tx.session.execute(
                update(SessionRow)
                .where(
                    SessionRow.tenant == self._settings.tenant, SessionRow.id == shown.claims.sid
                )
                .values(last_seen_at=tx.now)
            )
        return verdict

    async def _look_up(self, tx: Tx, shown: _Shown) -> _Verdict:
        """Compare what is shown with the session, the person and the device."""
        found = (
            await tx.session.execute(
                select(SessionRow, UserRow.role, DeviceRow)
                .join(
                    UserRow,
                    (UserRow.tenant == SessionRow.tenant) & (UserRow.id == SessionRow.user_id),
                )
                .outerjoin(
                    DeviceRow,
                    (DeviceRow.tenant == SessionRow.tenant)
                    & (DeviceRow.id == SessionRow.device_id),
                )
                .where(
                    SessionRow.tenant == self._settings.tenant, SessionRow.id == shown.claims.sid
                )
            )
        ).one_or_none()
        if found is None:
            return _Verdict(SessionEnded("The session has ended.", fix=_SIGN_IN))
        session, role, device = found
        over = session.ended_at is not None or session.expires_at <= tx.now
        if over or session.user_id != shown.claims.sub:
            return _Verdict(SessionEnded("The session has ended.", fix=_SIGN_IN))
        if refusal := _key_refusal(shown, session.key_thumbprint):
            return refusal
        if device is not None and device.status != DeviceStatus.ACTIVE:
            return _Verdict(
                DeviceInactive(
                    f"The device is {device.status}.",
                    fix="Resume it from another session, or sign in on another device.",
                    device_status=device.status,
                )
            )
        caller = Caller(
            tenant=session.tenant,
            user_id=session.user_id,
            session_id=session.id,
            role=role,
            device_id=session.device_id,
            device_key=device.public_key if device is not None else None,
        )
        is_stale = session.last_seen_at <= tx.now - self._policy.last_seen_step
        return _Verdict(caller, is_stale=is_stale)


def _key_refusal(shown: _Shown, session_key: str | None) -> _Verdict | None:
    token_key = shown.claims.cnf.jkt if shown.claims.cnf else None
    if token_key is None and shown.proof is not None:
        return _Verdict(
            ProofInvalid(
                "The access token is not bound to a key.", fix="Send it as 'Bearer', without DPoP."
            )
        )
    shown_key = shown.proof.thumbprint if shown.proof else None
    if shown_key != token_key:
        return _Verdict(
            ProofInvalid(
                "The access token is bound to the key of another device.",
                fix="Send it as 'DPoP' with a proof of the key it was issued to.",
            ),
            signal=Signal.TOKEN_WRONG_KEY,
        )
    if token_key != session_key:
        return _Verdict(
            TokenInvalid(
                "The session has been bound to a device since this token was issued.",
                fix="Use the tokens that the enrolment answered with, or sign in again.",
            )
        )
    return None
