"""Names on the air: the token in a request, and the UUIDs that follow from it.

The payee makes a token when its listener opens and puts "ble:<token>" into the request. What it
advertises is a hash of the token in the form of a UUID: who has not seen the request cannot even
tell that this is a payment, and nothing that is broadcast outlasts the listener.
"""

import hashlib
from typing import Final
from uuid import UUID

from client_sdk.transports.base import InvalidAddress

SCHEME: Final = "ble:"
TOKEN_BYTES: Final = 8
TO_PAYEE: Final = UUID("91011de7-4201-4723-8ebb-6edd1e121894")
"""Characteristic that the payer writes to, without response."""
TO_PAYER: Final = UUID("60795221-e3ac-4a03-a17f-ffb9d0bd0f78")
"""Characteristic by which the payee notifies."""

_SERVICE_LABEL: Final = b"tallystick/1/ble/service"
_UUID_BYTES: Final = 16
_CUSTOM_VERSION: Final = 8
_FIX: Final = "It is made by the payee's device; take the request again."


def join_address(token: bytes) -> str:
    """What goes into the request: "ble:" and the token in hex, 20 characters."""
    return SCHEME + token.hex()


def split_address(text: str) -> bytes:
    """The token of an address.

    Raises:
        InvalidAddress: not "ble:" and 16 small hexadecimal digits.
    """
    digits = text.removeprefix(SCHEME)
    if (
        not text.startswith(SCHEME)
        or len(digits) != 2 * TOKEN_BYTES
        or not set(digits) <= set("0123456789abcdef")
    ):
        raise InvalidAddress(f"{text!r} is no address for Bluetooth.", fix=_FIX)
    return bytes.fromhex(digits)


def service_uuid(token: bytes) -> UUID:
    """The service that the payee advertises and has: a UUID of version 8 (RFC 9562)."""
    digest = hashlib.sha256(_SERVICE_LABEL + token).digest()
    number = int.from_bytes(digest[:_UUID_BYTES])
    number = number & ~(0xF << 76) | _CUSTOM_VERSION << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=number)
