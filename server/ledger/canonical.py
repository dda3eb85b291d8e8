"""One spelling in bytes for a row of fields, so that two hashes agree only when the rows do."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any
from uuid import UUID

Field = int | str | bytes | UUID | None
_TEXTS_CACHED = 4096


def canonical(*fields: Field) -> bytes:
    """Return the fields as bytes: each with a tag, texts and bytes with their length.

    An integer takes eight bytes, signed, big-endian; a length four. No two rows share a spelling.

    Raises:
        OverflowError: an integer does not fit into 64 bits.
    """
    return b"".join([_SPELLINGS[type(field)](field) for field in fields])


class _Spellings(dict[type, Callable[[Any], bytes]]):
    """How a field of each type is spelled; a type below one of these is spelled like it."""

    def __missing__(self, kind: type) -> Callable[[Any], bytes]:
        spelling = next(self[base] for base in (int, str, UUID, bytes) if issubclass(kind, base))
        self[kind] = spelling
        return spelling


def _text(value: str) -> bytes:
    data = value.encode()
    return b"\x02" + len(data).to_bytes(4, "big") + data


_short_text = lru_cache(_TEXTS_CACHED)(_text)
_SHORT = 64


def _str(value: str) -> bytes:
    # Kinds, operations and currencies come again and again; memos are long and do not.
    return _short_text(value) if len(value) <= _SHORT else _text(value)


_SPELLINGS = _Spellings(
    {
        type(None): lambda _: b"\x00",
        int: lambda value: b"\x01" + value.to_bytes(8, "big", signed=True),
        str: _str,
        UUID: lambda value: b"\x04" + value.bytes,
        bytes: lambda value: b"\x03" + len(value).to_bytes(4, "big") + value,
    }
)
