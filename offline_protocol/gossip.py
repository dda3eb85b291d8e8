"""Bodies of the frames in which two devices exchange evidence after a payment.

A tag says "units [lo, hi) of a parent whose id begins like this were signed away, and I have seen
it". It is not signed: it can be a reason to ask, never a reason to convict or to refuse. A spend is
the signed transfer behind a tag, with what names its signer; two of them that contradict each other
are a fraud proof, made on the spot.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from offline_protocol import cbor
from offline_protocol.certificates import DeviceCertificate, KeySet
from offline_protocol.chains import Chain
from offline_protocol.constants import PAYMENT_BYTES_MAX
from offline_protocol.cose import Signed, unseal_at
from offline_protocol.errors import EvidenceRefused, MalformedCbor, MalformedObject
from offline_protocol.fields import Fields, as_array, as_bytes, as_uint, check_bytes, check_uint
from offline_protocol.fraud import FraudProof, build_fraud_proof, verify_fraud_proof
from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer
from offline_protocol.vouchers import Voucher

TAG_PREFIX_BYTES: Final = 8
TAGS_MAX: Final = 256
WANTS_MAX: Final = 16
SPENDS_MAX: Final = 32
PROOFS_MAX: Final = 32
"""Proofs named in NEWS, and proofs sent in one meeting."""

_PROOF_PREFIX_BYTES: Final = 8
_TAG_PARTS: Final = 3
_TRANSFER_KEY, _CERTIFICATE_KEY, _VOUCHER_KEY = 1, 3, 4
_SPEND_PARTS: Final = 2


def proof_prefix(proof_id: bytes) -> bytes:
    """What stands in NEWS for the id of a fraud proof."""
    return proof_id[:_PROOF_PREFIX_BYTES]


@dataclass(frozen=True)
class News:
    """Body of a NEWS frame: how much a device knows, and how many bytes it takes in this meeting.

    It is not signed and only saves bytes: whoever understates is told what it knows, and whoever
    overstates is told nothing.
    """

    epoch: int
    key_set_version: int
    policy_version: int
    budget: int
    proofs: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        check_uint("epoch", self.epoch)
        check_uint("key_set_version", self.key_set_version)
        check_uint("policy_version", self.policy_version)
        check_uint("budget", self.budget)
        for prefix in self.proofs:
            check_bytes("proof", prefix, least=_PROOF_PREFIX_BYTES)
        if len(self.proofs) > PROOFS_MAX or list(self.proofs) != sorted(set(self.proofs)):
            raise MalformedObject(f"proofs are at most {PROOFS_MAX} prefixes, ascending, each once")

    def encode(self) -> bytes:
        fields: dict[int, cbor.Value] = {
            1: self.epoch,
            2: self.key_set_version,
            3: self.policy_version,
            4: self.budget,
        }
        if self.proofs:
            fields[5] = b"".join(self.proofs)
        return cbor.encode(fields)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read it.

        Raises:
            ProtocolError: not the body of a NEWS frame.
        """
        fields = Fields("news", data, type_number=None)
        epoch, key_set_version, policy_version, budget = map(fields.uint, (1, 2, 3, 4))
        joined, step = fields.raw(5) if fields.has(5) else None, _PROOF_PREFIX_BYTES
        if joined is not None and (not joined or len(joined) % step):
            raise MalformedObject("proofs are prefixes of 8 bytes, or left out")
        fields.end()
        joined = joined or b""
        prefixes = (joined[at : at + step] for at in range(0, len(joined), step))
        return cls(epoch, key_set_version, policy_version, budget, tuple(prefixes))


class Tag(NamedTuple):
    """Units [lo, hi) of a parent whose id begins with `prefix` were signed away."""

    prefix: bytes
    lo: int
    hi: int

    @classmethod
    def of(cls, transfer: Transfer) -> "Tag":
        return cls(transfer.parent[:TAG_PREFIX_BYTES], transfer.lo, transfer.hi)

    def overlaps(self, other: "Tag") -> bool:
        return self.prefix == other.prefix and self.lo < other.hi and other.lo < self.hi


def write_tags(tags: Iterable[Tag]) -> bytes:
    """Body of a TAGS or a WANT frame."""
    return cbor.encode([[tag.prefix, tag.lo, tag.hi] for tag in tags])


def read_tags(data: bytes, *, most: int) -> tuple[Tag, ...]:
    """Read the body of a TAGS frame (at most `TAGS_MAX`) or a WANT frame (`WANTS_MAX`).

    Raises:
        ProtocolError: another form, too many, or a tag twice.
    """
    value = as_array(cbor.decode(data, bytes_max=PAYMENT_BYTES_MAX), "tags")
    if len(value) > most:
        raise MalformedObject(f"{len(value)} tags, allowed are 0..{most}")
    tags = tuple(map(_read_tag, value))
    if len(set(tags)) != len(tags):
        raise MalformedObject("a tag is there twice")
    return tags


def _read_tag(value: cbor.Value) -> Tag:
    prefix, lo, hi = as_array(value, "a tag", size=_TAG_PARTS)
    tag = Tag(as_bytes(prefix, "prefix"), as_uint(lo, "lo"), as_uint(hi, "hi"))
    check_bytes("prefix", tag.prefix, least=TAG_PREFIX_BYTES)
    check_uint("hi", tag.hi, least=tag.lo + 1)
    return tag


@dataclass(frozen=True)
class Spend:
    """A signed transfer and the certificate or voucher in which the issuer names its signer."""

    transfer: Signed[Transfer]
    named: Signed[DeviceCertificate] | Signed[Voucher]

    @property
    def tag(self) -> Tag:
        return Tag.of(self.transfer.body)

    @property
    def signer(self) -> PublicKey:
        body = self.named.body
        return body.device_key if isinstance(body, DeviceCertificate) else body.holder

    def encode(self) -> bytes:
        certified = isinstance(self.named.body, DeviceCertificate)
        parts = (
            (_TRANSFER_KEY, self.transfer.envelope),
            (_CERTIFICATE_KEY if certified else _VOUCHER_KEY, self.named.envelope),
        )
        written = (cbor.head(cbor.Major.UINT, key) + envelope for key, envelope in parts)
        return cbor.head(cbor.Major.MAP, len(parts)) + b"".join(written)

    def proves_against(self, other: "Spend", key_set: KeySet) -> FraudProof | None:
        """The proof that the two make, verified; None when they are no contradiction."""
        body = self.named.body
        certificate = voucher = None
        if isinstance(body, DeviceCertificate):
            certificate = Signed(body, self.named.envelope)
        else:
            voucher = Signed(body, self.named.envelope)
        if self.transfer.id == other.transfer.id:
            return None
        try:
            proof = build_fraud_proof(
                self.transfer,
                other.transfer,
                certificate=certificate,
                voucher=voucher,
            )
            verify_fraud_proof(proof, key_set)
        except EvidenceRefused:
            return None
        return proof


def spends_of(chain: Chain) -> tuple[Spend, ...]:
    """Every transfer of a verified chain with what names its signer."""
    return tuple(
        Spend(hop.transfer, chain.voucher if hop.certificate is None else hop.certificate)
        for hop in chain.hops
    )


def write_spends(spends: Iterable[Spend]) -> bytes:
    """Body of a RECORDS frame."""
    written = [spend.encode() for spend in spends]
    return cbor.head(cbor.Major.ARRAY, len(written)) + b"".join(written)


def read_spends(data: bytes) -> tuple[Spend, ...]:
    """Read the body of a RECORDS frame strictly, without verifying.

    Raises:
        ProtocolError: another form, or too many.
    """
    if len(data) > PAYMENT_BYTES_MAX:
        raise MalformedCbor(f"{len(data)} bytes, at most {PAYMENT_BYTES_MAX} are read")
    count, at = cbor.read_head(data, 0, cbor.Major.ARRAY)
    if count > SPENDS_MAX:
        raise MalformedObject(f"{count} records, allowed are 0..{SPENDS_MAX}")
    spends = []
    for _ in range(count):
        spend, at = _read_spend(data, at)
        spends.append(spend)
    if at != len(data):
        raise MalformedCbor(f"{len(data) - at} bytes are left over after the value")
    return tuple(spends)


def _read_spend(data: bytes, at: int) -> tuple[Spend, int]:
    parts, at = cbor.read_head(data, at, cbor.Major.MAP)
    if parts != _SPEND_PARTS:
        raise MalformedObject("a record has two parts")
    key, at = cbor.read_head(data, at, cbor.Major.UINT)
    if key != _TRANSFER_KEY:
        raise MalformedObject("a record begins with a transfer")
    transfer, at = unseal_at(Transfer, data, at)
    key, at = cbor.read_head(data, at, cbor.Major.UINT)
    named: Signed[DeviceCertificate] | Signed[Voucher]
    if key == _CERTIFICATE_KEY:
        named, at = unseal_at(DeviceCertificate, data, at)
    elif key == _VOUCHER_KEY:
        named, at = unseal_at(Voucher, data, at)
    else:
        raise MalformedObject("a record names its signer by a certificate or by a voucher")
    return Spend(transfer, named), at
