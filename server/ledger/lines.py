"""Looking up single lines of somebody's accounts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select

from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountKind, AccountRef
from server.ledger.models import EntryRow
from server.ledger.queries import StatementLine, accounts_of, point_at, statement

_AROUND: Final = timedelta(seconds=1)
_AROUND_MAX: Final = 100


async def find_line(
    tx: Tx, tenant: int, owner: UUID, entry: UUID, *, kind: AccountKind
) -> tuple[AccountRef, StatementLine] | None:
    """Return the line that an entry wrote into an owner's account of a kind, if it did."""
    row = (
        await tx.connection.execute(
            select(
                EntryRow.debit, EntryRow.debit_version, EntryRow.credit, EntryRow.credit_version
            ).where(EntryRow.tenant == tenant, EntryRow.id == entry)
        )
    ).first()
    if row is None or row.debit_version is None:
        return None
    versions = {row.debit: row.debit_version, row.credit: row.credit_version}
    for ref in await _refs(tx, tenant, owner, kind):
        if ref.id in versions:
            version = versions[ref.id]
            (line,) = await statement(tx, ref, after_version=version - 1, limit=1)
            return ref, line
    return None


async def lines_around(
    tx: Tx, tenant: int, owner: UUID, line: StatementLine, *, kind: AccountKind
) -> list[tuple[AccountRef, StatementLine]]:
    """Return what an owner's accounts of a kind wrote within a second of a line, itself too."""
    found: list[tuple[AccountRef, StatementLine]] = []
    for ref in await _refs(tx, tenant, owner, kind):
        first, _ = await point_at(tx, ref, line.at - _AROUND)
        lines = await statement(tx, ref, after_version=first, limit=_AROUND_MAX)
        found += [(ref, one) for one in lines if one.at <= line.at + _AROUND]
    return found


async def _refs(tx: Tx, tenant: int, owner: UUID, kind: AccountKind) -> Sequence[AccountRef]:
    return [each.ref for each in await accounts_of(tx, tenant, owner) if each.ref.kind is kind]
