"""Letting transfers in: each is judged as soon as its parent is known, in whatever order they come.

Only signed content counts (R1). A transfer whose parent is missing waits; one that comes after its
voucher's claim-by is kept as evidence and moves nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.cose import Signed
from offline_protocol.errors import ProtocolError
from offline_protocol.transfers import Transfer, TransferKind
from server.kit.unit_of_work import Tx
from server.offline.models import VoucherRow
from server.offline.owners import Owners
from server.offline.records import (
    Grove,
    load_certificates,
    load_roots,
    load_vouchers,
    places_of,
    vouchers_among,
)
from server.offline.trees import Judge, Node


class PayeeUnknown(ProtocolError):
    """The transfer pays a key that no device of this issuer has."""

    NUMBER, CODE = 480, "payee_unknown"


class VoucherClosed(ProtocolError):
    """The transfer came after claim-by, when its voucher had been settled for good."""

    NUMBER, CODE = 481, "voucher_closed"


@dataclass(slots=True)
class Admission:
    """Judges transfers against what one transaction sees."""

    tenant: int
    judge: Judge
    now: int
    owners: Owners
    grove: Grove = field(default_factory=Grove)
    certificates: dict[bytes, list[Signed[DeviceCertificate]]] = field(default_factory=dict)
    fresh: list[tuple[bytes, Node]] = field(default_factory=list)
    """New valid transfers, each with its root, in the order in which they were let in."""
    known: set[bytes] = field(default_factory=set)
    """Ids of transfers that were stored before."""
    refusals: dict[bytes, ProtocolError] = field(default_factory=dict)
    """By envelope: a bad signature says nothing about a good one over the same content."""
    waiting: list[Signed[Transfer]] = field(default_factory=list)
    """Transfers whose parents are not known."""
    _let_in: set[bytes] = field(default_factory=set)
    _over: dict[bytes, bool] = field(default_factory=dict)
    """Of each root whether its claim-by has come."""

    async def carry_into(self, tx: Tx) -> bool:
        """Take what was decided outside the write lock into the transaction that has it.

        Returns False when another command has stored something under one of the trees since, or a
        claim-by has passed: then all is to be decided anew.
        """
        now = int(tx.now.timestamp())
        rows = await load_vouchers(tx, self.tenant, self.grove.rows)
        for root, before in self.grove.rows.items():
            row = rows[root]
            if row.records != before.records or _is_over(row, now) != self._over[root]:
                return False
        self.grove.rows = rows
        self.owners.tx = tx
        self.now = now
        return True

    async def load(self, tx: Tx, transfers: Iterable[Signed[Transfer]]) -> None:
        """Load whatever the verdicts on these transfers depend on."""
        queue = list(transfers)
        # What is stored hangs in the tree of its parent, and trees are loaded whole.
        above = {each.body.parent for each in queue} - {each.id for each in queue}
        places = await places_of(tx, self.tenant, above)
        roots = {place.root for place in places.values()}
        roots |= await vouchers_among(tx, self.tenant, above - places.keys())
        await load_roots(tx, self.tenant, roots, self.grove)
        self._over = {root: _is_over(row, self.now) for root, row in self.grove.rows.items()}
        payees = {each.body.payee.id for each in queue if each.body.kind is not TransferKind.CLAIM}
        owners = (tree.owners for tree in self.grove.trees.values())
        await self.owners.learn_keys(payees.union(*owners))
        signers = payees | {owner for owner in map(self._owner_of, above) if owner}
        missing = signers - self.certificates.keys()
        self.certificates |= {key: [] for key in missing}
        self.certificates |= await load_certificates(tx, self.tenant, missing)

    def decide(self, transfers: Iterable[Signed[Transfer]]) -> None:
        """Judge these and those that wait, as far as their parents are known. Pure."""
        queue = [*self.waiting, *transfers]
        while True:
            self.waiting = [each for each in queue if not self._take(each)]
            if len(self.waiting) == len(queue):
                return
            queue = self.waiting

    def _take(self, transfer: Signed[Transfer]) -> bool:
        """Judge one; False when its parent is not known."""
        tree = self.grove.tree_with(transfer.body.parent)
        if tree is None:
            return False
        identity = transfer.id
        if identity in tree.nodes:
            if identity not in self._let_in:
                self.known.add(identity)
            return True
        refusal = self.judge.judge(tree, transfer, self.certificates) or self._stranger(transfer)
        if refusal is not None:
            self.refusals[transfer.envelope] = refusal
            return True
        root = tree.root
        self.fresh.append((root, self.grove.add(tree, transfer, late=self._over[root])))
        self._let_in.add(identity)
        return True

    def _stranger(self, transfer: Signed[Transfer]) -> ProtocolError | None:
        body = transfer.body
        if body.kind is TransferKind.CLAIM or body.payee.id in self.owners.devices:
            return None
        return PayeeUnknown("no device with the payee's key is enrolled; the value stays yours")

    def verdict_on(self, transfer: Signed[Transfer]) -> ProtocolError | None:
        """Return why a transfer that had not to wait moves nothing, or None."""
        refusal = self.refusals.get(transfer.envelope)
        if refusal is not None:
            return refusal
        identity = transfer.id
        tree = self.grove.tree_with(identity)
        if tree is None or not tree.nodes[identity].late:
            return None
        return VoucherClosed("it came after claim-by: kept as evidence, it moves nothing")

    def _owner_of(self, identity: bytes) -> bytes | None:
        tree = self.grove.tree_with(identity)
        if tree is None:
            return None
        node = tree.nodes.get(identity)
        return (tree.voucher.body.holder if node is None else node.payee).id


def _is_over(row: VoucherRow, now: int) -> bool:
    return row.closed or row.claim_by <= now
