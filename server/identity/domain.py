"""Values and rules of identity: roles, states, names, and how long wrong guesses cost.

A username begins with a letter, so that no username is ever taken for a phone number or an e-mail
address at sign-in.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from offline_protocol.keys import PublicKey
from server.identity.errors import NameInvalid, UsernameInvalid
from server.identity.settings import IdentityPolicy

USERNAME_MIN: Final = 3
USERNAME_MAX: Final = 32
NAME_MAX: Final = 64
ENROLMENT_CONTEXT: Final = b"tallystick/1/enrol"
CHALLENGE_BYTES: Final = 32
CODE_DIGITS: Final = 6
_USERNAME = re.compile(rf"[a-z][a-z0-9_]{{{USERNAME_MIN - 1},{USERNAME_MAX - 1}}}")
_RESERVED: Final = frozenset(
    {"admin", "administrator", "root", "support", "system", "tallystick", "security", "help"}
)


class Role(StrEnum):
    """What a person may do. A role not named in `PERMISSIONS` may do nothing."""

    USER = "user"
    MERCHANT = "merchant"
    SUPPORT = "support"
    COMPLIANCE = "compliance"
    RISK = "risk"
    ADMIN = "admin"


PERMISSIONS: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        Role.USER: frozenset({"own_account", "own_devices", "own_money"}),
        Role.MERCHANT: frozenset({"own_account", "own_devices", "own_money"}),
        Role.SUPPORT: frozenset({"own_account", "own_devices", "read_accounts", "operate_payouts"}),
        Role.COMPLIANCE: frozenset(
            {
                "own_account",
                "own_devices",
                "read_accounts",
                "oversee_offline",
                "decide_disputes",
                "bank_desk",
                "oversee_cards",
                "set_limits",
                "reconcile",
            }
        ),
        Role.RISK: frozenset(
            {
                "own_account",
                "own_devices",
                "read_accounts",
                "oversee_offline",
                "oversee_cards",
                "offline_policy",
                "offline_risk",
                "offline_fund",
                "set_fx",
            }
        ),
        Role.ADMIN: frozenset(
            {
                "own_account",
                "own_devices",
                "read_accounts",
                "manage_roles",
                "reconcile",
                "keep_books",
                "operate_payouts",
                "operate_events",
            }
        ),
    }
)


class DeviceStatus(StrEnum):
    """Only an active device may call; lost and revoked are final."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    LOST = "lost"
    REVOKED = "revoked"


DEVICE_CHANGES: Final[Mapping[DeviceStatus, frozenset[DeviceStatus]]] = MappingProxyType(
    {
        DeviceStatus.ACTIVE: frozenset(
            {DeviceStatus.SUSPENDED, DeviceStatus.LOST, DeviceStatus.REVOKED}
        ),
        DeviceStatus.SUSPENDED: frozenset(
            {DeviceStatus.ACTIVE, DeviceStatus.LOST, DeviceStatus.REVOKED}
        ),
        DeviceStatus.LOST: frozenset({DeviceStatus.REVOKED}),
        DeviceStatus.REVOKED: frozenset(),
    }
)


class ContactKind(StrEnum):
    PHONE = "phone"
    EMAIL = "email"


class SessionEnd(StrEnum):
    """Why a session is over."""

    SIGNED_OUT = "signed_out"
    ENDED_REMOTELY = "ended_remotely"
    REFRESH_REUSED = "refresh_reused"
    DEVICE_LOST = "device_lost"
    DEVICE_REVOKED = "device_revoked"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class UserView:
    """What other rooms may know about a person."""

    id: UUID
    username: str
    role: Role
    display_name: str
    phone_confirmed: bool
    email_confirmed: bool


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What other rooms may know about a device."""

    id: UUID
    user_id: UUID
    name: str
    key: PublicKey
    status: DeviceStatus
    enrolled_at: datetime


def normalise_username(text: str) -> str:
    """Return the one form of a username.

    Raises:
        UsernameInvalid: its form is wrong, or the word is kept for the house.
    """
    name = unicodedata.normalize("NFKC", text).strip().lower()
    if not _USERNAME.fullmatch(name):
        raise UsernameInvalid(
            f"A username has {USERNAME_MIN} to {USERNAME_MAX} characters, "
            "begins with a letter, and holds only a-z, 0-9 and _.",
            fix="Choose another username.",
            field="username",
        )
    if name in _RESERVED:
        raise UsernameInvalid(
            "This word is reserved.", fix="Choose another username.", field="username"
        )
    return name


def clean_name(text: str, *, field: str) -> str:
    """Return a name for people to read: one line, composed, without invisible characters.

    Raises:
        NameInvalid: nothing readable is left, or it is longer than ``NAME_MAX`` characters.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > NAME_MAX or any(map(_is_invisible, name)):
        raise NameInvalid(
            f"A name has 1 to {NAME_MAX} characters and no control characters.",
            fix="Choose another name.",
            field=field,
        )
    return name


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def guess_delay(failures: int, policy: IdentityPolicy) -> timedelta:
    """Return how long sign-in pauses after so many wrong guesses in a row."""
    beyond = failures - policy.guesses_before_delay
    if beyond < 0:
        return timedelta(0)
    doublings = min(beyond, 32)
    return min(policy.guess_delay_first * (1 << doublings), policy.guess_delay_max)


def enrolment_message(challenge: bytes, user_id: UUID) -> bytes:
    """Return what a device key signs to show that it is held by this user's device."""
    return ENROLMENT_CONTEXT + challenge + user_id.bytes


def make_code(entropy: bytes) -> str:
    """Return six digits from eight random bytes, each code as likely as the others (to 2^-44)."""
    return f"{int.from_bytes(entropy, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}d}"
