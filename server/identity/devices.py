"""Enrolling devices: a key, shown to be held, that a session is then bound to.

A key belongs to one person and one device for ever. Enrolling it again, after signing in again,
binds the new session to the same device.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select

from offline_protocol.errors import BadSignature, ProtocolError, WeakKey
from offline_protocol.keys import PublicKey
from server.identity.counters import count_up, too_many
from server.identity.desk import Desk
from server.identity.domain import (
    CHALLENGE_BYTES,
    DeviceStatus,
    clean_name,
    enrolment_message,
)
from server.identity.errors import (
    ChallengeInvalid,
    DeviceKeyInvalid,
    DeviceKeyTaken,
    DeviceStateConflict,
    EnrolmentProofInvalid,
    TooManyDevices,
)
from server.identity.json_web_keys import thumbprint
from server.identity.models import DeviceChallengeRow, DeviceRow, SessionRow, UserRow
from server.identity.notices import notify_user
from server.identity.schemas import ChallengeView, DeviceCreate, DeviceEnrolled, SessionTokens
from server.identity.session_tokens import first_tokens, retire_refresh_tokens
from server.identity.signals import Signal, record_signal
from server.identity.statements import insert_once
from server.identity.tokens import token_digest
from server.kit.auth import Caller
from server.kit.errors import TallyError, TooManyRequests
from server.kit.schema import from_base64url, to_base64url
from server.kit.unit_of_work import Tx

_SIGNATURE_BYTES = 64
_KEY_MAX = 33


async def issue_challenge(desk: Desk, caller: Caller) -> ChallengeView:
    """Return random bytes that this session's device has to sign within five minutes.

    Raises:
        TooManyRequests: the caller asked too often.
    """

    async def command(tx: Tx) -> ChallengeView | TooManyRequests:
        asked = await count_up(
            tx, caller.tenant, "challenge", caller.user_id.bytes, window=timedelta(hours=1)
        )
        if asked.count > desk.policy.challenges_per_hour:
            return too_many(tx, asked.until, "Too many challenges were asked for.")
        challenge = tx.ids.token(CHALLENGE_BYTES)
        tx.session.add(
            DeviceChallengeRow(
                tenant=caller.tenant,
                digest=token_digest(challenge),
                session_id=caller.session_id,
                expires_at=tx.now + desk.policy.challenge_life,
            )
        )
        return ChallengeView(
            challenge=to_base64url(challenge),
            expires_in=int(desk.policy.challenge_life.total_seconds()),
        )

    answer = await desk.uow.run(command)
    if isinstance(answer, TooManyRequests):
        raise answer
    return answer


@dataclass(frozen=True, slots=True)
class _Enrolment:
    key: PublicKey
    name: str


async def enrol_device(desk: Desk, caller: Caller, data: DeviceCreate) -> DeviceEnrolled:
    """Bind the caller's session to a device key that is shown to be held.

    Raises:
        DeviceKeyInvalid: no key, or of a kind that is not taken.
        ChallengeInvalid: not issued to this session, used, or too old.
        EnrolmentProofInvalid: the key did not sign the challenge for this person.
        DeviceKeyTaken: the key is another person's.
        DeviceStateConflict: the session is bound already, or the device is not active.
        TooManyDevices: the person has as many as may be.
    """
    enrolment = _Enrolment(_key(data.public_key), clean_name(data.name, field="name"))
    challenge = from_base64url(data.challenge, field="challenge", size_max=CHALLENGE_BYTES)
    proof = from_base64url(data.proof, field="proof", size_max=_SIGNATURE_BYTES)
    if not await desk.uow.run(lambda tx: _take_challenge(tx, caller, challenge)):
        raise ChallengeInvalid(
            "The challenge was not issued to this session, was used, or is too old.",
            fix="Get a new one with POST /v1/devices/challenges.",
        )
    try:
        enrolment.key.verify(enrolment_message(challenge, caller.user_id), proof)
    except BadSignature:
        raise EnrolmentProofInvalid(
            "The proof is not this key's signature over this challenge for you.",
            fix="Sign 'tallystick/1/enrol' + challenge + user id (16 bytes), over a new challenge.",
        ) from None
    answer = await desk.uow.run(lambda tx: _enrol(tx, desk, caller, enrolment))
    if isinstance(answer, TallyError):
        raise answer
    device_id, tokens = answer
    return DeviceEnrolled(
        device_id=str(device_id),
        access_token=tokens.access_token,
        token_type="DPoP",  # noqa: S106 - the name of a scheme
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        session_id=tokens.session_id,
    )


def _key(text: str) -> PublicKey:
    try:
        key = PublicKey(from_base64url(text, field="public_key", size_max=_KEY_MAX))
        if not key.is_of_prime_order:
            raise WeakKey("a part of it is of small order")
    except ProtocolError as error:
        raise DeviceKeyInvalid(
            f"The device key cannot be used: {error.message}.",
            fix="Send 32 bytes of an Ed25519 key or 33 of a compressed P-256 point, as base64url.",
            field="public_key",
        ) from None
    return key


async def _take_challenge(tx: Tx, caller: Caller, challenge: bytes) -> bool:
    """Use a challenge up, whatever comes of it."""
    taken = await tx.connection.execute(
        delete(DeviceChallengeRow)
        .where(
            DeviceChallengeRow.tenant == caller.tenant,
            DeviceChallengeRow.digest == token_digest(challenge),
            DeviceChallengeRow.session_id == caller.session_id,
            DeviceChallengeRow.expires_at > tx.now,
        )
        .returning(DeviceChallengeRow.digest)
    )
    return taken.scalar_one_or_none() is not None


async def _enrol(
    tx: Tx, desk: Desk, caller: Caller, enrolment: _Enrolment
) -> tuple[UUID, SessionTokens] | TallyError:
    """Find or make the device and bind the session. A refusal is returned: its signal stays."""
    await _lock_user(tx, caller)
    session = await tx.session.get_one(SessionRow, (caller.tenant, caller.session_id))
    device = await _device_of_key(tx, caller.tenant, enrolment.key.id) or await _add_device(
        tx, desk, caller, enrolment
    )
    if isinstance(device, TooManyDevices):
        return device
    if device.user_id != caller.user_id:
        await record_signal(
            tx,
            caller.tenant,
            Signal.DEVICE_KEY_TAKEN,
            user_id=caller.user_id,
            session_id=caller.session_id,
            detail={"device_id": str(device.id)},
        )
        return DeviceKeyTaken(
            "The key belongs to another person's device.", fix="Make a new key on this device."
        )
    if device.status != DeviceStatus.ACTIVE:
        return DeviceStateConflict(
            f"The device of this key is {device.status}.",
            fix="Resume it if it is suspended; otherwise enrol with a new key.",
        )
    if session.device_id not in {None, device.id}:
        return DeviceStateConflict(
            "The session is bound to another device already.", fix="Sign in anew and enrol then."
        )
    session.device_id, session.key_thumbprint = device.id, thumbprint(enrolment.key.raw)
    await tx.session.flush()
    await retire_refresh_tokens(tx, session)
    return device.id, await first_tokens(tx, desk, session)


async def _lock_user(tx: Tx, caller: Caller) -> None:
    """Enrolments of one person happen one after the other, so that none escapes the limit."""
    await tx.session.execute(
        select(UserRow.id)
        .where(UserRow.tenant == caller.tenant, UserRow.id == caller.user_id)
        .with_for_update()
    )


async def _device_of_key(tx: Tx, tenant: int, key_id: bytes) -> DeviceRow | None:
    return await tx.session.scalar(
        select(DeviceRow).where(DeviceRow.tenant == tenant, DeviceRow.key_id == key_id)
    )


async def _add_device(
    tx: Tx, desk: Desk, caller: Caller, enrolment: _Enrolment
) -> DeviceRow | TooManyDevices:
    usable = await tx.session.scalar(
        select(func.count())
        .select_from(DeviceRow)
        .where(
            DeviceRow.tenant == caller.tenant,
            DeviceRow.user_id == caller.user_id,
            DeviceRow.status.in_([DeviceStatus.ACTIVE, DeviceStatus.SUSPENDED]),
        )
    )
    if (usable or 0) >= desk.policy.devices_max:
        return TooManyDevices(
            f"You have {desk.policy.devices_max} devices already.", fix="Revoke one first."
        )
    added = await insert_once(
        tx,
        DeviceRow,
        tenant=caller.tenant,
        id=tx.ids.uuid(),
        user_id=caller.user_id,
        key_id=enrolment.key.id,
        public_key=enrolment.key.raw,
        name=enrolment.name,
        status=DeviceStatus.ACTIVE,
        held_reason=None,
        enrolled_at=tx.now,
        changed_at=tx.now,
    )
    if added:
        await notify_user(
            tx,
            desk,
            caller.user_id,
            "A device was added to your account",
            f"The device '{enrolment.name}' was added to your account. If it was not you, "
            "report it lost and change your password.",
        )
    device = await _device_of_key(tx, caller.tenant, enrolment.key.id)
    assert device is not None, "either we inserted it or somebody else has"
    return device
