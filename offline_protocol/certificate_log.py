"""The log of certificates: a chain of hashes over every certificate that the issuer ever signed.

Its head travels in key sets and revocation lists. An issuer that certifies a key of its own making
in somebody's name has to log it, where the owner of the name finds it, or to leave it out, and then
everybody who holds the certificate can show that it is not in the log.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from offline_protocol import cbor
from offline_protocol.constants import ID_BYTES
from offline_protocol.fields import as_array, as_bytes, as_uint, check_bytes, check_uint

_START = b"tallystick/1/log"
_ENTRY = b"tallystick/1/log/entry"


@dataclass(frozen=True)
class LogHead:
    """How many certificates are in the log, and the hash over all of them in their order."""

    size: int = 0
    head: bytes = hashlib.sha256(_START).digest()

    def __post_init__(self) -> None:
        check_uint("size of the log", self.size)
        check_bytes("head of the log", self.head, least=ID_BYTES)

    def extend(self, certificate_ids: Iterable[bytes]) -> "LogHead":
        """The head after these certificates too."""
        size, head = self.size, self.head
        for certificate_id in certificate_ids:
            check_bytes("certificate id", certificate_id, least=ID_BYTES)
            size, head = size + 1, hashlib.sha256(_ENTRY + head + certificate_id).digest()
        return LogHead(size, head)

    def to_value(self) -> cbor.Value:
        return [self.size, self.head]

    @classmethod
    def from_value(cls, value: cbor.Value) -> Self:
        """Read the pair of size and head.

        Raises:
            MalformedObject: another form.
        """
        size, head = as_array(value, "a head of the log", size=2)
        return cls(as_uint(size, "size"), as_bytes(head, "head"))
