"""CBOR in one form only: what one writer can write, and nothing else is read.

The strict part of RFC 8949 that the objects use: unsigned integers up to 2^53 - 1, byte strings,
text in Unicode NFC, arrays and maps, all of definite length and with the shortest heads. Map keys
are 1..23 or -24..-1 (the latter for COSE keys), sorted and distinct; in that range the length-first
order of RFC 7049 and the bytewise order of RFC 8949 are the same. No tags, floats, booleans, null.
So two different byte strings never mean the same value, and an id over the bytes names the value.
"""

import unicodedata
from enum import IntEnum

from offline_protocol.constants import DEPTH_MAX, OBJECT_BYTES_MAX, UINT_MAX
from offline_protocol.errors import MalformedCbor, MalformedObject

Value = int | bytes | str | list["Value"] | dict[int, "Value"]


class Major(IntEnum):
    """Major types (RFC 8949 section 3.1)."""

    UINT = 0
    NEGATIVE = 1
    BYTES = 2
    TEXT = 3
    ARRAY = 4
    MAP = 5


# Plain numbers in the loops below: looking up members of an enum costs more than the rest.
_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = map(int, Major)
_ARGUMENT_SIZES = {24: 1, 25: 2, 26: 4, 27: 8}
_LEAST_BY_SIZE = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}
_ONE_BYTE = 24  # arguments below it sit in the head itself (RFC 8949 section 3)
_KEY_MOST = 23
_KEY_LEAST = -24
_KEYS = {key if key > 0 else 0x1F - key: key for key in range(_KEY_LEAST, _KEY_MOST + 1) if key}
"""Map keys by the one byte that each is written as."""


def encode(value: Value) -> bytes:
    """Write a value in its only form.

    Raises:
        MalformedCbor: the value has a type, size or depth that the strict form does not allow.
    """
    out = bytearray()
    _write(out, value, 1)
    return bytes(out)


def decode(data: bytes, *, bytes_max: int = OBJECT_BYTES_MAX) -> Value:
    """Read exactly one value that fills `data`.

    Raises:
        MalformedCbor: anything that `encode` would have written differently, or not at all.
    """
    if len(data) > bytes_max:
        raise MalformedCbor(f"{len(data)} bytes, at most {bytes_max} are read")
    value, end = _read(data, 0, 1)
    if end != len(data):
        raise MalformedCbor(f"{len(data) - end} bytes are left over after the value")
    return value


def head(major: Major, argument: int) -> bytes:
    """The first bytes of a value: its type, and its length, count or number."""
    out = bytearray()
    _write_head(out, major, argument)
    return bytes(out)


def read_head(data: bytes, at: int, major: Major) -> tuple[int, int]:
    """The argument of the head that begins at a place, and the place behind it.

    Raises:
        MalformedCbor: no head of the strict form begins there.
        MalformedObject: it is the head of another type.
    """
    if at < len(data):
        argument = data[at] - (major << 5)
        if 0 <= argument < _ONE_BYTE:
            return argument, at + 1
    found, argument, end = _read_head(data, at)
    if found != major:
        raise MalformedObject(f"major type {found} where {major} is needed")
    return argument, end


def _write(out: bytearray, value: Value, depth: int) -> None:
    # `type(x) is`, never isinstance: True is an int, and a subclass may do as it likes.
    if type(value) is int:
        _write_head(out, _UINT, _checked_uint(value))
    elif type(value) is bytes:
        _write_head(out, _BYTES, len(value))
        out += value
    elif type(value) is str:
        raw = _checked_text(value).encode()
        _write_head(out, _TEXT, len(raw))
        out += raw
    elif type(value) is list:
        _check_depth(depth)
        _write_head(out, _ARRAY, len(value))
        for item in value:
            _write(out, item, depth + 1)
    elif type(value) is dict:
        _check_depth(depth)
        _write_map(out, value, depth)
    else:
        raise MalformedCbor(f"{type(value).__name__} has no form in this protocol")


def _write_map(out: bytearray, value: dict[int, Value], depth: int) -> None:
    _write_head(out, _MAP, len(value))
    for key in sorted(map(_checked_key, value), key=_order):
        if key >= 0:
            _write_head(out, _UINT, key)
        else:
            _write_head(out, _NEGATIVE, -1 - key)
        _write(out, value[key], depth + 1)


def _write_head(out: bytearray, major: int, argument: int) -> None:
    if argument < _ONE_BYTE:
        out.append(major << 5 | argument)
        return
    for info, size in _ARGUMENT_SIZES.items():
        if argument < 1 << (8 * size):
            out.append(major << 5 | info)
            out += argument.to_bytes(size, "big")
            return
    raise AssertionError("no checked length or integer needs more than 8 bytes")


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    major, argument, at = _read_head(data, at)
    if major == _UINT:
        return _checked_uint(argument), at
    if major in {_BYTES, _TEXT}:
        end = at + argument
        # The head may promise more than there is: look before taking.
        if end > len(data):
            raise MalformedCbor(f"a string of {argument} bytes, {len(data) - at} are left")
        raw = data[at:end]
        return (raw if major == _BYTES else _read_text(raw)), end
    if major not in {_ARRAY, _MAP}:
        raise MalformedCbor(f"major type {major} has no place in this protocol")
    _check_depth(depth)
    if argument > len(data) - at:
        raise MalformedCbor(f"{argument} items, {len(data) - at} bytes are left")
    return (_read_array if major == _ARRAY else _read_map)(data, at, argument, depth)


def _read_array(data: bytes, at: int, count: int, depth: int) -> tuple[Value, int]:
    items: list[Value] = []
    for _ in range(count):
        item, at = _read(data, at, depth + 1)
        items.append(item)
    return items, at


def _read_map(data: bytes, at: int, count: int, depth: int) -> tuple[Value, int]:
    pairs: dict[int, Value] = {}
    before = 0
    for _ in range(count):
        # Every key that may stand here is one byte, and the order of keys is that of these bytes.
        head_byte = data[at] if at < len(data) else 0
        key = _KEYS.get(head_byte)
        if key is None:
            raise _no_key(data, at)
        if head_byte <= before:
            raise MalformedCbor(f"map key {key} is doubled or out of order")
        before = head_byte
        pairs[key], at = _read(data, at + 1, depth + 1)
    return pairs, at


def _no_key(data: bytes, at: int) -> MalformedCbor:
    major, argument, _ = _read_head(data, at)
    if major not in {_UINT, _NEGATIVE}:
        return MalformedCbor("a map key is an integer")
    key = argument if major == _UINT else -1 - argument
    return MalformedCbor(f"map key {key} is outside 1..23 and -24..-1")


def _read_head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise MalformedCbor("the bytes end before the value does")
    first = data[at]
    info = first & 0x1F
    at += 1
    if info < _ONE_BYTE:
        return first >> 5, info, at
    size = _ARGUMENT_SIZES.get(info)
    if size is None:
        raise MalformedCbor(f"additional information {info}: indefinite or reserved")
    end = at + size
    if end > len(data):
        raise MalformedCbor("the bytes end inside a head")
    argument = data[at] if size == 1 else int.from_bytes(data[at:end], "big")
    if argument < _LEAST_BY_SIZE[size]:
        raise MalformedCbor(f"{argument} has a shorter form")
    return first >> 5, argument, end


def _read_text(raw: bytes) -> str:
    try:
        return _checked_text(raw.decode())
    except UnicodeDecodeError as error:
        raise MalformedCbor("text is not UTF-8") from error


def _checked_text(text: str) -> str:
    if not unicodedata.is_normalized("NFC", text):
        raise MalformedCbor("text is not in Unicode NFC")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise MalformedCbor("text holds half of a surrogate pair")
    return text


def _checked_uint(value: int) -> int:
    if not 0 <= value <= UINT_MAX:
        raise MalformedCbor(f"{value} is outside 0..2^53 - 1")
    return value


def _checked_key(key: int) -> int:
    if type(key) is not int or key == 0 or not _KEY_LEAST <= key <= _KEY_MOST:
        raise MalformedCbor(f"map key {key!r} is outside 1..23 and -24..-1")
    return key


def _order(key: int) -> int:
    """Rank of a key: the byte that it is written as."""
    return key if key >= 0 else (_NEGATIVE << 5) - 1 - key


def _check_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise MalformedCbor(f"nested deeper than {DEPTH_MAX}")
