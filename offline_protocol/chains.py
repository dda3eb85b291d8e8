"""Chains: a voucher and the transfers that led from its holder to the present owner.

On the wire a chain is `[voucher, [transfer, certificate], ...]` and a payment is a list of chains;
every object stands in it as the array that its envelope is.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

from offline_protocol import cbor
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.constants import CHAIN_LINKS_MAX, CHAINS_MAX, PAYMENT_BYTES_MAX
from offline_protocol.cose import Signed, unseal_at
from offline_protocol.errors import MalformedCbor, MalformedObject
from offline_protocol.fields import check_many
from offline_protocol.forms import made
from offline_protocol.keys import PublicKey
from offline_protocol.lazy import lazy
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.vouchers import Voucher

_PARTS_OF_HOP = (1, 2)
_PAY = TransferKind.PAY
_ARRAY = cbor.Major.ARRAY


class Hop(NamedTuple):
    """A transfer and the certificate of its signer; the voucher vouches for its holder itself."""

    transfer: Signed[Transfer]
    certificate: Signed[DeviceCertificate] | None = None


class Link(NamedTuple):
    """A hop seen from where it hangs: what the rules about transfers look at.

    `signer` is who had to sign it: the owner of the parent. `giver_before` signed the parent.
    `hops_used` counts the changes of owner up to and including this one.
    """

    voucher: Voucher
    before: Transfer | None
    transfer: Signed[Transfer]
    certificate: Signed[DeviceCertificate] | None
    signer: PublicKey
    giver_before: PublicKey | None
    hops_used: int

    @property
    def parent_id(self) -> bytes:
        return self.voucher.id if self.before is None else self.before.id

    @property
    def parent_interval(self) -> tuple[int, int]:
        return (0, self.voucher.value) if self.before is None else (self.before.lo, self.before.hi)

    @property
    def payment_max(self) -> int:
        """The most that the signer may pay at once, by the certificate and by the voucher."""
        by_voucher = self.voucher.limits.payment_max if self.signer == self.voucher.holder else None
        if self.certificate is None:
            return by_voucher or 0
        by_certificate = self.certificate.body.limits.payment_max
        return by_certificate if by_voucher is None else min(by_certificate, by_voucher)


@dataclass(frozen=True)
class Chain:
    """Who owns which part of a voucher, and by which signatures. Read, not yet verified."""

    voucher: Signed[Voucher]
    hops: tuple[Hop, ...] = ()

    def __post_init__(self) -> None:
        check_many("hops", self.hops, most=CHAIN_LINKS_MAX)

    @property
    def tip(self) -> Transfer | None:
        return self.hops[-1].transfer.body if self.hops else None

    @property
    def tip_id(self) -> bytes:
        """Parent of the next transfer."""
        return self.hops[-1].transfer.id if self.hops else self.voucher.id

    @property
    def owner(self) -> PublicKey:
        return self.voucher.body.holder if self.tip is None else self.tip.payee

    @property
    def lo(self) -> int:
        return 0 if self.tip is None else self.tip.lo

    @property
    def hi(self) -> int:
        return self.voucher.body.value if self.tip is None else self.tip.hi

    @property
    def amount(self) -> int:
        tip = self.tip
        return self.voucher.body.value if tip is None else tip.hi - tip.lo

    @property
    def currency(self) -> str:
        return self.voucher.body.currency

    @property
    def hops_used(self) -> int:
        """Changes of owner so far. Returns and claims are not counted; a returned payment is."""
        return sum(hop.transfer.body.kind is _PAY for hop in self.hops)

    @lazy
    def links(self) -> tuple[Link, ...]:
        links: list[Link] = []
        voucher = self.voucher.body
        before: Transfer | None = None
        signer, giver_before = voucher.holder, None
        used = 0
        for transfer, certificate in self.hops:
            body = transfer.body
            used += body.kind is _PAY
            links.append(Link(voucher, before, transfer, certificate, signer, giver_before, used))
            before, signer, giver_before = body, body.payee, signer
        return tuple(links)

    def extend(
        self, transfer: Signed[Transfer], certificate: Signed[DeviceCertificate] | None = None
    ) -> "Chain":
        """The chain with one more hop."""
        return Chain(self.voucher, (*self.hops, Hop(transfer, certificate)))

    def encode(self) -> bytes:
        return _write_chain(self)

    @classmethod
    def decode(cls, data: bytes) -> "Chain":
        """Read a chain strictly, without verifying.

        Raises:
            ProtocolError: not a chain.
        """
        _check_size(data)
        chain, end = _read_chain(data, 0)
        _check_whole(data, end)
        return chain


@dataclass(frozen=True)
class Payment:
    """What a payer hands over: chains that each end in a transfer to the payee."""

    chains: tuple[Chain, ...]

    def __post_init__(self) -> None:
        check_many("chains", self.chains, least=1, most=CHAINS_MAX)
        for chain in self.chains:
            _check_pays(chain)

    @lazy
    def amount(self) -> int:
        return sum([chain.amount for chain in self.chains])

    @property
    def transfer_ids(self) -> tuple[bytes, ...]:
        """Ids of the last transfers, ascending, as a receipt names them."""
        return tuple(sorted({chain.tip_id for chain in self.chains}))

    def encode(self) -> bytes:
        return _array(len(self.chains)) + b"".join(map(_write_chain, self.chains))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a payment strictly, without verifying.

        Raises:
            ProtocolError: not a payment.
        """
        _check_size(data)
        count, at = cbor.read_head(data, 0, _ARRAY)
        if not 1 <= count <= CHAINS_MAX:
            raise MalformedObject(f"{count} chains, allowed are 1..{CHAINS_MAX}")
        chains = []
        for _ in range(count):
            chain, at = _read_chain(data, at)
            _check_pays(chain)
            chains.append(chain)
        _check_whole(data, at)
        return cls(tuple(chains))


def _write_chain(chain: Chain) -> bytes:
    parts = [_array(1 + len(chain.hops)), chain.voucher.envelope]
    for hop in chain.hops:
        if hop.certificate is None:
            parts += (_array(1), hop.transfer.envelope)
        else:
            parts += (_array(2), hop.transfer.envelope, hop.certificate.envelope)
    return b"".join(parts)


def _array(count: int) -> bytes:
    return cbor.head(_ARRAY, count)


def _read_chain(data: bytes, at: int) -> tuple[Chain, int]:
    count, at = cbor.read_head(data, at, _ARRAY)
    if not 1 <= count <= 1 + CHAIN_LINKS_MAX:
        raise MalformedObject(f"a chain of {count} parts, allowed are 1..{1 + CHAIN_LINKS_MAX}")
    voucher, at = unseal_at(Voucher, data, at)
    hops = []
    for _ in range(count - 1):
        hop, at = _read_hop(data, at)
        hops.append(hop)
    return made(Chain, voucher=voucher, hops=tuple(hops)), at


def _read_hop(data: bytes, at: int) -> tuple[Hop, int]:
    count, at = cbor.read_head(data, at, _ARRAY)
    if count not in _PARTS_OF_HOP:
        raise MalformedObject("a hop is a transfer, or a transfer and a certificate")
    transfer, at = unseal_at(Transfer, data, at)
    if count == 1:
        return Hop(transfer), at
    certificate, at = unseal_at(DeviceCertificate, data, at)
    return Hop(transfer, certificate), at


def _check_pays(chain: Chain) -> None:
    if not chain.hops:
        raise MalformedObject("every chain of a payment ends in a transfer")


def _check_whole(data: bytes, end: int) -> None:
    if end != len(data):
        raise MalformedCbor(f"{len(data) - end} bytes are left over after the value")


def _check_size(data: bytes) -> None:
    if len(data) > PAYMENT_BYTES_MAX:
        raise MalformedCbor(f"{len(data)} bytes, at most {PAYMENT_BYTES_MAX} are read")
