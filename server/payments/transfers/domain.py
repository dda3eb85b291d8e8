"""Values and rules of transfers. No I/O, no clock."""

import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.identity import Address
from server.payments.transfers.errors import NoteInvalid

NOTE_MAX: Final = 140
PENDING_MAX: Final = 20
"""Transfers of one sender that may wait for people to register."""
_UNREADABLE: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS: Final = frozenset("\u200c\u200d")
"""They change how letters of Persian, Hindi and emoji are joined, and hide nothing."""


class TransferState(StrEnum):
    """Only a pending transfer still changes."""

    COMPLETED = "completed"
    PENDING = "pending"
    CANCELLED = "cancelled"
    RETURNED = "returned"


class Via(StrEnum):
    """How the sender named the recipient. It decides how much of a name the sender is shown."""

    PHONE = "phone"
    EMAIL = "email"
    USERNAME = "username"
    USER = "user"
    CODE = "code"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is meant, before anybody looked whether there is such a person. One field is set."""

    via: Via
    user_id: UUID | None = None
    username: str | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A transfer that somebody wants."""

    tenant: int
    sender: UUID
    recipient: Recipient | None
    """None when what was given can mean nobody."""
    amount: int
    currency: str
    note: str | None = None
    quote_id: UUID | None = None
    request_id: UUID | None = None
    schedule_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class KeyedOrder:
    """An order under an idempotency key; ``digest`` stands for all that was asked."""

    order: Order
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """Figures of this slice. Every one is the default of a choice."""

    pending_life: timedelta = timedelta(days=14)
    pending_max: int = PENDING_MAX
    request_life: timedelta = timedelta(days=30)
    request_life_max: timedelta = timedelta(days=365)
    requests_open_max: int = 200
    schedules_max: int = 100
    schedule_retries: tuple[timedelta, ...] = field(
        default=(timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
    )
    """How long after a failed try the next one comes. Their sum is less than ``late_max``."""
    late_max: timedelta = timedelta(hours=24)
    """An occurrence found later than this after its time is missed, not paid."""


DEFAULT_POLICY: Final = TransferPolicy()


def clean_note(text: str | None) -> str | None:
    """Return a note for people to read: composed, one line, nothing invisible; None for nothing.

    Raises:
        NoteInvalid: it is longer than ``NOTE_MAX`` characters, or holds control characters.
    """
    if text is None:
        return None
    note = unicodedata.normalize("NFC", text).strip(" ")
    unreadable = any(
        unicodedata.category(character) in _UNREADABLE and character not in _JOINERS
        for character in note
    )
    if len(note) > NOTE_MAX or unreadable:
        raise NoteInvalid(
            f"A note has at most {NOTE_MAX} characters, on one line, and no control characters.",
            fix="Shorten the note, or leave it out.",
            field="note",
        )
    return note or None
