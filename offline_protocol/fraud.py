"""Evidence against a key: two signatures that no honest device makes.

A fraud proof holds two different transfers under one parent whose intervals overlap: a double
spending. A clone alarm holds two different transfers with one sequence number that do not overlap:
the device's state was copied or rolled back; block the key, but nobody lost anything. Both are
checked alone, with no chain and no server, and cannot be made without the key.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from offline_protocol import cbor
from offline_protocol.certificates import DeviceCertificate, KeySet, KeyUse
from offline_protocol.constants import PAYMENT_BYTES_MAX
from offline_protocol.cose import Signed, check_signature, unseal_at
from offline_protocol.errors import (
    BadSignature,
    EvidenceRefused,
    MalformedCbor,
    MalformedObject,
    UnknownIssuerKey,
)
from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer
from offline_protocol.vouchers import Voucher

_PARTS = 3
_PAIR = 2
_CERTIFICATE_KEY = 3

Pair = tuple[Signed[Transfer], Signed[Transfer]]


@dataclass(frozen=True)
class Conviction:
    """What evidence shows: this key signed [lo, hi) of this parent away more than once.

    For a clone alarm `lo` equals `hi`: no unit is contradicted, and `parent` is the first one's.
    """

    key: PublicKey
    parent: bytes
    lo: int
    hi: int


@dataclass(frozen=True)
class Evidence:
    """Two transfers, in the order of their ids, and what names the key that signed both.

    A device that owned value has a certificate; the holder of a voucher is named there too.
    """

    NAME: ClassVar[str]

    first: Signed[Transfer]
    second: Signed[Transfer]
    certificate: Signed[DeviceCertificate] | None = None
    voucher: Signed[Voucher] | None = None

    def __post_init__(self) -> None:
        if self.first.id >= self.second.id:
            raise MalformedObject(
                "evidence holds two different transfers in the order of their ids"
            )
        if (self.certificate is None) == (self.voucher is None):
            raise MalformedObject("evidence names the key by a certificate or by a voucher")

    @property
    def key(self) -> PublicKey:
        """The key that is accused."""
        if self.certificate is not None:
            return self.certificate.body.device_key
        assert self.voucher is not None
        return self.voucher.body.holder

    def encode(self) -> bytes:
        number, named = (3, self.certificate) if self.voucher is None else (4, self.voucher)
        assert named is not None, "one of the two is there"
        parts = ((1, self.first), (2, self.second), (number, named))
        written = (cbor.head(cbor.Major.UINT, key) + part.envelope for key, part in parts)
        return cbor.head(cbor.Major.MAP, _PARTS) + b"".join(written)


EvidenceT = TypeVar("EvidenceT", bound=Evidence)


class FraudProof(Evidence):
    """Two overlapping transfers under one parent."""

    NAME = "fraud-proof"

    @classmethod
    def decode(cls, data: bytes) -> "FraudProof":
        """Read a fraud proof strictly, without verifying.

        Raises:
            ProtocolError: not a fraud proof.
        """
        return _decode(cls, data)


class CloneAlarm(Evidence):
    """Two transfers with one sequence number."""

    NAME = "clone-alarm"

    @classmethod
    def decode(cls, data: bytes) -> "CloneAlarm":
        """Read a clone alarm strictly, without verifying.

        Raises:
            ProtocolError: not a clone alarm.
        """
        return _decode(cls, data)


def build_fraud_proof(
    first: Signed[Transfer],
    second: Signed[Transfer],
    *,
    certificate: Signed[DeviceCertificate] | None = None,
    voucher: Signed[Voucher] | None = None,
) -> FraudProof:
    """Put a proof together, in either order of the transfers.

    Raises:
        EvidenceRefused: the two do not contradict each other.
    """
    first, second = _in_order(first, second)
    proof = FraudProof(first, second, certificate, voucher)
    _check_contradiction(proof)
    return proof


def build_clone_alarm(
    first: Signed[Transfer],
    second: Signed[Transfer],
    *,
    certificate: Signed[DeviceCertificate] | None = None,
    voucher: Signed[Voucher] | None = None,
) -> CloneAlarm:
    """Put an alarm together, in either order of the transfers.

    Raises:
        EvidenceRefused: the numbers differ, or the two overlap, which is worse: a fraud proof.
    """
    first, second = _in_order(first, second)
    alarm = CloneAlarm(first, second, certificate, voucher)
    _check_same_sequence(alarm)
    return alarm


def verify_fraud_proof(proof: FraudProof, key_set: KeySet) -> Conviction:
    """Judge a proof by itself. Time plays no part: a contradiction stays one.

    Raises:
        EvidenceRefused: it proves nothing; `number` says why (701 to 705).
    """
    _check_contradiction(proof)
    _check_signatures(proof, key_set)
    first, second = proof.first.body, proof.second.body
    return Conviction(proof.key, first.parent, max(first.lo, second.lo), min(first.hi, second.hi))


def verify_clone_alarm(alarm: CloneAlarm, key_set: KeySet) -> Conviction:
    """Judge an alarm by itself.

    Raises:
        EvidenceRefused: it shows nothing; `number` says why (703 to 707).
    """
    _check_same_sequence(alarm)
    _check_signatures(alarm, key_set)
    first = alarm.first.body
    return Conviction(alarm.key, first.parent, first.lo, first.lo)


def find_forks(transfers: Iterable[Signed[Transfer]]) -> list[Pair]:
    """Pairs of transfers that contradict each other, each in the order of their ids.

    The transfers must have been verified: then all children of one parent have one signer. Every
    transfer that contradicts an earlier interval is in a pair, but not every pair is given, so the
    answer is never longer than the question. Doubles do no harm.
    """
    transfers = list(transfers)
    if len(transfers) < _PAIR:
        return []
    children: dict[bytes, dict[bytes, Signed[Transfer]]] = defaultdict(dict)
    for transfer in transfers:
        children[transfer.body.parent].setdefault(transfer.id, transfer)
    pairs: list[Pair] = []
    for parent in sorted(children):
        reaching: Signed[Transfer] | None = None
        for each in sorted(children[parent].values(), key=lambda t: (t.body.lo, t.body.hi, t.id)):
            if reaching is not None and each.body.lo < reaching.body.hi:
                pairs.append(_in_order(reaching, each))
            if reaching is None or each.body.hi > reaching.body.hi:
                reaching = each
    return pairs


def find_clones(signed: Iterable[tuple[PublicKey, Signed[Transfer]]]) -> list[Pair]:
    """Pairs of transfers that one key gave one sequence number and that do not overlap.

    A number gives at most one pair, that of its two smallest ids. Where those two overlap it gives
    none: `find_forks` has them.
    """
    signed = list(signed)
    if len(signed) < _PAIR:
        return []
    by_number: dict[tuple[bytes, int], dict[bytes, Signed[Transfer]]] = defaultdict(dict)
    for key, transfer in signed:
        by_number[key.id, transfer.body.sequence].setdefault(transfer.id, transfer)
    pairs: list[Pair] = []
    for _, same_number in sorted(by_number.items()):
        smallest = heapq.nsmallest(2, same_number.items())
        if len(smallest) > 1:
            (_, first), (_, second) = smallest
            if not first.body.overlaps(second.body):
                pairs.append((first, second))
    return pairs


def _decode(kind: type[EvidenceT], data: bytes) -> EvidenceT:
    if len(data) > PAYMENT_BYTES_MAX:
        raise MalformedCbor(f"{len(data)} bytes, at most {PAYMENT_BYTES_MAX} are read")
    count, at = cbor.read_head(data, 0, cbor.Major.MAP)
    if count != _PARTS:
        raise MalformedObject(f"{kind.NAME} has three parts")
    first, at = unseal_at(Transfer, data, _skip_key(data, at, {1}))
    second, at = unseal_at(Transfer, data, _skip_key(data, at, {2}))
    named_at = _skip_key(data, at, {3, 4})
    certificate = voucher = None
    if data[at] == _CERTIFICATE_KEY:
        certificate, at = unseal_at(DeviceCertificate, data, named_at)
    else:
        voucher, at = unseal_at(Voucher, data, named_at)
    if at != len(data):
        raise MalformedCbor(f"{len(data) - at} bytes are left over after the value")
    return kind(first, second, certificate, voucher)


def _skip_key(data: bytes, at: int, allowed: set[int]) -> int:
    key, at = cbor.read_head(data, at, cbor.Major.UINT)
    if key not in allowed:
        raise MalformedObject(f"part {key} where {sorted(allowed)} is needed")
    return at


def _in_order(first: Signed[Transfer], second: Signed[Transfer]) -> Pair:
    return (first, second) if first.id < second.id else (second, first)


def _check_contradiction(proof: FraudProof) -> None:
    first, second = proof.first.body, proof.second.body
    if first.parent != second.parent:
        raise EvidenceRefused("the transfers have different parents", number=701, code="no_fork")
    if not first.overlaps(second):
        raise EvidenceRefused("the intervals do not overlap", number=702, code="no_overlap")


def _check_same_sequence(alarm: CloneAlarm) -> None:
    first, second = alarm.first.body, alarm.second.body
    if first.sequence != second.sequence:
        raise EvidenceRefused("the numbers differ", number=706, code="no_clone")
    if first.overlaps(second):
        raise EvidenceRefused(
            "the transfers overlap: build a fraud proof", number=707, code="worse_than_clone"
        )


def _check_signatures(evidence: Evidence, key_set: KeySet) -> None:
    named: Signed[DeviceCertificate] | Signed[Voucher]
    if evidence.certificate is not None:
        named, at = evidence.certificate, evidence.certificate.body.valid_from
    else:
        assert evidence.voucher is not None
        named, at = evidence.voucher, evidence.voucher.body.issued_at
    try:
        issuer = key_set.key(named.body.kid, at, KeyUse.ISSUE)
    except UnknownIssuerKey as error:
        raise EvidenceRefused(error.message, number=703, code="unknown_issuer") from error
    try:
        check_signature(named, issuer)
    except BadSignature as error:
        raise EvidenceRefused(
            "the issuer did not sign what names the key", number=704, code="not_issued"
        ) from error
    try:
        check_signature(evidence.first, evidence.key)
        check_signature(evidence.second, evidence.key)
    except BadSignature as error:
        raise EvidenceRefused(
            "the key did not sign both transfers", number=705, code="not_signed"
        ) from error
