"""Reads: balances now and then, statements. An account that was never opened reads as zero."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, func, select, text

from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountKind, AccountRef
from server.ledger.domain import HoldState
from server.ledger.models import AccountRow, EntryRow, HoldRow, PostingRow

LINES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's money, credit-positive, in minor units.

    ``held`` and ``available`` leave out holds whose time ran out, also before anybody ended them.
    """

    ref: AccountRef
    posted: int
    held: int
    version: int

    @property
    def available(self) -> int:
        return self.posted - self.held

    @property
    def shown(self) -> int:
        """What was posted, in the sign natural to the kind of account."""
        return self.posted * self.ref.kind.rule.account_class.sign


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posting of an account, with what the entry says about it."""

    version: int
    entry: UUID
    kind: str
    delta: int
    balance: int
    counterpart: UUID
    """Id of the account on the other side."""
    at: datetime
    effective_at: datetime
    memo: dict[str, object] | None


async def balance(tx: Tx, ref: AccountRef) -> Balance:
    """Return an account's balance as this transaction sees it."""
    rows = await _balances(tx, ref.tenant, [ref.id])
    return rows[0] if rows else Balance(ref, 0, 0, 0)


async def accounts_of(tx: Tx, tenant: int, owner: UUID) -> list[Balance]:
    """Return the balances of all accounts of an owner, by asset and kind."""
    ids = await tx.connection.scalars(
        select(AccountRow.id)
        .where(AccountRow.tenant == tenant, AccountRow.owner == owner)
        .order_by(AccountRow.asset, AccountRow.kind)
    )
    order = {id_: place for place, id_ in enumerate(ids)}
    return sorted(await _balances(tx, tenant, list(order)), key=lambda row: order[row.ref.id])


async def balance_at(tx: Tx, ref: AccountRef, when: datetime) -> int:
    """Return what was posted up to and including an instant; zero before the first entry."""
    return (await point_at(tx, ref, when))[1]


async def point_at(tx: Tx, ref: AccountRef, when: datetime) -> tuple[int, int]:
    """Return version and balance that an account had at an instant; zeroes before the first entry.

    Versions and times rise together, so the instant is found by halving the versions.
    """
    query = text(
        """
        WITH RECURSIVE search (low, high) AS (
          SELECT CAST(0 AS bigint), version FROM account WHERE tenant = :tenant AND id = :account
          UNION ALL
          SELECT CASE WHEN p.at <= :instant THEN p.version ELSE s.low END,
            CASE WHEN p.at <= :instant THEN s.high ELSE p.version - 1 END
          FROM search s JOIN posting p ON p.tenant = :tenant AND p.account = :account
            AND p.version = (s.low + s.high + 1) / 2
          WHERE s.low < s.high
        )
        SELECT p.version, p.balance FROM search s JOIN posting p
          ON p.tenant = :tenant AND p.account = :account AND p.version = s.low
        WHERE s.low = s.high
        """
    )
    account = ref.id if tx.dialect == "postgresql" else ref.id.bytes
    found = (
        await tx.connection.execute(
            query, {"tenant": ref.tenant, "account": account, "instant": to_microseconds(when)}
        )
    ).first()
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


async def statement(
    tx: Tx, ref: AccountRef, *, after_version: int = 0, limit: int = 100
) -> list[StatementLine]:
    """Return postings of an account, oldest first, from after a version on.

    The next page begins after the last line's version. A page has at most 1000 lines; an empty one
    is behind the end.
    """
    rows = await tx.connection.execute(
        select(
            PostingRow.version,
            PostingRow.entry,
            EntryRow.kind,
            PostingRow.delta,
            PostingRow.balance,
            case((EntryRow.debit == ref.id, EntryRow.credit), else_=EntryRow.debit),
            PostingRow.at,
            PostingRow.effective_at,
            EntryRow.memo,
        )
        .join(EntryRow, (EntryRow.tenant == PostingRow.tenant) & (EntryRow.id == PostingRow.entry))
        .where(
            PostingRow.tenant == ref.tenant,
            PostingRow.account == ref.id,
            PostingRow.version > after_version,
        )
        .order_by(PostingRow.version)
        .limit(min(limit, LINES_MAX))
    )
    return [
        StatementLine(
            version=row[0],
            entry=row[1],
            kind=row[2],
            delta=row[3],
            balance=row[4],
            counterpart=row[5],
            at=row[6],
            effective_at=row[7],
            memo=None if row[8] is None else json.loads(row[8]),
        )
        for row in rows
    ]


async def _balances(tx: Tx, tenant: int, ids: Sequence[UUID]) -> list[Balance]:
    due = (
        select(func.coalesce(func.sum(HoldRow.amount - HoldRow.taken), 0))
        .where(
            HoldRow.tenant == AccountRow.tenant,
            HoldRow.debit == AccountRow.id,
            HoldRow.state == HoldState.OPEN.value,
            HoldRow.expires_at <= tx.now,
        )
        .correlate(AccountRow)
        .scalar_subquery()
    )
    rows = await tx.connection.execute(
        select(
            AccountRow.kind,
            AccountRow.asset,
            AccountRow.owner,
            AccountRow.posted,
            AccountRow.held - case((AccountRow.held > 0, due), else_=0),
            AccountRow.version,
        ).where(AccountRow.tenant == tenant, AccountRow.id.in_(ids))
    )
    return [
        Balance(AccountRef(AccountKind(kind), asset, owner, tenant), posted, int(held), version)
        for kind, asset, owner, posted, held, version in rows
    ]
