"""Codes to pay: what stands in a QR code, and the picture of it.

``TALLY:U:…`` names a person, ``TALLY:R:…`` a request. Behind it stand 22 bytes in base32: an id of
16 bytes and 6 bytes by which this service knows a code of its own again. All characters are of QR's
alphanumeric mode, so the code stays small, and it is a URI that an app can be opened with. The 6
bytes find damage and codes that nobody gave out; they are no authority to do anything.
"""

import base64
import binascii
import hmac
import io
import re
from typing import Final, Literal, NamedTuple
from uuid import UUID

import segno

from server.kit.crypto import Vault
from server.payments.transfers.errors import PayCodeInvalid

_CHECK_BYTES: Final = 6
_FORM: Final = re.compile(r"TALLY:([UR]):([A-Z2-7]{36})", re.IGNORECASE)
_Kind = Literal["U", "R"]


class Meant(NamedTuple):
    """What a code names: exactly one of the two."""

    user_id: UUID | None
    request_id: UUID | None


def user_code(vault: Vault, user_id: UUID) -> str:
    """Return the text that names a person. It never changes."""
    return _code(vault, "U", user_id)


def request_code(vault: Vault, request_id: UUID) -> str:
    """Return the text that names a request for money."""
    return _code(vault, "R", request_id)


def looks_like_code(text: str) -> bool:
    return text.strip()[:6].upper() == "TALLY:"


def read_code(vault: Vault, text: str) -> Meant:
    """Return what a code names. Whether there is such a thing is another question.

    Raises:
        PayCodeInvalid: it is damaged, or was not made here.
    """
    found = _FORM.fullmatch(text.strip())
    data = b""
    if found is not None:
        try:
            data = base64.b32decode(found.group(2).upper() + "====")
        except binascii.Error:
            data = b""
    if found is not None and len(data) == 16 + _CHECK_BYTES:
        kind: _Kind = "U" if found.group(1).upper() == "U" else "R"
        identifier = UUID(bytes=data[:16])
        if hmac.compare_digest(_code(vault, kind, identifier), text.strip().upper()):
            return Meant(identifier, None) if kind == "U" else Meant(None, identifier)
    raise PayCodeInvalid("The code is damaged, or of another service.", fix="Scan the code again.")


def picture(text: str, form: Literal["svg", "png"]) -> bytes:
    """Return the QR code as a file, dark on white, with the margin that readers need."""
    code = segno.make_qr(text, error="m")
    file = io.BytesIO()
    if form == "svg":
        code.save(file, kind="svg", scale=8, border=4, light="#fff", xmldecl=False)
    else:
        code.save(file, kind="png", scale=8, border=4)
    return file.getvalue()


def _code(vault: Vault, kind: _Kind, identifier: UUID) -> str:
    check = hmac.digest(
        vault.derive("payments.pay_code"), kind.encode() + identifier.bytes, "sha256"
    )
    packed = base64.b32encode(identifier.bytes + check[:_CHECK_BYTES]).decode().rstrip("=")
    return f"TALLY:{kind}:{packed}"
