"""Reading and storing what devices upload. Nothing is judged here."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from sqlalchemy import select

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.cose import Signed
from offline_protocol.receipts import Receipt
from offline_protocol.transfers import Transfer, TransferKind
from server.kit.bulk import counts_from, insert_rows, pairs_repeated, rows_among
from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx
from server.offline.models import (
    CertificateRow,
    ReceiptRow,
    TransferRow,
    VoucherRow,
)
from server.offline.trees import (
    Node,
    Tree,
    grow,
    read_certificate,
    read_transfer,
    read_voucher,
)

_TRANSFERS = TransferRow.__tablename__
_TRANSFER_COLUMNS = (
    *("tenant", "id", "root", "parent", "lo", "hi", "signer", "payee", "kind"),
    *("sequence", "time", "late", "received_at", "envelope"),
)
_KINDS = {kind: kind.name.lower() for kind in TransferKind}
Name = TypeVar("Name")
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

    def holds(self, identity: bytes) -> bool:
        """Return whether a voucher or transfer stands in one of the trees."""
        return identity in self._roots

    def add(self, tree: Tree, transfer: Signed[Transfer], *, late: bool) -> Node:
        """Hang a transfer that was found valid into one of the trees."""
        node = tree.add(transfer, late=late)
        self._roots[node.id] = tree.root
        return node


class Place(NamedTuple):
    """Where a stored transfer hangs, and whether it had come too late."""

    root: bytes
    late: bool


class StoredTransfer(NamedTuple):
    """A transfer as it is kept; ``signer`` is the id of a key."""

    envelope: bytes
    signer: bytes


async def load_roots(tx: Tx, tenant: int, roots: Collection[bytes], into: Grove) -> None:
    """Load whole trees that are not loaded yet; ids that are no voucher of ours are ignored."""
    missing = sorted(set(roots) - into.trees.keys())
    found = await load_vouchers(tx, tenant, missing)
    records: dict[bytes, list[tuple[Signed[Transfer], bool]]] = {name: [] for name in found}
    filled = [name for name, row in found.items() if row.records]
    for root, envelope, late in await rows_among(
        tx, _TRANSFERS, "root, envelope, late", tenant=tenant, column="root", values=filled
    ):
        records[root].append((read_transfer(envelope), bool(late)))
    for root, row in found.items():
        assert len(records[root]) == row.records, "every record of a voucher is counted"
        into.plant(row, grow(read_voucher(row.envelope), records[root]))


async def load_vouchers(
    tx: Tx, tenant: int, identities: Iterable[bytes]
) -> dict[bytes, VoucherRow]:
    """Return the rows of those vouchers that are ours."""
    found: dict[bytes, VoucherRow] = {}
    for names in slices(sorted(identities)):
        query = select(VoucherRow).where(VoucherRow.tenant == tenant, VoucherRow.id.in_(names))
        found |= {row.id: row for row in await tx.session.scalars(query)}
    return found


async def places_of(tx: Tx, tenant: int, identities: Iterable[bytes]) -> dict[bytes, Place]:
    """Return where the stored ones among these transfers hang."""
    rows = await rows_among(
        tx, _TRANSFERS, "id, root, late", tenant=tenant, column="id", values=identities
    )
    return {identity: Place(root, bool(late)) for identity, root, late in rows}


async def vouchers_among(tx: Tx, tenant: int, identities: Iterable[bytes]) -> set[bytes]:
    """Return which of these are ids of vouchers of ours."""
    rows = await rows_among(
        tx, VoucherRow.__tablename__, "id", tenant=tenant, column="id", values=identities
    )
    return {identity for (identity,) in rows}


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
            found.setdefault(key, []).append(read_certificate(envelope))
    return found


async def insert_transfers(
    tx: Tx, tenant: int, grove: Grove, nodes: Iterable[tuple[bytes, Node]]
) -> None:
    """Store valid transfers, each with the id of its root, and count them there."""
    now = to_microseconds(tx.now)
    rows = []
    counts: Counter[bytes] = Counter()
    for root, node in nodes:
        transfer = node.transfer
        body = transfer.body
        counts[root] += 1
        place = (tenant, node.id, root, body.parent, body.lo, body.hi)
        said = (node.signer.id, body.payee.id, _KINDS[body.kind], body.sequence, body.time)
        rows.append((*place, *said, node.late, now, transfer.envelope))
    await insert_rows(tx, _TRANSFERS, _TRANSFER_COLUMNS, rows)
    for root, count in counts.items():
        grove.rows[root].records += count


async def find_transfers(
    tx: Tx, tenant: int, identities: Iterable[bytes]
) -> dict[bytes, StoredTransfer]:
    """Return the stored transfers with these ids."""
    rows = await rows_among(
        tx, _TRANSFERS, "id, envelope, signer", tenant=tenant, column="id", values=identities
    )
    return {identity: StoredTransfer(*columns) for identity, *columns in rows}


async def repeated_numbers(
    tx: Tx, tenant: int, numbers: Iterable[tuple[bytes, int]]
) -> list[tuple[bytes, Signed[Transfer]]]:
    """Return stored transfers to which one key gave one of these sequence numbers, two at least.

    Numbers stand beside the id of the key that gave them, and so do the transfers. Those of these
    numbers are stored already.
    """
    columns = ("signer", "sequence")
    by_signer: dict[bytes, list[int]] = {}
    for signer, sequence in numbers:
        by_signer.setdefault(signer, []).append(sequence)
    starts = [(signer, min(own)) for signer, own in by_signer.items()]
    counts = await counts_from(tx, _TRANSFERS, tenant=tenant, columns=columns, starts=starts)
    # Mostly a key's new numbers are its highest, and all different.
    doubtful = [
        (signer, sequence)
        for signer, count in counts
        if count > len(set(by_signer[signer]))
        for sequence in by_signer[signer]
    ]
    found: list[tuple[bytes, Signed[Transfer]]] = []
    for signer, sequence in await pairs_repeated(
        tx, _TRANSFERS, tenant=tenant, columns=columns, pairs=doubtful
    ):
        query = select(TransferRow.envelope).where(
            TransferRow.tenant == tenant,
            TransferRow.signer == signer,
            TransferRow.sequence == sequence,
        )
        found += [(signer, read_transfer(each)) for each in await tx.session.scalars(query)]
    return found


async def issued_ids(tx: Tx, tenant: int, identities: Collection[bytes]) -> set[bytes]:
    """Return which of these are ids of vouchers or certificates of ours."""
    issued: set[bytes] = set()
    for names in slices(sorted(set(identities))):
        for table in (VoucherRow, CertificateRow):
            query = select(table.id).where(table.tenant == tenant, table.id.in_(names))
            issued.update(await tx.session.scalars(query))
    return issued


async def known_receipts(tx: Tx, tenant: int, identities: Iterable[bytes]) -> set[bytes]:
    rows = await rows_among(
        tx, ReceiptRow.__tablename__, "id", tenant=tenant, column="id", values=identities
    )
    return {identity for (identity,) in rows}


async def insert_receipts(
    tx: Tx, tenant: int, receipts: Mapping[bytes, tuple[Signed[Receipt], bytes]]
) -> None:
    """Store receipts by their ids, each with the key of the payee who signed it."""
    now = to_microseconds(tx.now)
    rows = [
        (tenant, identity, payee, now, receipt.envelope)
        for identity, (receipt, payee) in receipts.items()
    ]
    columns = ("tenant", "id", "payee", "received_at", "envelope")
    await insert_rows(tx, ReceiptRow.__tablename__, columns, rows)


def slices(names: Sequence[Name]) -> Iterable[Sequence[Name]]:
    """Cut a list of ids into parts that fit one statement."""
    return (names[i : i + _NAMES_MAX] for i in range(0, len(names), _NAMES_MAX))
