"""Signing in with a password.

Unknown, wrong and paused get one answer at one cost. A guess is counted before it is looked at, so
guesses made at the same time share no count, and while sign-in pauses the right password gets the
same answer as a wrong one: otherwise the pause would not slow down guessing at all. The owner is
told about the pause by message.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import exists, select, update

from server.identity.addresses import Identifier, address_index, identify
from server.identity.counters import forget_guesses, take_guess
from server.identity.desk import Desk
from server.identity.domain import ContactKind, SessionEnd, clean_name
from server.identity.errors import ContactUnconfirmed, SignInFailed
from server.identity.models import ContactRow, SessionRow, UserRow
from server.identity.notices import notify_user
from server.identity.schemas import SessionCreate, SessionTokens
from server.identity.session_tokens import end_sessions, first_tokens
from server.kit.unit_of_work import Tx

_PAUSED: Final = (
    "After several wrong passwords, sign-in to your account pauses for a while; until then "
    "even the right password is refused. If it was not you, choose a longer password."
)


@dataclass(frozen=True, slots=True)
class _Attempt:
    subject: bytes
    allowed: bool
    user_id: UUID | None
    password_hash: str | None


async def sign_in(desk: Desk, data: SessionCreate) -> SessionTokens:
    """Open a session.

    Raises:
        SignInFailed: unknown, wrong, or paused after wrong guesses.
        ContactUnconfirmed: the password is right, but nothing has been confirmed yet.
        NameInvalid: the device's name cannot be shown.
        Unavailable: too many people sign in at the moment.
    """
    name = clean_name(data.device_name, field="device_name")
    identifier = identify(data.identifier, desk.settings.phone_region)
    with desk.passwords.place():
        tokens = await _sign_in(desk, data, identifier, name)
    if tokens is None:
        raise ContactUnconfirmed(
            "Neither the phone number nor the e-mail address has been confirmed.",
            fix="Enter the code from the SMS, or open the link in the e-mail.",
        )
    return tokens


async def _sign_in(
    desk: Desk, data: SessionCreate, identifier: Identifier, name: str
) -> SessionTokens | None:
    attempt = await desk.uow.run(lambda tx: _begin(tx, desk, identifier))
    stored = attempt.password_hash if attempt.allowed else None
    right = await desk.passwords.verify(data.password, stored)
    if not right or attempt.user_id is None or stored is None:
        raise SignInFailed(
            "Nobody with this name has this password, or too many wrong ones were tried.",
            fix="Check both. After several wrong tries wait, up to an hour, and try again.",
        )
    fresh_hash = None
    if desk.passwords.is_outdated(stored):
        fresh_hash = await desk.passwords.hash(data.password)
    signed_in = _SignedIn(attempt.user_id, attempt.subject, stored, fresh_hash, name, data.remember)
    return await desk.uow.run(lambda tx: _open_session(tx, desk, signed_in))


@dataclass(frozen=True, slots=True)
class _SignedIn:
    user_id: UUID
    subject: bytes
    stored: str
    fresh_hash: str | None
    name: str
    remember: bool


async def _begin(tx: Tx, desk: Desk, identifier: Identifier) -> _Attempt:
    """Count the guess; it is one person's however they are named."""
    user = await _find(tx, desk, identifier)
    whom = str(user.id) if user else f"{identifier.kind}/{identifier.value}"
    subject = desk.vault.blind_index(whom, "identity.guess")
    guess = await take_guess(tx, desk.tenant, subject, desk.policy)
    if user is None:
        return _Attempt(subject, guess.allowed, None, None)
    if guess.began_pause:
        await notify_user(tx, desk, user.id, "Sign-in to your account pauses", _PAUSED)
    return _Attempt(subject, guess.allowed, user.id, user.password_hash)


async def _find(tx: Tx, desk: Desk, identifier: Identifier) -> UserRow | None:
    query = select(UserRow).where(UserRow.tenant == desk.tenant)
    match identifier.kind:
        case "unknown":
            return None
        case "username":
            query = query.where(UserRow.username == identifier.value)
        case "phone" | "email" as kind:
            index = address_index(desk.vault, ContactKind(kind), identifier.value)
            query = query.join(
                ContactRow,
                (ContactRow.tenant == UserRow.tenant) & (ContactRow.user_id == UserRow.id),
            ).where(
                ContactRow.kind == kind,
                ContactRow.address_index == index,
                ContactRow.confirmed_at.is_not(None),
            )
    return await tx.session.scalar(query)


async def _open_session(tx: Tx, desk: Desk, signed_in: _SignedIn) -> SessionTokens | None:
    """Return tokens, or None when no contact is confirmed. Either way the guesses are forgotten."""
    await forget_guesses(tx, desk.tenant, signed_in.subject)
    if signed_in.fresh_hash is not None:
        await tx.session.execute(
            update(UserRow)
            .where(
                UserRow.tenant == desk.tenant,
                UserRow.id == signed_in.user_id,
                UserRow.password_hash == signed_in.stored,
            )
            .values(password_hash=signed_in.fresh_hash)
        )
    if not await _has_contact(tx, desk, signed_in.user_id):
        return None
    await _make_room(tx, desk, signed_in.user_id)
    if await _is_new_name(tx, desk, signed_in):
        await notify_user(
            tx,
            desk,
            signed_in.user_id,
            "New sign-in to your account",
            f"Somebody signed in to your account on a new device: '{signed_in.name}', "
            f"{tx.now:%Y-%m-%d %H:%M} UTC. If it was not you, end the session and change your "
            "password.",
        )
    life = desk.policy.remembered_life if signed_in.remember else desk.policy.refresh_absolute
    session = SessionRow(
        tenant=desk.tenant,
        id=tx.ids.uuid(),
        user_id=signed_in.user_id,
        device_id=None,
        name=signed_in.name,
        key_thumbprint=None,
        refreshable=not signed_in.remember,
        created_at=tx.now,
        auth_at=tx.now,
        last_seen_at=tx.now,
        expires_at=tx.now + life,
        ended_at=None,
        end_reason=None,
    )
    tx.session.add(session)
    await tx.session.flush()
    return await first_tokens(tx, desk, session)


async def _has_contact(tx: Tx, desk: Desk, user_id: UUID) -> bool:
    confirmed = exists().where(
        ContactRow.tenant == desk.tenant,
        ContactRow.user_id == user_id,
        ContactRow.confirmed_at.is_not(None),
    )
    return bool(await tx.session.scalar(select(confirmed)))


async def _is_new_name(tx: Tx, desk: Desk, signed_in: _SignedIn) -> bool:
    known = exists().where(
        SessionRow.tenant == desk.tenant,
        SessionRow.user_id == signed_in.user_id,
        SessionRow.name == signed_in.name,
    )
    return not await tx.session.scalar(select(known))


async def _make_room(tx: Tx, desk: Desk, user_id: UUID) -> None:
    """End the sessions that were used longest ago, so that the list stays short."""
    surplus = await tx.session.scalars(
        select(SessionRow.id)
        .where(
            SessionRow.tenant == desk.tenant,
            SessionRow.user_id == user_id,
            SessionRow.ended_at.is_(None),
        )
        .order_by(SessionRow.last_seen_at.desc(), SessionRow.id.desc())
        .offset(desk.policy.sessions_max - 1)
    )
    for session_id in surplus.all():
        await end_sessions(tx, desk.tenant, SessionEnd.TOO_MANY, session_id=session_id)
