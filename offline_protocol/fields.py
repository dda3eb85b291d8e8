"""Reading the numbered fields of an object, each with its type, and checking values."""

import unicodedata
from collections.abc import Sequence

from offline_protocol import cbor
from offline_protocol.constants import OBJECT_BYTES_MAX, UINT_MAX
from offline_protocol.errors import MalformedObject
from offline_protocol.keys import PublicKey

# Explicit direction marks can make a certified name read as another one.
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Fields:
    """The fields of one payload; every field has to be taken, and `end` checks that.

    All methods raise MalformedObject.
    """

    def __init__(
        self,
        name: str,
        payload: bytes,
        *,
        type_number: int | None,
        bytes_max: int = OBJECT_BYTES_MAX,
    ) -> None:
        value = cbor.decode(payload, bytes_max=bytes_max)
        if type(value) is not dict:
            raise MalformedObject(f"{name} is a map")
        self._name = name
        self._left = value
        if type_number is not None and self.uint(1) != type_number:
            raise MalformedObject(f"field 1 of {name} is {type_number}")

    def _take(self, key: int) -> cbor.Value:
        if key not in self._left:
            raise MalformedObject(f"{self._name} has no field {key}")
        return self._left.pop(key)

    def has(self, key: int) -> bool:
        return key in self._left

    def uint(self, key: int) -> int:
        return as_uint(self._take(key), f"field {key} of {self._name}")

    def raw(self, key: int) -> bytes:
        return as_bytes(self._take(key), f"field {key} of {self._name}")

    def text(self, key: int) -> str:
        return as_text(self._take(key), f"field {key} of {self._name}")

    def array(self, key: int) -> list[cbor.Value]:
        return as_array(self._take(key), f"field {key} of {self._name}")

    def key(self, key: int) -> PublicKey:
        return PublicKey(as_bytes(self._take(key), f"field {key} of {self._name}"))

    def end(self) -> None:
        if self._left:
            raise MalformedObject(f"{self._name} has no field {next(iter(self._left))}")


def as_uint(value: cbor.Value, what: str) -> int:
    if type(value) is not int:
        raise MalformedObject(f"{what} is an integer")
    return value


def as_bytes(value: cbor.Value, what: str) -> bytes:
    if type(value) is not bytes:
        raise MalformedObject(f"{what} is a byte string")
    return value


def as_text(value: cbor.Value, what: str) -> str:
    if type(value) is not str:
        raise MalformedObject(f"{what} is text")
    return value


def as_array(value: cbor.Value, what: str, *, size: int | None = None) -> list[cbor.Value]:
    if type(value) is not list or (size is not None and len(value) != size):
        raise MalformedObject(f"{what} is an array{'' if size is None else f' of {size}'}")
    return value


def check_uint(what: str, value: int, *, least: int = 0, most: int = UINT_MAX) -> None:
    """Refuse what is no plain integer in range.

    Raises:
        MalformedObject: wrong type or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise MalformedObject(f"{what} must be an integer in {least}..{most}, not {value!r}")


def check_bytes(what: str, value: bytes, *, least: int, most: int | None = None) -> None:
    """Refuse a byte string of another length; `most` defaults to `least`.

    Raises:
        MalformedObject: wrong type or length.
    """
    most = least if most is None else most
    if type(value) is not bytes or not least <= len(value) <= most:
        raise MalformedObject(f"{what} must be {least}..{most} bytes")


def check_text(what: str, value: str, *, bytes_max: int) -> None:
    """Refuse text that is empty, long, or that could show as something else than it is.

    Raises:
        MalformedObject: empty, too long, or with control or direction characters.
    """
    if type(value) is not str or not 1 <= len(value.encode(errors="replace")) <= bytes_max:
        raise MalformedObject(f"{what} must be text of 1..{bytes_max} bytes")
    if any(c in _DIRECTION_MARKS or unicodedata.category(c) in {"Cc", "Cs"} for c in value):
        raise MalformedObject(f"{what} holds control or direction characters")
    if not unicodedata.is_normalized("NFC", value):
        raise MalformedObject(f"{what} is not in Unicode NFC")


def check_currency(value: str) -> None:
    """Refuse what is no currency or asset code: 3 to 8 of A-Z and 0-9, a letter first.

    Raises:
        MalformedObject: another form.
    """
    well_formed = (
        type(value) is str
        and 3 <= len(value) <= 8  # noqa: PLR2004 - ISO 4217 has three, asset codes a few more
        and value.isascii()
        and value.isalnum()
        and value == value.upper()
        and value[0].isalpha()
    )
    if not well_formed:
        raise MalformedObject(f"{value!r} is no currency code")


def check_many(what: str, values: Sequence[object], *, least: int = 0, most: int) -> None:
    """Refuse too few or too many.

    Raises:
        MalformedObject: the count is out of range.
    """
    if not least <= len(values) <= most:
        raise MalformedObject(f"{what}: {len(values)}, allowed are {least}..{most}")
