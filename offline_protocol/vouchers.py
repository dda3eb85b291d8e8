"""Vouchers: value that the issuer has set aside for one device key.

A voucher of value V is the interval [0, V) of minor units. Its holder signs parts of it away; what
is not signed away stays with the holder, so there is no change.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.constants import HOPS_MAX, KID_BYTES_MAX, SERIAL_BYTES
from offline_protocol.cose import Identified
from offline_protocol.fields import (
    Fields,
    as_array,
    as_uint,
    check_bytes,
    check_currency,
    check_uint,
)
from offline_protocol.forms import KEY, NUMBER, field, fixed, form, made, number
from offline_protocol.keys import PublicKey, read_key


@dataclass(frozen=True)
class VoucherLimits:
    """How often the value may change owner, and the most that its holder may pay at once."""

    hops_max: int
    payment_max: int

    def __post_init__(self) -> None:
        check_uint("hops_max", self.hops_max, least=1, most=HOPS_MAX)
        check_uint("payment_max", self.payment_max)


@dataclass(frozen=True)
class Voucher(Identified):
    """Root of every chain. `serial` is 16 bytes; it may be spent up to and including `spend_by`.

    From `claim_by` on the issuer closes it: what nobody claimed goes to its last known owner.
    """

    NAME: ClassVar[str] = "voucher"
    TYPE: ClassVar[int] = 3

    kid: bytes
    serial: bytes
    currency: str
    value: int
    holder: PublicKey
    issued_at: int
    spend_by: int
    limits: VoucherLimits
    claim_by: int

    def __post_init__(self) -> None:
        check_bytes("kid", self.kid, least=1, most=KID_BYTES_MAX)
        check_bytes("serial", self.serial, least=SERIAL_BYTES)
        check_currency(self.currency)
        check_uint("value", self.value, least=1)
        check_uint("issued_at", self.issued_at)
        check_uint("spend_by", self.spend_by, least=self.issued_at)
        check_uint("claim_by", self.claim_by, least=self.spend_by)

    def to_payload(self) -> bytes:
        return cbor.encode(
            {
                1: self.TYPE,
                2: self.kid,
                3: self.serial,
                4: self.currency,
                5: self.value,
                6: self.holder.raw,
                7: self.issued_at,
                8: self.spend_by,
                9: [self.limits.hops_max, self.limits.payment_max],
                10: self.claim_by,
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        match = _FORM.fullmatch(payload)
        if match is not None:
            kid, serial, currency, value, holder, issued, spend, hops, most, claim = match.groups()
            worth, issued_at = number(value), number(issued)
            spend_by, claim_by = number(spend), number(claim)
            if worth and issued_at <= spend_by <= claim_by:
                return made(
                    cls,
                    kid=kid,
                    serial=serial,
                    currency=currency.decode(),
                    value=worth,
                    holder=read_key(holder[1:]),
                    issued_at=issued_at,
                    spend_by=spend_by,
                    limits=made(VoucherLimits, hops_max=hops[0], payment_max=number(most)),
                    claim_by=claim_by,
                )
        return cls._from_fields(payload)

    @classmethod
    def _from_fields(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE)
        voucher = cls(
            kid=fields.raw(2),
            serial=fields.raw(3),
            currency=fields.text(4),
            value=fields.uint(5),
            holder=fields.key(6),
            issued_at=fields.uint(7),
            spend_by=fields.uint(8),
            limits=_limits(fields.array(9)),
            claim_by=fields.uint(10),
        )
        fields.end()
        return voucher


# What is usual: kids of four bytes and currencies of ISO 4217. Others are read by their fields.
_FORM = form(
    rb"\xaa\x01\x03",
    field(2, rb"\x44(.{4})"),
    field(3, fixed(SERIAL_BYTES)),
    field(4, rb"\x63([A-Z][A-Z0-9]{2})"),
    field(5, NUMBER),
    field(6, KEY),
    field(7, NUMBER),
    field(8, NUMBER),
    field(9, rb"\x82([\x01-\x08])" + NUMBER),
    field(10, NUMBER),
)


def _limits(value: list[cbor.Value]) -> VoucherLimits:
    hops_max, payment_max = as_array(value, "limits", size=2)
    return VoucherLimits(as_uint(hops_max, "hops_max"), as_uint(payment_max, "payment_max"))
