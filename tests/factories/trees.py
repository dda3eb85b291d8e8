"""Trees of transfers under one voucher, unsigned, to test resolution and settlement."""

from dataclasses import dataclass, field

from offline_protocol import (
    NO_REQUEST,
    PublicKey,
    Root,
    Transfer,
    TransferKind,
    Voucher,
    VoucherLimits,
)
from tests.factories.protocol import CLAIM_LIFE, NOW, SPEND_LIFE, entropy, signer_from

CLOSED = NOW + CLAIM_LIFE
OPEN = NOW
SETTLE_KEY = signer_from("settling").public_key


def key_of(name: str) -> PublicKey:
    """The key of a device; "alice/2" is a second device of alice's account."""
    return signer_from("tree", name).public_key


def voucher_for(name: str, value: int, *, serial: object = 0, later: int = 0) -> Voucher:
    return Voucher(
        kid=b"test",
        serial=entropy("tree", serial, size=16),
        currency="EUR",
        value=value,
        holder=key_of(name),
        issued_at=NOW,
        spend_by=NOW + SPEND_LIFE,
        limits=VoucherLimits(8, value),
        claim_by=CLOSED + later,
    )


@dataclass
class Tree:
    """A voucher and what was signed under it, by the names of devices."""

    holder: str
    value: int
    serial: object = 0
    later: int = 0
    transfers: list[Transfer] = field(default_factory=list)
    names: dict[PublicKey, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.voucher = voucher_for(self.holder, self.value, serial=self.serial, later=self.later)
        self.names[self.voucher.holder] = self.holder

    @property
    def top(self) -> bytes:
        return self.voucher.id

    @property
    def root(self) -> Root:
        return Root(self.voucher, tuple(self.transfers))

    def pay(self, parent: bytes, lo: int, hi: int, payee: str) -> bytes:
        self.names[key_of(payee)] = payee
        return self._add(parent, lo, hi, key_of(payee), TransferKind.PAY)

    def claim(self, parent: bytes, lo: int, hi: int) -> bytes:
        return self._add(parent, lo, hi, SETTLE_KEY, TransferKind.CLAIM)

    def account_of(self, key: PublicKey) -> str:
        return self.names[key].partition("/")[0]

    def _add(self, parent: bytes, lo: int, hi: int, payee: PublicKey, kind: TransferKind) -> bytes:
        number = len(self.transfers)
        transfer = Transfer(parent, lo, hi, payee, NO_REQUEST, number, NOW, kind)
        self.transfers.append(transfer)
        return transfer.id
