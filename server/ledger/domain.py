"""What is asked of the ledger, what it answers, and the state it decides on. No I/O, no clock."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple
from uuid import UUID, uuid5

from server.kit.db import to_microseconds
from server.kit.money import AMOUNT_MAX
from server.ledger.canonical import canonical
from server.ledger.chart import AccountRef
from server.ledger.errors import Refusal, refused

BALANCE_MAX = 2**62
"""No balance goes beyond this on either side: two of them still add up within 64 bits."""
KIND_LENGTH_MAX = 64
MEMO_BYTES_MAX = 4096


class Operation(StrEnum):
    """What an entry does. ``EXPIRE`` is made by the ledger alone."""

    POST = "post"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    EXPIRE = "expire"

    @property
    def moves(self) -> bool:
        """Return whether money changes account, so that there are two postings."""
        return self in {Operation.POST, Operation.CAPTURE}


class HoldState(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True)
class EntryRequest:
    """One movement that somebody wants, under an id that is its idempotency key.

    ``debit`` gives, ``credit`` receives. Every field is part of what the id stands for: a retry
    repeats all of them, times and memo included.

    * ``POST`` moves ``amount`` at once.
    * ``HOLD`` sets ``amount`` of ``debit`` aside under this id, until ``expires_at`` if given.
    * ``CAPTURE`` moves ``amount``, at most what is left, of the hold named by ``hold``. It names
      the same two accounts and may come several times.
    * ``RELEASE`` gives all that is left of ``hold`` back; its own ``amount`` stays 0.

    Requests of one batch that share ``chain`` are applied all together or not at all.

    Raises:
        ValueError: the fields contradict each other; the caller is at fault, not the user.
    """

    id: UUID
    kind: str
    debit: AccountRef
    credit: AccountRef
    amount: int = 0
    operation: Operation = Operation.POST
    hold: UUID | None = None
    expires_at: datetime | None = None
    chain: UUID | None = None
    effective_at: datetime | None = None
    memo: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(f"entry {self.id} ({self.kind}): {problem}")

    def _problem(self) -> str | None:
        debit, credit, operation = self.debit, self.credit, self.operation
        gives_back = operation is Operation.RELEASE
        of_hold = gives_back or operation is Operation.CAPTURE
        checks = (
            (0 < len(self.kind) <= KIND_LENGTH_MAX, "a kind has 1 to 64 characters"),
            (debit.id != credit.id, "debit and credit are the same account"),
            (debit.asset == credit.asset, "the two accounts count different assets"),
            (debit.tenant == credit.tenant, "the two accounts belong to different tenants"),
            (type(self.amount) is int, "the amount is not an int"),
            (gives_back or 0 < self.amount <= AMOUNT_MAX, "the amount is out of range"),
            (not gives_back or self.amount == 0, "a release gives all back and names no amount"),
            (of_hold == (self.hold is not None), "only a capture or release names a hold"),
            (operation is Operation.HOLD or self.expires_at is None, "only a hold expires"),
            (operation is not Operation.EXPIRE, "only the ledger lets holds expire"),
        )
        return next((message for holds, message in checks if not holds), None)

    @cached_property
    def memo_text(self) -> str | None:
        """The memo as JSON in one spelling; stored and hashed as it stands."""
        if self.memo is None:
            return None
        text = json.dumps(self.memo, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode()) > MEMO_BYTES_MAX:
            raise ValueError(f"entry {self.id}: the memo is longer than {MEMO_BYTES_MAX} bytes")
        return text

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that two requests share only when they ask for the same movement."""
        known: bytes | None = self.__dict__.get("_fingerprint")
        if known is None:
            known = self.__dict__["_fingerprint"] = hashlib.sha256(
                canonical(
                    self.kind,
                    self.operation,
                    self.debit.id,
                    self.credit.id,
                    self.amount,
                    self.hold,
                    _time(self.expires_at),
                    self.chain,
                    _time(self.effective_at),
                    None if self.memo is None else self.memo_text,
                )
            ).digest()
        return known


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final answer to a request; the same for ever under the same id."""

    id: UUID
    applied: bool
    reason: Refusal | None = None
    replayed: bool = False
    """Whether the answer was known before this call."""

    def raise_for_refusal(self) -> None:
        """Raise the refusal's error unless the entry was applied.

        Raises:
            EntryRefused: one of its subclasses, such as `InsufficientFunds`.
        """
        if self.reason is not None:
            raise refused(self.reason, self.id)


class Account(NamedTuple):
    """An account as it stands under the lock. Times are microseconds since 1970."""

    id: UUID
    asset: str
    floor: int | None
    posted: int
    held: int
    version: int
    at: int
    closed: bool


class Hold(NamedTuple):
    id: UUID
    debit: UUID
    credit: UUID
    amount: int
    taken: int
    state: HoldState
    expires_at: int | None

    @property
    def rest(self) -> int:
        return self.amount - self.taken


class Entry(NamedTuple):
    """An entry as it is stored. Versions are set exactly where money moved."""

    id: UUID
    operation: Operation
    kind: str
    reason: Refusal | None
    debit: UUID
    credit: UUID
    asset: str
    amount: int
    debit_version: int | None
    credit_version: int | None
    hold: UUID | None
    chain: UUID | None
    expires_at: int | None
    effective_at: int
    at: int
    fingerprint: bytes
    memo: str | None


def expiry_id(hold: UUID) -> UUID:
    """Return the id of the entry that ends a hold whose time ran out."""
    return uuid5(hold, "expiry")


def _time(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)
