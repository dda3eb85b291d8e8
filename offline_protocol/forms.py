"""Reading common objects at the speed of a pattern.

The encoding leaves one way to write an object, so the way it is written is a pattern over bytes.
What fits is read from the pattern's groups; what does not is left to the reader of fields, which
says what is wrong. Both readers give the same object or none.
"""

import re
from typing import Any, Final, TypeVar

Made = TypeVar("Made")

NUMBER: Final = (
    rb"([\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\x00\x00).{4}"
    rb"|\x1b(?!\x00{4})\x00[\x00-\x1f].{6})"
)
KEY: Final = rb"\x58(\x20.{32}|\x21.{33})"
"""Its group begins with the length."""


def form(*parts: bytes) -> re.Pattern[bytes]:
    """The pattern of these parts, one after another and nothing else."""
    return re.compile(b"".join(parts), re.DOTALL)


def field(number: int, pattern: bytes) -> bytes:
    """A field of a map: the byte of its number, and the pattern of its value."""
    return re.escape(bytes([number])) + pattern


def fixed(size: int) -> bytes:
    """A byte string of this many bytes, 16 to 255."""
    head = bytes([0x40 + size]) if size < 24 else bytes([0x58, size])  # noqa: PLR2004 -- CBOR heads
    return re.escape(head) + b"(.{%d})" % size


def number(group: bytes) -> int:
    """The integer that `NUMBER` matched."""
    return int.from_bytes(group[1:] or group, "big")


def made(of: type[Made], /, **fields: Any) -> Made:
    """An object of fields that were checked before."""
    instance = object.__new__(of)
    object.__setattr__(instance, "__dict__", fields)
    return instance
