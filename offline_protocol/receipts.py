"""Receipts: the payee's word that a payment has been verified and stored."""

from dataclasses import dataclass
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.constants import ID_BYTES, RECEIPT_TRANSFERS_MAX, REQUEST_ID_BYTES
from offline_protocol.cose import Identified
from offline_protocol.errors import MalformedObject
from offline_protocol.fields import Fields, as_bytes, check_bytes, check_many, check_uint


@dataclass(frozen=True)
class Receipt(Identified):
    """`transfer_ids` are the last transfers of the payment's chains, in ascending order."""

    NAME: ClassVar[str] = "receipt"
    TYPE: ClassVar[int] = 6

    transfer_ids: tuple[bytes, ...]
    request_id: bytes
    amount: int
    time: int

    def __post_init__(self) -> None:
        check_many("transfer_ids", self.transfer_ids, least=1, most=RECEIPT_TRANSFERS_MAX)
        for transfer_id in self.transfer_ids:
            check_bytes("transfer id", transfer_id, least=ID_BYTES)
        if list(self.transfer_ids) != sorted(set(self.transfer_ids)):
            raise MalformedObject("the transfer ids of a receipt ascend, each once")
        check_bytes("request_id", self.request_id, least=REQUEST_ID_BYTES)
        check_uint("amount", self.amount, least=1)
        check_uint("time", self.time)

    def to_payload(self) -> bytes:
        return cbor.encode(
            {
                1: self.TYPE,
                2: list(self.transfer_ids),
                3: self.request_id,
                4: self.amount,
                5: self.time,
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE)
        receipt = cls(
            transfer_ids=tuple(as_bytes(item, "a transfer id") for item in fields.array(2)),
            request_id=fields.raw(3),
            amount=fields.uint(4),
            time=fields.uint(5),
        )
        fields.end()
        return receipt
