"""Signatures as docs/banks.md describes them, from the bank's side."""

import hashlib
import hmac
import re

HEADER = "tallystick-signature"
WINDOW_S = 300


def sign(secret: str, purpose: str, body: bytes, now_s: int) -> str:
    message = f"{now_s}.{purpose}.".encode() + body
    return f"t={now_s},v1={hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()}"


def is_signed(secret: str, header: str, purpose: str, body: bytes, now_s: int) -> bool:
    found = re.fullmatch(r"t=([0-9]{1,11}),v1=[0-9a-f]{64}", header)
    if not found or abs(now_s - int(found[1])) > WINDOW_S:
        return False
    return hmac.compare_digest(header, sign(secret, purpose, body, int(found[1])))
