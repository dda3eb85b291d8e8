"""Signatures of webhooks: Standard Webhooks, symmetric scheme v1 (standardwebhooks.com).

The signature is HMAC-SHA256 over ``id.timestamp.body``. While a secret is being replaced a message
carries a signature of each.
"""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def shown_secret(secret: bytes) -> str:
    """Return the form in which its owner gets a secret."""
    return _PREFIX + base64.b64encode(secret).decode()


def signed_headers(
    message_id: str, at: datetime, body: bytes, secrets: Sequence[bytes]
) -> dict[str, str]:
    """Return the three headers that a receiver checks."""
    timestamp = str(int(at.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = (hmac.digest(secret, content, "sha256") for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            f"v1,{base64.b64encode(signature).decode()}" for signature in signatures
        ),
    }
