"""Leaves of the hash chain: what is hashed of an entry, in parts that can be shown apart.

A leaf covers four parts: what moved, the details that are nobody's business outside, and the two
postings with the balances after them. Each part is hashed with a key of its own, which follows from
32 random bytes of the leaf. So one side of a payment can be shown that its movement is sealed, and
learns nothing about the other side's balance, not even by trying all of them.

Leaves from before there were parts have no random bytes, and are a hash over everything at once.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    func,
    select,
    true,
    type_coerce,
)

from server.kit.db import Id, UtcTime
from server.kit.unit_of_work import Tx
from server.ledger.canonical import canonical
from server.ledger.merkle import leaf_hash
from server.ledger.models import EntryRow, PostingRow

BLIND_BYTES = 32
PARTS = ("movement", "details", "debit", "credit")
MOVEMENT = (
    "tenant",
    "id",
    "operation",
    "kind",
    "outcome",
    "debit",
    "credit",
    "asset",
    "amount",
    "effective_at",
    "at",
)
"""Columns of the entry that both sides may see."""


def _stored(table: FromClause) -> list[ColumnElement[Any]]:
    return [
        type_coerce(column, BigInteger) if isinstance(column.type, UtcTime) else column
        for column in table.c
    ]


_ENTRY = EntryRow.__table__
_DEBIT, _CREDIT = PostingRow.__table__.alias("debit"), PostingRow.__table__.alias("credit")
_CONTENT = select(_ENTRY.c.id, *_stored(_ENTRY), *_stored(_DEBIT), *_stored(_CREDIT)).select_from(
    _ENTRY.outerjoin(
        _DEBIT,
        (_DEBIT.c.tenant == _ENTRY.c.tenant)
        & (_DEBIT.c.account == _ENTRY.c.debit)
        & (_DEBIT.c.version == _ENTRY.c.debit_version),
    ).outerjoin(
        _CREDIT,
        (_CREDIT.c.tenant == _ENTRY.c.tenant)
        & (_CREDIT.c.account == _ENTRY.c.credit)
        & (_CREDIT.c.version == _ENTRY.c.credit_version),
    )
)


def _keyed() -> Select[Any]:
    """Return the same for PostgreSQL, where a subquery with OFFSET is run once for each key.

    A plan from when the tables were empty would read all of them, for every block.
    """
    wanted = (
        func.unnest(bindparam("ids", type_=ARRAY(Id)))
        .table_valued("id", name="wanted")
        .render_derived()
    )
    entry = (
        select(_ENTRY)
        .where(_ENTRY.c.tenant == bindparam("of_tenant"), _ENTRY.c.id == wanted.c.id)
        .offset(0)
        .lateral("entry_row")
    )
    legs = [
        select(table)
        .where(
            table.c.tenant == entry.c.tenant,
            table.c.account == entry.c[leg],
            table.c.version == entry.c[f"{leg}_version"],
        )
        .offset(0)
        .lateral(f"{leg}_row")
        for table, leg in ((_DEBIT, "debit"), (_CREDIT, "credit"))
    ]
    joined = wanted.join(entry, true()).outerjoin(legs[0], true()).outerjoin(legs[1], true())
    columns = [column for table in (entry, *legs) for column in _stored(table)]
    return select(entry.c.id, *columns).select_from(joined)


_KEYED_CONTENT = _keyed()
_NAMES = [column.name for column in _ENTRY.c]
_SHOWN = [_NAMES.index(name) for name in MOVEMENT]
_HIDDEN = [place for place, name in enumerate(_NAMES) if name not in MOVEMENT]
_ENTRY_END = len(_NAMES)
_DEBIT_END = _ENTRY_END + len(_DEBIT.c)


async def leaf_hashes(
    tx: Tx, tenant: int, blinds: Mapping[UUID, bytes | None]
) -> dict[UUID, bytes]:
    """Hash entries with their postings as the database returns them now."""
    found = await _rows(tx, tenant, list(blinds))
    return {entry: _leaf(row, blinds[entry]) for entry, row in found.items()}


async def parts_of(tx: Tx, tenant: int, entry: UUID) -> dict[str, bytes] | None:
    """Return the content of an entry's four parts, or None when there is no such entry."""
    row = (await _rows(tx, tenant, [entry])).get(entry)
    return None if row is None else dict(zip(PARTS, _parts(row), strict=True))


def key_of(blind: bytes, part: str) -> bytes:
    """Return the key that a part is hashed with; it says nothing about the other parts' keys."""
    return hashlib.sha256(blind + part.encode()).digest()


def part_digest(key: bytes, content: bytes) -> bytes:
    return hashlib.sha256(key + content).digest()


def leaf_from(digests: Sequence[bytes]) -> bytes:
    """Return the leaf over the digests of the four parts, in the order of `PARTS`."""
    return leaf_hash(b"".join(digests))


async def _rows(tx: Tx, tenant: int, entries: Sequence[UUID]) -> dict[UUID, Sequence[Any]]:
    if tx.dialect == "postgresql":
        given = {"of_tenant": tenant, "ids": list(entries)}
        rows = await tx.connection.execute(_KEYED_CONTENT, given)
    else:
        rows = await tx.connection.execute(
            _CONTENT.where(_ENTRY.c.tenant == tenant, _ENTRY.c.id.in_(entries))
        )
    return {row[0]: row[1:] for row in rows}


def _leaf(row: Sequence[Any], blind: bytes | None) -> bytes:
    if blind is None:
        return leaf_hash(canonical(*row))
    contents = zip(PARTS, _parts(row), strict=True)
    return leaf_from([part_digest(key_of(blind, name), content) for name, content in contents])


def _parts(row: Sequence[Any]) -> tuple[bytes, bytes, bytes, bytes]:
    return (
        canonical(*(row[place] for place in _SHOWN)),
        canonical(*(row[place] for place in _HIDDEN)),
        canonical(*row[_ENTRY_END:_DEBIT_END]),
        canonical(*row[_DEBIT_END:]),
    )
