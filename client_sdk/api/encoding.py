"""Unpadded base64url, the way bytes travel in JSON."""

import base64
import binascii


def to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(text: str) -> bytes:
    """The bytes.

    Raises:
        ValueError: not unpadded base64url.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64url: {error}") from None
    if to_text(data) != text:
        raise ValueError("not the shortest base64url form")
    return data
