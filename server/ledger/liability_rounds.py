"""Publishing liabilities: growing the trees of a round over the balances of a closed day."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text

from offline_protocol.keys import Signer
from server.kit.bulk import id_value, insert_rows
from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.ledger.book_errors import BooksUnbalanced, DayNotClosed
from server.ledger.book_models import LiabilityLeafRow, LiabilityNodeRow, LiabilityRoundRow
from server.ledger.canonical import Field, canonical
from server.ledger.chart import AccountKind
from server.ledger.days import ClosedDay, day_totals, last_closed
from server.ledger.liabilities import ROUNDS_KEPT, LiabilityRoot, roots_of_day
from server.ledger.merkle_sums import SALT_BYTES, Node, leaf_node, levels_of, sum_bytes

CONTEXT = b"tallystick/liabilities/1"
OWED = (AccountKind.USER_AVAILABLE, AccountKind.USER_EMERGENCY, AccountKind.USER_COLLATERAL)
"""The kinds of accounts in which we owe a user what is there."""
_PUBLISHING = 0xAB11
"""First half of the advisory lock of whoever publishes for a tenant."""


class _Leaf(NamedTuple):
    node: Node
    owner: UUID
    salt: bytes


@dataclass(frozen=True, slots=True)
class _Tree:
    asset: str
    leaves: list[_Leaf]
    levels: list[list[Node]]
    below_zero: list[int]


async def publish_liabilities(
    uow: UnitOfWork, signer: Signer, *, tenant: int = 1
) -> list[LiabilityRoot]:
    """Publish what users had at the end of the last closed day, once for each day.

    Returns:
        The roots of that day, one for each asset in which somebody has something.

    Raises:
        DayNotClosed: no day is closed yet.
        BooksUnbalanced: the users' balances are not what the day was closed with.
    """
    day = await uow.read(lambda tx: last_closed(tx, tenant))
    if day is None:
        raise DayNotClosed("No day is closed yet.", fix="Run `tallystick close-day` first.")
    if done := await uow.read(lambda tx: roots_of_day(tx, tenant, day.day)):
        return done
    owed = await uow.read(lambda tx: _owed(tx, day))
    trees = [
        await asyncio.to_thread(_grow, asset, balances)
        for asset, balances in sorted((await uow.read(lambda tx: _salt(tx, owed))).items())
    ]
    return await uow.run(lambda tx: _store(tx, signer, day, trees))


async def publish_due_liabilities(
    uow: UnitOfWork, signer: Signer, *, tenant: int = 1
) -> list[LiabilityRoot]:
    """Publish the last closed day, if there is one that was not published."""
    if await uow.read(lambda tx: last_closed(tx, tenant)) is None:
        return []
    return await publish_liabilities(uow, signer, tenant=tenant)


_OWED = f"""
    SELECT owner, asset, sum(balance) FROM (
      SELECT a.owner, a.asset, (
        SELECT b.balance FROM day_balance b
        WHERE b.tenant = a.tenant AND b.account = a.id AND b.day <= :day
        ORDER BY b.day DESC LIMIT 1) AS balance
      FROM account a WHERE a.tenant = :tenant
        AND a.kind IN ({", ".join(f"'{kind}'" for kind in OWED)})
    ) accounts WHERE balance IS NOT NULL GROUP BY owner, asset
"""  # noqa: S608 - names of kinds
_Owed = dict[str, list[tuple[UUID, int]]]


async def _owed(tx: Tx, day: ClosedDay) -> _Owed:
    """Return what each owner had, by asset, after comparing the sums with the closed day."""
    owed: _Owed = {}
    rows = await tx.connection.execute(text(_OWED), {"tenant": day.tenant, "day": day.day})
    for owner, asset, balance in rows:
        id_ = UUID(bytes=owner) if isinstance(owner, bytes) else UUID(bytes=owner.bytes)
        owed.setdefault(asset, []).append((id_, int(balance)))
    closed: dict[str, int] = {}
    for total in await day_totals(tx, day.tenant, day.day):
        if total.kind in OWED:
            closed[total.asset] = closed.get(total.asset, 0) + total.balance
    if {asset: sum(b for _, b in each) for asset, each in owed.items()} != closed:
        raise BooksUnbalanced(
            "What users have is not what the day was closed with.",
            fix="Run `tallystick verify-ledger`.",
        )
    return owed


_Salted = dict[str, list[tuple[UUID, int, bytes]]]


async def _salt(tx: Tx, owed: _Owed) -> _Salted:
    return {
        asset: [(owner, balance, tx.ids.token(SALT_BYTES)) for owner, balance in each]
        for asset, each in owed.items()
    }


def _grow(asset: str, balances: Sequence[tuple[UUID, int, bytes]]) -> _Tree | None:
    # Hashes of salted leaves are in no order that says anything about people.
    leaves = sorted(
        (
            _Leaf(leaf_node(salt, owner, balance), owner, salt)
            for owner, balance, salt in balances
            if balance > 0
        ),
        key=lambda leaf: leaf.node.hash,
    )
    below_zero = [balance for _, balance, _ in balances if balance < 0]
    if not leaves:
        return None
    return _Tree(asset, leaves, levels_of([leaf.node for leaf in leaves]), below_zero)


async def _store(
    tx: Tx, signer: Signer, day: ClosedDay, trees: Sequence[_Tree | None]
) -> list[LiabilityRoot]:
    if tx.dialect == "postgresql":
        await tx.connection.execute(select(func.pg_advisory_xact_lock(_PUBLISHING, day.tenant)))
    if done := await roots_of_day(tx, day.tenant, day.day):
        return done
    last = await tx.connection.scalar(
        select(func.max(LiabilityRoundRow.number)).where(LiabilityRoundRow.tenant == day.tenant)
    )
    number = int(last or 0) + 1
    for tree in trees:
        if tree is not None:
            await _store_tree(tx, signer, day, number, tree)
    for row in (LiabilityLeafRow, LiabilityNodeRow):
        await tx.connection.execute(
            delete(row).where(row.tenant == day.tenant, row.number <= number - ROUNDS_KEPT)
        )
    return await roots_of_day(tx, day.tenant, day.day)


async def _store_tree(tx: Tx, signer: Signer, day: ClosedDay, number: int, tree: _Tree) -> None:
    key = (day.tenant, number, tree.asset)
    root = tree.levels[-1][0]
    values: dict[str, Field] = {
        "tenant": day.tenant,
        "number": number,
        "asset": tree.asset,
        "day": day.day,
        "day_hash": day.hash,
        "leaves": len(tree.leaves),
        "total": sum_bytes(root.total),
        "root": root.hash,
        "below_zero": len(tree.below_zero),
        "below_zero_sum": sum(tree.below_zero),
    }
    fields = list(values.values())
    signed = CONTEXT + canonical(*fields, to_microseconds(tx.now))
    await tx.connection.execute(
        insert(LiabilityRoundRow).values(
            **values,
            at=tx.now,
            public_key=signer.public_key.raw,
            signature=signer.sign(signed),
        )
    )
    await insert_rows(
        tx,
        "liability_leaf",
        ("tenant", "number", "asset", "owner", "place", "balance", "salt"),
        [
            (*key, id_value(tx, leaf.owner), place, leaf.node.total, leaf.salt)
            for place, leaf in enumerate(tree.leaves)
        ],
    )
    await insert_rows(
        tx,
        "liability_node",
        ("tenant", "number", "asset", "level", "place", "total", "hash"),
        [
            (*key, level, place, sum_bytes(node.total), node.hash)
            for level, nodes in enumerate(tree.levels)
            for place, node in enumerate(nodes)
        ],
    )
