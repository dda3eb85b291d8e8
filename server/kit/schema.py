"""Shapes on the wire: strict, closed, with limits."""

import binascii
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

import msgspec

from server.kit.errors import InvalidRequest
from server.kit.money import AMOUNT_MAX

T = TypeVar("T")

_TO_URL = bytes.maketrans(b"+/", b"-_")
# What is of the other alphabet becomes what is of none.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/***")

PAGE_MAX = 100
Amount = Annotated[
    int, msgspec.Meta(ge=1, le=AMOUNT_MAX, description="Minor units", examples=[2500])
]
CurrencyCode = Annotated[
    str,
    msgspec.Meta(
        pattern="^[A-Z][A-Z0-9]{2,9}$", description="ISO 4217 or asset code", examples=["EUR"]
    ),
]


class Schema(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A request or a response. Unknown fields are refused, not ignored."""


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """Some items, and where the next ones begin."""

    items: list[T]
    next_cursor: str | None = None


def in_utc(moment: datetime, *, field: str) -> datetime:
    """Return an instant that somebody wrote, in UTC.

    Raises:
        InvalidRequest: it says no offset from UTC.
    """
    if moment.tzinfo is None:
        raise InvalidRequest(
            f"{field} says no offset from UTC.", fix="Write 2026-03-02T09:00:00Z.", field=field
        )
    return moment.astimezone(UTC)


def to_base64url(data: bytes) -> str:
    """Return unpadded base64url (RFC 4648 section 5)."""
    encoded = binascii.b2a_base64(data, newline=False)
    return encoded.translate(_TO_URL).rstrip(b"=").decode("ascii")


def from_base64url(text: str, *, field: str, size_max: int = 16_384) -> bytes:
    """Return the bytes of canonical unpadded base64url.

    Raises:
        InvalidRequest: the text is anything else, or longer than ``size_max`` bytes decoded.
    """
    try:
        encoded = text.encode("ascii").translate(_FROM_URL) + b"=" * (-len(text) % 4)
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        data, encoded = b"", b"none"
    # The last group may have bits to spare, which are zero in the one form that counts.
    end = binascii.b2a_base64(data[-(len(data) % 3 or 3) :], newline=False)
    if (end != encoded[-4:]) or len(data) > size_max:
        raise InvalidRequest(
            f"{field} is not base64url without padding, or holds more than {size_max} bytes.",
            fix="Encode the bytes as RFC 4648 section 5 says, and leave out the '=' signs.",
            field=field,
        )
    return data
