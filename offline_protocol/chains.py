"""Chains: a voucher and the transfers that led from its holder to the present owner.

On the wire a chain is `[voucher, [transfer, certificate], ...]` and a payment is a list of chains,
every part a byte string holding the exact envelope that was signed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from offline_protocol import cbor
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.constants import CHAIN_LINKS_MAX, CHAINS_MAX, PAYMENT_BYTES_MAX
from offline_protocol.cose import Signed, unseal
from offline_protocol.errors import MalformedObject
from offline_protocol.fields import as_array, as_bytes, check_many
from offline_protocol.keys import PublicKey
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.vouchers import Voucher

_PARTS_OF_HOP = (1, 2)


@dataclass(frozen=True)
class Hop:
    """A transfer and the certificate of its signer; the voucher vouches for its holder itself."""

    transfer: Signed[Transfer]
    certificate: Signed[DeviceCertificate] | None = None


@dataclass(frozen=True)
class Link:
    """A hop seen from where it hangs: what the rules about transfers look at.

    `hops_used` counts the changes of owner up to and including this one.
    """

    voucher: Voucher
    before: Transfer | None
    transfer: Signed[Transfer]
    certificate: Signed[DeviceCertificate] | None
    giver_before: PublicKey | None
    hops_used: int

    @property
    def signer(self) -> PublicKey:
        """Who had to sign: the owner of the parent."""
        return self.voucher.holder if self.before is None else self.before.payee

    @property
    def parent_id(self) -> bytes:
        return self.voucher.id if self.before is None else self.before.id

    @property
    def parent_interval(self) -> tuple[int, int]:
        return (0, self.voucher.value) if self.before is None else (self.before.lo, self.before.hi)

    @property
    def payment_max(self) -> int:
        """The most that the signer may pay at once, by the certificate and by the voucher."""
        caps = [] if self.certificate is None else [self.certificate.body.limits.payment_max]
        if self.signer == self.voucher.holder:
            caps.append(self.voucher.limits.payment_max)
        return min(caps, default=0)


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
        return self.hi - self.lo

    @property
    def currency(self) -> str:
        return self.voucher.body.currency

    @property
    def hops_used(self) -> int:
        """Changes of owner so far. Returns and claims are not counted; a returned payment is."""
        return sum(hop.transfer.body.kind is TransferKind.PAY for hop in self.hops)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        return tuple(self._walk())

    def _walk(self) -> Iterator[Link]:
        before: Transfer | None = None
        giver_before: PublicKey | None = None
        used = 0
        for hop in self.hops:
            used += hop.transfer.body.kind is TransferKind.PAY
            link = Link(
                self.voucher.body, before, hop.transfer, hop.certificate, giver_before, used
            )
            yield link
            giver_before, before = link.signer, hop.transfer.body

    def extend(
        self, transfer: Signed[Transfer], certificate: Signed[DeviceCertificate] | None = None
    ) -> "Chain":
        """The chain with one more hop."""
        return Chain(self.voucher, (*self.hops, Hop(transfer, certificate)))

    def encode(self) -> bytes:
        return cbor.encode(_chain_value(self))

    @classmethod
    def decode(cls, data: bytes) -> "Chain":
        """Read a chain strictly, without verifying.

        Raises:
            ProtocolError: not a chain.
        """
        return _read_chain(cbor.decode(data, bytes_max=PAYMENT_BYTES_MAX))


@dataclass(frozen=True)
class Payment:
    """What a payer hands over: chains that each end in a transfer to the payee."""

    chains: tuple[Chain, ...]

    def __post_init__(self) -> None:
        check_many("chains", self.chains, least=1, most=CHAINS_MAX)
        if not all(chain.hops for chain in self.chains):
            raise MalformedObject("every chain of a payment ends in a transfer")

    @property
    def amount(self) -> int:
        return sum(chain.amount for chain in self.chains)

    @property
    def transfer_ids(self) -> tuple[bytes, ...]:
        """Ids of the last transfers, ascending, as a receipt names them."""
        return tuple(sorted({chain.tip_id for chain in self.chains}))

    def encode(self) -> bytes:
        return cbor.encode([_chain_value(chain) for chain in self.chains])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a payment strictly, without verifying.

        Raises:
            ProtocolError: not a payment.
        """
        value = cbor.decode(data, bytes_max=PAYMENT_BYTES_MAX)
        return cls(tuple(_read_chain(item) for item in as_array(value, "a payment")))


def _chain_value(chain: Chain) -> cbor.Value:
    hops: list[cbor.Value] = []
    for hop in chain.hops:
        parts: list[cbor.Value] = [hop.transfer.envelope]
        if hop.certificate is not None:
            parts.append(hop.certificate.envelope)
        hops.append(parts)
    return [chain.voucher.envelope, *hops]


def _read_chain(value: cbor.Value) -> Chain:
    parts = as_array(value, "a chain")
    if not parts:
        raise MalformedObject("a chain starts with a voucher")
    check_many("hops", parts[1:], most=CHAIN_LINKS_MAX)
    voucher = unseal(Voucher, as_bytes(parts[0], "a voucher"))
    return Chain(voucher, tuple(_read_hop(part) for part in parts[1:]))


def _read_hop(value: cbor.Value) -> Hop:
    parts = [as_bytes(part, "part of a hop") for part in as_array(value, "a hop")]
    if len(parts) not in _PARTS_OF_HOP:
        raise MalformedObject("a hop is a transfer, or a transfer and a certificate")
    certificate = unseal(DeviceCertificate, parts[1]) if len(parts) > 1 else None
    return Hop(unseal(Transfer, parts[0]), certificate)
