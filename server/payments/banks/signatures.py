"""Signatures between us and a partner bank. Pure.

Both sides sign with the bank's secret, in one header beside the body:

    Tallystick-Signature: t=1767225600,v1=<64 hex digits>

``v1`` is HMAC-SHA256 (RFC 2104) over ``<t>.<purpose>.<body>`` with the secret's ASCII characters as
the key. ``purpose`` is ``webhook`` for what a bank tells us, and method and path, such as
``POST /payouts``, for what we ask of the bank: a message of the one kind is never one of the other.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from server.payments.banks.errors import SignatureExpired, SignatureInvalid

HEADER: Final = "Tallystick-Signature"
WEBHOOK: Final = b"webhook"
_FORM: Final = re.compile(r"t=([0-9]{1,11}),v1=([0-9a-f]{64})", re.ASCII)
_NO_SECRET: Final = b"a bank that is not there has no secret"


def sign(secret: bytes, purpose: bytes, body: bytes, *, at: datetime) -> str:
    """Return the value of the header."""
    stamp = int(at.timestamp())
    return f"t={stamp},v1={_mac(secret, stamp, purpose, body).hex()}"


def check_signature(
    header: str | None,
    secrets: Sequence[bytes],
    purpose: bytes,
    body: bytes,
    *,
    now: datetime,
    window: timedelta,
) -> None:
    """Accept a message that one of the secrets signed within the window around now.

    Takes as long for a bank that does not exist (no secrets) as for one that does.

    Raises:
        SignatureInvalid: the header is missing or malformed, or no secret made it.
        SignatureExpired: it is good, but older than the window, or as far in the future.
    """
    found = _FORM.fullmatch(header or "")
    stamp, shown = (int(found[1]), bytes.fromhex(found[2])) if found else (0, bytes(32))
    good = False
    for secret in secrets or (_NO_SECRET,):
        good |= hmac.compare_digest(_mac(secret, stamp, purpose, body), shown)
    if not (good and secrets and found):
        raise SignatureInvalid(
            "No secret of this bank made this signature.",
            fix=f"Sign '<t>.{purpose.decode()}.' and the very bytes of the body, "
            f"and send the header {HEADER}: t=<seconds since 1970>,v1=<hex>.",
        )
    if abs(now - datetime.fromtimestamp(stamp, UTC)) > window:
        raise SignatureExpired(
            f"The time of a signature is within {int(window.total_seconds())} seconds of ours.",
            fix="Set the clock, and sign anew each time that a notice is sent again.",
        )


def _mac(secret: bytes, stamp: int, purpose: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, b"%d.%b.%b" % (stamp, purpose, body), hashlib.sha256)
