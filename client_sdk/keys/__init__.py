"""Where keys live: in software, in a token, or behind an interface that a phone can implement."""

from client_sdk.keys.provider import (
    FILE_KEY_BYTES,
    AsksPerson,
    Attestation,
    AttestsKeys,
    DeletesKeys,
    KeyProvider,
    Spending,
)
from client_sdk.keys.software import SoftwareKeys

__all__ = [
    "FILE_KEY_BYTES",
    "AsksPerson",
    "Attestation",
    "AttestsKeys",
    "DeletesKeys",
    "KeyProvider",
    "SoftwareKeys",
    "Spending",
]
