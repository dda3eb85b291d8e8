"""Reading and storing what devices upload. Nothing is judged here."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert, select

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.cose import Signed, unseal
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer
from offline_protocol.vouchers import Voucher
from server.kit.unit_of_work import Tx
from server.offline.models import (
    CertificateRow,
    ReceiptRow,
    TransferRow,
    VoucherRow,
)
from server.offline.trees import Node, Tree, grow, read_transfer

_NAMES_MAX = 500
"""Ids in one IN list: both databases have a limit on parameters."""


@dataclass(slots=True)
class Grove:
    """The trees that a command works on, and where each record of them hangs."""

    trees: dict[bytes, Tree] = field(default_factory=dict)
    rows: dict[bytes, VoucherRow] = field(default_factory=dict)
    _roots: dict[bytes, bytes] = field(default_factory=dict)

    def plant(self, row: VoucherRow, tree: Tree) -> None:
        self.trees[row.id] = tree
        self.rows[row.id] = row
        self._roots.update(dict.fromkeys((row.id, *tree.nodes), row.id))

    def tree_with(self, identity: bytes) -> Tree | None:
        """Return the tree that a voucher or transfer stands in."""
        root = self._roots.get(identity)
        return None if root is None else self.trees[root]

    def add(self, tree: Tree, transfer: Signed[Transfer], *, late: bool) -> Node:
        """Hang a transfer that was found valid into one of the trees."""
        self._roots[transfer.id] = tree.root
        return tree.add(transfer, late=late)


async def load_roots(tx: Tx, tenant: int, roots: Collection[bytes], into: Grove) -> None:
    """Load whole trees that are not loaded yet; ids that are no voucher of ours are ignored."""
    missing = sorted(set(roots) - into.trees.keys())
    for names in slices(missing):
        vouchers = await tx.session.scalars(
            select(VoucherRow).where(VoucherRow.tenant == tenant, VoucherRow.id.in_(names))
        )
        found = {row.id: row for row in vouchers}
        records: dict[bytes, list[tuple[Signed[Transfer], bool]]] = {name: [] for name in found}
        query = select(TransferRow.root, TransferRow.envelope, TransferRow.late).where(
            TransferRow.tenant == tenant, TransferRow.root.in_(list(found))
        )
        for root, envelope, late in await tx.session.execute(query):
            records[root].append((read_transfer(envelope), late))
        for root, row in found.items():
            into.plant(row, grow(unseal(Voucher, row.envelope), records[root]))


async def roots_of(tx: Tx, tenant: int, identities: Collection[bytes]) -> set[bytes]:
    """Return the roots in which these vouchers or transfers stand, as far as they are known."""
    roots: set[bytes] = set()
    for names in slices(sorted(set(identities))):
        roots.update(
            await tx.session.scalars(
                select(TransferRow.root)
                .where(TransferRow.tenant == tenant, TransferRow.id.in_(names))
                .distinct()
            )
        )
        roots.update(
            await tx.session.scalars(
                select(VoucherRow.id).where(VoucherRow.tenant == tenant, VoucherRow.id.in_(names))
            )
        )
    return roots


async def load_certificates(
    tx: Tx, tenant: int, keys: Collection[bytes]
) -> dict[bytes, list[Signed[DeviceCertificate]]]:
    """Return every certificate that was issued for these device keys, oldest first."""
    found: dict[bytes, list[Signed[DeviceCertificate]]] = {}
    for names in slices(sorted(set(keys))):
        query = (
            select(CertificateRow.key_id, CertificateRow.envelope)
            .where(CertificateRow.tenant == tenant, CertificateRow.key_id.in_(names))
            .order_by(CertificateRow.valid_from)
        )
        for key, envelope in await tx.session.execute(query):
            found.setdefault(key, []).append(unseal(DeviceCertificate, envelope))
    return found


async def insert_transfers(tx: Tx, tenant: int, nodes: Iterable[tuple[bytes, Node]]) -> None:
    """Store valid transfers, each with the id of its root."""
    rows = [
        {
            "tenant": tenant,
            "id": node.transfer.id,
            "root": root,
            "parent": node.transfer.body.parent,
            "lo": node.transfer.body.lo,
            "hi": node.transfer.body.hi,
            "signer": node.signer.id,
            "payee": node.payee.id,
            "kind": node.transfer.body.kind.name.lower(),
            "sequence": node.transfer.body.sequence,
            "time": node.transfer.body.time,
            "late": node.late,
            "received_at": tx.now,
            "envelope": node.transfer.envelope,
        }
        for root, node in nodes
    ]
    if rows:
        await tx.connection.execute(insert(TransferRow), rows)


async def find_transfers(
    tx: Tx, tenant: int, identities: Collection[bytes]
) -> dict[bytes, TransferRow]:
    """Return the stored transfers with these ids."""
    found: dict[bytes, TransferRow] = {}
    for names in slices(sorted(set(identities))):
        query = select(TransferRow).where(TransferRow.tenant == tenant, TransferRow.id.in_(names))
        found |= {row.id: row for row in await tx.session.scalars(query)}
    return found


async def issued_ids(tx: Tx, tenant: int, identities: Collection[bytes]) -> set[bytes]:
    """Return which of these are ids of vouchers or certificates of ours."""
    issued: set[bytes] = set()
    for names in slices(sorted(set(identities))):
        for table in (VoucherRow, CertificateRow):
            query = select(table.id).where(table.tenant == tenant, table.id.in_(names))
            issued.update(await tx.session.scalars(query))
    return issued


async def known_receipts(tx: Tx, tenant: int, identities: Collection[bytes]) -> set[bytes]:
    query = select(ReceiptRow.id).where(
        ReceiptRow.tenant == tenant, ReceiptRow.id.in_(list(identities))
    )
    return set(await tx.session.scalars(query))


async def insert_receipts(
    tx: Tx, tenant: int, receipts: Mapping[bytes, tuple[Signed[Receipt], bytes]]
) -> None:
    """Store receipts by their ids, each with the key of the payee who signed it."""
    rows = [
        {
            "tenant": tenant,
            "id": identity,
            "payee": payee,
            "received_at": tx.now,
            "envelope": receipt.envelope,
        }
        for identity, (receipt, payee) in receipts.items()
    ]
    if rows:
        await tx.connection.execute(insert(ReceiptRow), rows)


def slices(names: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    """Cut a list of ids into parts that fit one statement."""
    return (names[i : i + _NAMES_MAX] for i in range(0, len(names), _NAMES_MAX))
