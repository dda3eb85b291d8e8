"""What one GATT value holds: the seven kinds of fragment, as bytes and back.

A fragment is a byte of kind and its fields; integers are big-endian. The largest without data has
15 bytes, so all of them fit into the smallest ATT MTU (23, of which 20 are value). Positions count
the bytes of one direction of a session from zero, over all its connections.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, Self

VERSION: Final = 1
KEY_BYTES: Final = 8
POSITION_BYTES: Final = 3
POSITION_MAX: Final = 2 ** (8 * POSITION_BYTES) - 1
WINDOW_MAX: Final = 2**16 - 1
DATA_HEAD_BYTES: Final = 1 + POSITION_BYTES
VALUE_BYTES_LEAST: Final = 20
"""Of the smallest ATT MTU."""
VALUE_BYTES_MAX: Final = 512
"""Longest attribute value (Bluetooth Core, volume 3, part F, section 3.2.9)."""


class MalformedFragment(Exception):
    """Not a fragment of this version; a reader passes over it as if it were lost."""


class Kind(IntEnum):
    OPEN = 1
    RESUME = 2
    WELCOME = 3
    DATA = 4
    ACKNOWLEDGE = 5
    GAP = 6
    CLOSE = 7


class Ending(IntEnum):
    """Why a side ends a session."""

    DONE = 0
    UNKNOWN_SESSION = 1
    """Answer to a RESUME: open a new session."""
    FULL = 2
    VERSION = 3
    """This side does not speak the other's version."""
    BROKEN = 4


@dataclass(frozen=True)
class Open:
    """Payer, first of all: a new session.

    Attributes:
        window: bytes that the payer takes beyond what it has acknowledged.
        lock: the session goes on in another connection for who shows its key.
    """

    KIND: ClassVar = Kind.OPEN
    _FORM: ClassVar = struct.Struct(f">BBH{KEY_BYTES}s")
    window: int
    lock: bytes

    def encode(self) -> bytes:
        return self._FORM.pack(self.KIND, VERSION, self.window, self.lock)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _, _, window, lock = cls._FORM.unpack(data)
        return cls(window, lock)


@dataclass(frozen=True)
class Resume:
    """Payer, first in a further connection: the session whose lock this key opens.

    Attributes:
        window: as in `Open`.
        key: becomes the session's lock.
        received: position up to which the payer has everything.
    """

    KIND: ClassVar = Kind.RESUME
    _FORM: ClassVar = struct.Struct(f">BBH{KEY_BYTES}s{POSITION_BYTES}s")
    window: int
    key: bytes
    received: int

    def encode(self) -> bytes:
        return self._FORM.pack(
            self.KIND, VERSION, self.window, self.key, self.received.to_bytes(POSITION_BYTES)
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _, _, window, key, received = cls._FORM.unpack(data)
        return cls(window, key, int.from_bytes(received))


@dataclass(frozen=True)
class Welcome:
    """Payee, in answer to OPEN or RESUME: data may flow, from what each side has received."""

    KIND: ClassVar = Kind.WELCOME
    _FORM: ClassVar = struct.Struct(f">BBH{POSITION_BYTES}s")
    window: int
    received: int

    def encode(self) -> bytes:
        return self._FORM.pack(
            self.KIND, VERSION, self.window, self.received.to_bytes(POSITION_BYTES)
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _, _, window, received = cls._FORM.unpack(data)
        return cls(window, int.from_bytes(received))


@dataclass(frozen=True)
class Data:
    """Bytes of the sender's direction, from a position on."""

    KIND: ClassVar = Kind.DATA
    position: int
    data: bytes

    def encode(self) -> bytes:
        return bytes([self.KIND]) + self.position.to_bytes(POSITION_BYTES) + self.data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) <= DATA_HEAD_BYTES:
            raise MalformedFragment("data without data")
        return cls(int.from_bytes(data[1:DATA_HEAD_BYTES]), data[DATA_HEAD_BYTES:])


@dataclass(frozen=True)
class Acknowledge:
    """Everything before this position has arrived; the window counts from here."""

    KIND: ClassVar = Kind.ACKNOWLEDGE
    received: int

    def encode(self) -> bytes:
        return bytes([self.KIND]) + self.received.to_bytes(POSITION_BYTES)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) != DATA_HEAD_BYTES:
            raise MalformedFragment("no position")
        return cls(int.from_bytes(data[1:]))


@dataclass(frozen=True)
class Gap(Acknowledge):
    """As ACKNOWLEDGE; what follows was lost: send again from this position."""

    KIND: ClassVar = Kind.GAP


@dataclass(frozen=True)
class Close:
    """Either side: the session is over. The reason is an `Ending`, or a number not known here."""

    KIND: ClassVar = Kind.CLOSE
    reason: int

    def encode(self) -> bytes:
        return bytes([self.KIND, self.reason])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) != 2:  # noqa: PLR2004 -- kind and reason
            raise MalformedFragment("no reason")
        return cls(data[1])


Fragment = Open | Resume | Welcome | Data | Acknowledge | Gap | Close
_TYPES: Final = {one.KIND: one for one in (Open, Resume, Welcome, Data, Acknowledge, Gap, Close)}
_VERSIONED: Final = frozenset({Kind.OPEN, Kind.RESUME, Kind.WELCOME})


class OtherVersion(MalformedFragment):
    """OPEN, RESUME or WELCOME of another version of this protocol."""


def decode(data: bytes) -> Fragment:
    """Read one GATT value.

    Raises:
        OtherVersion: the other side speaks another version.
        MalformedFragment: unknown kind, or the wrong length for its kind.
    """
    if not 1 < len(data) <= VALUE_BYTES_MAX:
        raise MalformedFragment(f"a value of {len(data)} bytes")
    try:
        kind = Kind(data[0])
        if kind in _VERSIONED and data[1] != VERSION:
            raise OtherVersion(f"version {data[1]}")
        return _TYPES[kind].decode(data)
    except (ValueError, struct.error) as error:
        raise MalformedFragment(str(error)) from None
