"""A root and everything that is known below it, and the rules (R1) for what may be added. Pure.

Whether a transfer is valid depends on signed content and on certificates that we issued, never on
when it arrived; so a tree that has the same records is the same tree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.chain_rules import (
    TRANSFER_RULES,
    transfer_certificate_issued,
    transfer_signed,
)
from offline_protocol.chains import Link
from offline_protocol.cose import Signed, check_signature, unseal
from offline_protocol.errors import ChainRefused, ProtocolError
from offline_protocol.keys import PublicKey
from offline_protocol.receipts import Receipt
from offline_protocol.resolution import Root
from offline_protocol.rules import TrustContext, walk
from offline_protocol.transfers import Transfer, TransferKind
from offline_protocol.vouchers import Voucher

_DECODED_MAX = 1 << 14
_ISSUED_MAX = 1 << 12
# Certificates come from our own table, and a signature is checked once (see `Judge`).
_RULES = tuple(
    each for each in TRANSFER_RULES if each not in {transfer_certificate_issued, transfer_signed}
)

Certificates = Mapping[bytes, Sequence[Signed[DeviceCertificate]]]
"""By the id of the device key."""


@lru_cache(_DECODED_MAX)
def read_transfer(envelope: bytes) -> Signed[Transfer]:
    """Read a transfer strictly; the same bytes are read once.

    Raises:
        ProtocolError: not a transfer.
    """
    return unseal(Transfer, envelope)


@lru_cache(_ISSUED_MAX)
def read_voucher(envelope: bytes) -> Signed[Voucher]:
    """Read a voucher strictly; the same bytes are read once. Raises as `read_transfer` does."""
    return unseal(Voucher, envelope)


@lru_cache(_ISSUED_MAX)
def read_certificate(envelope: bytes) -> Signed[DeviceCertificate]:
    """Read a certificate strictly; the same bytes are read once. Raises as `read_transfer` does."""
    return unseal(DeviceCertificate, envelope)


class Node(NamedTuple):
    """A valid transfer and where it hangs. ``hops`` counts changes of owner down to it."""

    id: bytes
    transfer: Signed[Transfer]
    signer: PublicKey
    hops: int
    late: bool

    @property
    def payee(self) -> PublicKey:
        return self.transfer.body.payee


@dataclass(slots=True)
class Tree:
    """A voucher and the valid transfers below it, by id; grows only."""

    voucher: Signed[Voucher]
    nodes: dict[bytes, Node] = field(default_factory=dict)
    children: dict[bytes, list[Node]] = field(default_factory=dict)
    """By the id of the voucher or transfer under which they hang."""
    owners: set[bytes] = field(default_factory=set)
    """Ids of all device keys that ever owned part of it."""
    claimants: set[bytes] = field(default_factory=set)
    """Ids of the keys that claimed part of it."""

    root: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.voucher.id
        self.owners.add(self.voucher.body.holder.id)

    def signer_of(self, transfer: Signed[Transfer]) -> PublicKey:
        """Return the owner of a transfer's parent, who alone can sign it; that must be here."""
        parent = self.nodes.get(transfer.body.parent)
        return self.voucher.body.holder if parent is None else parent.payee

    def link(
        self, transfer: Signed[Transfer], certificate: Signed[DeviceCertificate] | None
    ) -> Link:
        """See a transfer from where it would hang; its parent must be here."""
        paid = transfer.body.kind is TransferKind.PAY
        parent = self.nodes.get(transfer.body.parent)
        if parent is None:
            holder = self.voucher.body.holder
            return Link(self.voucher.body, None, transfer, certificate, holder, None, int(paid))
        return Link(
            self.voucher.body,
            parent.transfer.body,
            transfer,
            certificate,
            parent.payee,
            parent.signer,
            parent.hops + paid,
        )

    def add(self, transfer: Signed[Transfer], *, late: bool) -> Node:
        """Hang a transfer that was found valid."""
        body = transfer.body
        parent = self.nodes.get(body.parent)
        signer = self.voucher.body.holder if parent is None else parent.payee
        hops = (0 if parent is None else parent.hops) + (body.kind is TransferKind.PAY)
        node = Node(transfer.id, transfer, signer, hops, late)
        self.nodes[node.id] = node
        self.children.setdefault(body.parent, []).append(node)
        if body.kind is TransferKind.CLAIM:
            # It goes to the issuer's own key, which is nobody's device.
            self.claimants.add(signer.id)
        else:
            self.owners.add(body.payee.id)
        return node

    def below(self, *identities: bytes) -> list[Node]:
        """Return these nodes and all that come from them."""
        found, queue = [], [self.nodes[identity] for identity in identities]
        while queue:
            node = queue.pop()
            found.append(node)
            queue.extend(self.children.get(node.id, ()))
        return found

    def above(self, identities: Iterable[bytes]) -> set[bytes]:
        """Return the ids of everything that these transfers come from, up to the voucher."""
        found: set[bytes] = set()
        for identity in identities:
            node = self.nodes.get(identity)
            while node is not None and node.transfer.body.parent not in found:
                found.add(node.transfer.body.parent)
                node = self.nodes.get(node.transfer.body.parent)
        return found

    def settled_by(self) -> Root:
        """Return what settlement may look at: the records that came before claim-by."""
        in_time = (n.transfer.body for n in self.nodes.values() if not n.late)
        return Root(self.voucher.body, tuple(in_time))


def grow(voucher: Signed[Voucher], stored: Iterable[tuple[Signed[Transfer], bool]]) -> Tree:
    """Rebuild a tree from records that were valid when they were stored, in any order."""
    tree = Tree(voucher)
    waiting: dict[bytes, list[tuple[Signed[Transfer], bool]]] = {}
    for transfer, late in stored:
        waiting.setdefault(transfer.body.parent, []).append((transfer, late))
    queue = [tree.root]
    while queue:
        for transfer, late in waiting.pop(queue.pop(), ()):
            tree.add(transfer, late=late)
            queue.append(transfer.id)
    assert not waiting, "a stored transfer has no parent"
    return tree


class Judge:
    """Applies R1. Remembers by their bytes what it found valid, so that no verdict pays twice."""

    def __init__(self, context: TrustContext) -> None:
        self._context = context
        self._verified: set[tuple[bytes, bytes]] = set()
        self._valid: set[bytes] = set()

    def judge(
        self, tree: Tree, transfer: Signed[Transfer], certificates: Certificates
    ) -> ProtocolError | None:
        """Return why a transfer cannot hang in the tree, or None when it can.

        Its parent must be in the tree. Of a signer's certificates any one may make it valid: the
        signer showed one of them to the payee, and we cannot know which. A transfer names its
        parent by content, and with it everything above; so what was valid stays valid, whatever
        other certificates there are.
        """
        if transfer.envelope in self._valid:
            return None
        refusal: ProtocolError | None = None
        for certificate in _choices(tree, transfer, certificates):
            link = tree.link(transfer, certificate)
            try:
                walk(_RULES, link, self._context)
            except ChainRefused as error:
                refusal = refusal or error
                continue
            try:
                transfer_signed.enforce(link, self._context)
            except ChainRefused as error:
                return error
            self._valid.add(transfer.envelope)
            return None
        assert refusal is not None
        return refusal

    def check_receipt(self, receipt: Signed[Receipt], payee: PublicKey) -> None:
        """Check a receipt's signature, once for the same bytes and key.

        Raises:
            BadSignature: the payee did not sign it.
        """
        known = (receipt.envelope, payee.id)
        if known not in self._verified:
            check_signature(receipt, payee)
            self._verified.add(known)


def _choices(
    tree: Tree, transfer: Signed[Transfer], certificates: Certificates
) -> Sequence[Signed[DeviceCertificate] | None]:
    """Return what the signer may have shown beside the transfer; the holder may do without."""
    signer = tree.signer_of(transfer)
    own = certificates.get(signer.id, ())
    return (None, *own) if signer == tree.voucher.body.holder else own or (None,)
