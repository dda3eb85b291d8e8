"""Trees of transfers under one voucher, unsigned."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from offline_protocol import NO_REQUEST, PublicKey, Transfer, TransferKind, Voucher, VoucherLimits
from tests.conformance.generate import world
from tests.conformance.generate.world import DAY, NOW, entropy

OPEN, CLOSED = NOW, NOW + 50 * DAY
MOST = 2**53 - 1


_SETTLING = world.SETTLING.public_key


def key_of(name: str) -> PublicKey:
    """The key of a device; `alice/2` is a second device of alice's account."""
    return world.ed25519("settlement", name).public_key


@dataclass
class Tree:
    """A voucher and what was signed under it, by the names of devices."""

    holder: str
    value: int = 1_000
    serial: object = 0
    later: int = 0
    transfers: list[Transfer] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.devices.add(self.holder)
        self.voucher = Voucher(
            kid=b"kid",
            serial=entropy("settlement", self.serial, size=16),
            currency="EUR",
            value=self.value,
            holder=key_of(self.holder),
            issued_at=NOW - DAY,
            spend_by=NOW + 29 * DAY,
            limits=VoucherLimits(8, self.value),
            claim_by=NOW + 43 * DAY + self.later,
        )

    @property
    def top(self) -> bytes:
        return self.voucher.id

    def pay(self, parent: bytes, lo: int, hi: int, payee: str) -> bytes:
        self.devices.add(payee)
        return self._add(parent, lo, hi, key_of(payee), TransferKind.PAY)

    def give_back(self, parent: bytes, lo: int, hi: int, payer: str) -> bytes:
        return self._add(parent, lo, hi, key_of(payer), TransferKind.RETURN)

    def claim(self, parent: bytes, lo: int, hi: int) -> bytes:
        return self._add(parent, lo, hi, _SETTLING, TransferKind.CLAIM)

    def paid(self, payee: str, lo: int, hi: int, *, claimed: bool = True) -> bytes:
        """The holder pays, and the payee claims."""
        paid = self.pay(self.top, lo, hi, payee)
        if claimed:
            self.claim(paid, lo, hi)
        return paid

    def _add(self, parent: bytes, lo: int, hi: int, payee: PublicKey, kind: TransferKind) -> bytes:
        number = len(self.transfers)
        transfer = Transfer(parent, lo, hi, payee, NO_REQUEST, number, NOW, kind)
        self.transfers.append(transfer)
        return transfer.id


def root(tree: Tree, transfers: Sequence[Transfer] | None = None) -> dict[str, Any]:
    shown = tree.transfers if transfers is None else transfers
    return {
        "voucher": tree.voucher.payload.hex(),
        "transfers": [transfer.payload.hex() for transfer in shown],
    }


def policy(*trees: Tree, **changes: Any) -> dict[str, Any]:
    """Everything beside the records; each device belongs to the account before its stroke."""
    devices = sorted(set().union(*(tree.devices for tree in trees)))
    usual = {
        "accounts": {key_of(name).raw.hex(): name.partition("/")[0] for name in devices},
        "excluded": {},
        "instant_limit": {},
        "collateral": {},
        "fund_cap": "0",
        "fund_caps": {},
        "terms": {},
        "now": CLOSED,
    }
    return usual | changes
