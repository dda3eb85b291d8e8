"""Who is calling: checks an access token, its session, its device, and the proof of its key.

The session is looked up at each call, so what has ended is over at once and not when its token is.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

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
from server.identity.nonces import remember_proofs
from server.identity.proofs import Proof, verify_proof
from server.identity.settings import DEFAULT_POLICY, IdentityPolicy, Installation
from server.identity.signals import Signal, record_signal
from server.identity.signing_keys import PublicKeys
from server.identity.tokens import (
    TOKEN_MAX,
    AccessClaims,
    check_times,
    key_id_of,
    read_access_token,
)
from server.kit.auth import Caller, Connection
from server.kit.clock import Clock
from server.kit.crypto import Vault
from server.kit.errors import TallyError, Unauthenticated
from server.kit.group_commit import GroupCommit
from server.kit.group_read import GroupRead
from server.kit.unit_of_work import Tx, UnitOfWork

_SIGN_IN: Final = "Sign in with POST /v1/sessions."
_TOKENS_KEPT_MAX: Final = 10_000
_FACTS: Final = (
    select(
        SessionRow.id,
        SessionRow.user_id,
        SessionRow.device_id,
        SessionRow.key_thumbprint,
        SessionRow.last_seen_at,
        SessionRow.expires_at,
        SessionRow.ended_at,
        UserRow.role,
        DeviceRow.status,
        DeviceRow.public_key,
    )
    .join(UserRow, (UserRow.tenant == SessionRow.tenant) & (UserRow.id == SessionRow.user_id))
    .outerjoin(
        DeviceRow,
        (DeviceRow.tenant == SessionRow.tenant) & (DeviceRow.id == SessionRow.device_id),
    )
)


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
    """Implements `server.kit.auth.Authenticator`.

    Calls that come in at the same time share a statement, or a transaction where something is to be
    stored. Each is judged by what the database says after it came in.
    """

    def __init__(
        self,
        uow: UnitOfWork,
        *,
        settings: Installation,
        vault: Vault,  # noqa: ARG002 - verifying needs no secret
        clock: Clock,
        policy: IdentityPolicy = DEFAULT_POLICY,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._policy = policy
        self._tokens = _ReadTokens(PublicKeys(uow, settings.tenant))
        self._looking = GroupRead(uow, self._look_up)
        self._settling = GroupCommit(uow, self._settle)

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
        claims = await self._tokens.read(token)
        now = self._clock.now()
        check_times(claims, now)
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
            verdict = await self._looking.ask(shown)
            if not verdict.leaves_trace:
                if isinstance(verdict.answer, Unauthenticated):
                    raise verdict.answer
                return verdict.answer
        return await self._settling.submit(shown)

    async def _settle(self, tx: Tx, shown: Sequence[_Shown]) -> list[Caller | TallyError]:
        """Judge and store what has to be remembered, also when the answer is no."""
        tenant = self._settings.tenant
        verdicts = await self._look_up(tx, shown)
        proven = {
            at: each.proof
            for at, each in enumerate(shown)
            if each.proof is not None and isinstance(verdicts[at].answer, Caller)
        }
        fresh = await remember_proofs(tx, tenant, list(proven.values()))
        for at, first_time in zip(proven, fresh, strict=True):
            if not first_time:
                refusal = ProofReplayed(
                    "This proof was used before.", fix="Sign a new proof for each call."
                )
                verdicts[at] = _Verdict(refusal, signal=Signal.PROOF_REPLAYED)
        for each, verdict in zip(shown, verdicts, strict=True):
            if verdict.signal is not None:
                await record_signal(
                    tx,
                    tenant,
                    verdict.signal,
                    user_id=each.claims.sub,
                    session_id=each.claims.sid,
                    detail={"shown": each.proof.thumbprint if each.proof else ""},
                )
        stale = sorted(
            {
                each.claims.sid
                for each, verdict in zip(shown, verdicts, strict=True)
                if verdict.is_stale
            }
        )
        if stale:
            await tx.connection.execute(
                update(SessionRow)
                .where(SessionRow.tenant == tenant, SessionRow.id.in_(stale))
                .values(last_seen_at=tx.now)
            )
        return [verdict.answer for verdict in verdicts]

    async def _look_up(self, tx: Tx, shown: Sequence[_Shown]) -> list[_Verdict]:
        """Compare what is shown with the sessions, the people and the devices."""
        ids = sorted({each.claims.sid for each in shown})
        # The statement has few lengths, so that it is prepared few times.
        ids += [ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))
        found = await tx.connection.execute(
            _FACTS.where(SessionRow.tenant == self._settings.tenant, SessionRow.id.in_(ids))
        )
        facts = {row.id: row for row in found}
        return [self._verdict(each, facts.get(each.claims.sid), tx.now) for each in shown]

    def _verdict(self, shown: _Shown, facts: Any, now: datetime) -> _Verdict:
        if (
            facts is None
            or facts.ended_at is not None
            or facts.expires_at <= now
            or facts.user_id != shown.claims.sub
        ):
            return _Verdict(SessionEnded("The session has ended.", fix=_SIGN_IN))
        if refusal := _key_refusal(shown, facts.key_thumbprint):
            return refusal
        if facts.device_id is not None and facts.status != DeviceStatus.ACTIVE:
            return _Verdict(
                DeviceInactive(
                    f"The device is {facts.status}.",
                    fix="Resume it from another session, or sign in on another device.",
                    device_status=facts.status,
                )
            )
        caller = Caller(
            tenant=self._settings.tenant,
            user_id=facts.user_id,
            session_id=facts.id,
            role=facts.role,
            device_id=facts.device_id,
            device_key=facts.public_key,
        )
        is_stale = facts.last_seen_at <= now - self._policy.last_seen_step
        return _Verdict(caller, is_stale=is_stale)


class _ReadTokens:
    """Tokens whose signature was checked. It cannot become wrong later; times are for the caller.

    Kept under their hash, so that no list of good tokens lies in memory.
    """

    def __init__(self, keys: PublicKeys) -> None:
        self._keys = keys
        self._known: dict[bytes, AccessClaims] = {}

    async def read(self, token: str) -> AccessClaims:
        """Return what a token says. Raises TokenInvalid when it is none of ours."""
        digest = hashlib.sha256(token.encode()).digest()
        if (claims := self._known.get(digest)) is not None:
            return claims
        public_raw = await self._keys.find(key_id_of(token))
        if public_raw is None:
            raise TokenInvalid("The token was signed with an unknown key.", fix=_SIGN_IN)
        claims = read_access_token(token, public_raw)
        if len(self._known) >= _TOKENS_KEPT_MAX:
            self._known.clear()
        self._known[digest] = claims
        return claims


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
