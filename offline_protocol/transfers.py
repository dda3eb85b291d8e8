"""Transfers: the one object that pays, cancels, refunds and deposits.

Its signer, the owner of `parent`, says: the units [lo, hi) of `parent` now belong to `payee`. An
honest key never signs two overlapping children of one parent; two such signatures are the proof of
double spending.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.constants import ID_BYTES, REQUEST_ID_BYTES
from offline_protocol.cose import Identified
from offline_protocol.errors import MalformedObject
from offline_protocol.fields import Fields, check_bytes, check_uint
from offline_protocol.forms import KEY, NUMBER, field, fixed, form, made, number
from offline_protocol.keys import PublicKey, read_key


class TransferKind(IntEnum):
    """Why the value moves. The rules about each stand in `chain_rules.py`."""

    PAY = 0
    RETURN = 1
    """A payee hands the whole of what it was paid back to the payer."""
    CLAIM = 2
    """An owner hands value to the issuer, to be credited online."""


@dataclass(frozen=True)
class Transfer(Identified):
    """One hop. `parent` is the id of the voucher or the transfer that made the signer the owner.

    `sequence` counts what the device has signed: a number used twice shows that its state was
    copied or rolled back. A return repeats the request id of the transfer that it returns, a claim
    has `NO_REQUEST`.
    """

    NAME: ClassVar[str] = "transfer"
    TYPE: ClassVar[int] = 5

    parent: bytes
    lo: int
    hi: int
    payee: PublicKey
    request_id: bytes
    sequence: int
    time: int
    kind: TransferKind = TransferKind.PAY

    def __post_init__(self) -> None:
        check_bytes("parent", self.parent, least=ID_BYTES)
        check_uint("lo", self.lo)
        check_uint("hi", self.hi, least=self.lo + 1)
        check_bytes("request_id", self.request_id, least=REQUEST_ID_BYTES)
        check_uint("sequence", self.sequence)
        check_uint("time", self.time)
        check_uint("kind", self.kind, most=max(TransferKind))
        object.__setattr__(self, "kind", TransferKind(self.kind))

    @property
    def amount(self) -> int:
        """Minor units that move."""
        return self.hi - self.lo

    def overlaps(self, other: "Transfer") -> bool:
        """Whether both sign away some unit of one parent. Touching intervals do not overlap."""
        return self.parent == other.parent and self.lo < other.hi and other.lo < self.hi

    def to_payload(self) -> bytes:
        fields: dict[int, cbor.Value] = {
            1: self.TYPE,
            2: self.parent,
            3: self.lo,
            4: self.hi,
            5: self.payee.raw,
            6: self.request_id,
            7: self.sequence,
            8: self.time,
        }
        if self.kind is not TransferKind.PAY:
            fields[9] = int(self.kind)
        return cbor.encode(fields)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        match = _FORM.fullmatch(payload)
        if match is not None:
            parent, lo, hi, payee, request_id, sequence, time, kind = match.groups()
            first, end = number(lo), number(hi)
            if first < end:
                return made(
                    cls,
                    parent=parent,
                    lo=first,
                    hi=end,
                    payee=read_key(payee[1:]),
                    request_id=request_id,
                    sequence=number(sequence),
                    time=number(time),
                    kind=_KINDS[kind],
                )
        return cls._from_fields(payload)

    @classmethod
    def _from_fields(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE)
        transfer = cls(
            parent=fields.raw(2),
            lo=fields.uint(3),
            hi=fields.uint(4),
            payee=fields.key(5),
            request_id=fields.raw(6),
            sequence=fields.uint(7),
            time=fields.uint(8),
            kind=_kind(fields.uint(9)) if fields.has(9) else TransferKind.PAY,
        )
        fields.end()
        return transfer


_KINDS = {None: TransferKind.PAY, b"\x01": TransferKind.RETURN, b"\x02": TransferKind.CLAIM}
_FORM = form(
    rb"(?:\xa8|\xa9(?=.*\x09[\x01\x02]\Z))\x01\x05",
    field(2, fixed(ID_BYTES)),
    field(3, NUMBER),
    field(4, NUMBER),
    field(5, KEY),
    field(6, fixed(REQUEST_ID_BYTES)),
    field(7, NUMBER),
    field(8, NUMBER),
    rb"(?:\x09([\x01\x02]))?",
)


def _kind(value: int) -> TransferKind:
    if value not in {TransferKind.RETURN, TransferKind.CLAIM}:
        raise MalformedObject(f"{value} is no kind of transfer; to pay is to leave the field out")
    return TransferKind(value)
