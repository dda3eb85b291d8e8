"""Key bindings: a further key of a device says whose it is.

A device may have several certified keys, so that payees who compare notes see different payers. The
issuer certifies a further key when that key has signed a binding to the device's first one.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.constants import ID_BYTES
from offline_protocol.cose import Identified
from offline_protocol.fields import Fields, check_bytes
from offline_protocol.keys import PublicKey


@dataclass(frozen=True)
class KeyBinding(Identified):
    """`bound` belongs to the device that was enrolled with `owner`. Signed by `bound`.

    `issuer` is the id of the issuer's root key: a binding counts for one issuer only.
    """

    NAME: ClassVar[str] = "key-binding"
    TYPE: ClassVar[int] = 10

    owner: PublicKey
    bound: PublicKey
    issuer: bytes

    def __post_init__(self) -> None:
        check_bytes("issuer", self.issuer, least=ID_BYTES)

    def to_payload(self) -> bytes:
        return cbor.encode({1: self.TYPE, 2: self.owner.raw, 3: self.bound.raw, 4: self.issuer})

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE)
        binding = cls(owner=fields.key(2), bound=fields.key(3), issuer=fields.raw(4))
        fields.end()
        return binding
