"""Proof of liabilities: what we owe all users, published so that each can find their own part.

After a day is closed, each asset gets a tree over what its users had at the end of the day
(`merkle_sums`), with a fresh salt for every leaf and the leaves in the order of their hashes. The
root with the sum is signed and published; every user can ask for their own leaf and the way to the
root. Whoever has nothing has no leaf; whoever is below zero is counted apart, so that no debt ever
makes the sum smaller.

A proof shows that what its owner has is part of the published sum. It does not show that everybody
looked: money that nobody checks could be left out.
"""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_

from server.kit.db import to_microseconds
from server.kit.unit_of_work import Tx
from server.ledger.book_errors import NothingPublished
from server.ledger.book_models import LiabilityLeafRow, LiabilityNodeRow, LiabilityRoundRow
from server.ledger.days import date_of
from server.ledger.merkle_sums import SUM_BYTES, Node, siblings_of

ROUNDS_KEPT = 7
"""Rounds whose leaves can still be asked for. The signed roots are kept for ever."""


@dataclass(frozen=True, slots=True)
class LiabilityRoot:
    """What is published about one asset. ``below_zero_sum`` is not part of ``total``."""

    tenant: int
    number: int
    asset: str
    day: int
    day_hash: bytes
    leaves: int
    total: int
    root: bytes
    below_zero: int
    below_zero_sum: int
    at: datetime
    public_key: bytes
    signature: bytes

    @property
    def date(self) -> date:
        return date_of(self.day)

    def as_json(self) -> dict[str, object]:
        """Return what users and `tallystick check-liabilities` read."""
        return {
            "tenant": self.tenant,
            "round": self.number,
            "currency": self.asset,
            "day": str(self.date),
            "day_hash": self.day_hash.hex(),
            "leaves": self.leaves,
            "total": str(self.total),
            "root": self.root.hex(),
            "below_zero": self.below_zero,
            "below_zero_sum": str(self.below_zero_sum),
            "at_us": to_microseconds(self.at),
            "public_key": self.public_key.hex(),
            "signature": self.signature.hex(),
        }


@dataclass(frozen=True, slots=True)
class LiabilityProof:
    """An owner's leaf, and the nodes that lead from it to the root."""

    owner: UUID
    balance: int
    salt: bytes
    place: int
    path: tuple[Node, ...]
    root: LiabilityRoot

    def as_json(self) -> dict[str, object]:
        return {
            "user": str(self.owner),
            "currency": self.root.asset,
            "round": self.root.number,
            "balance": str(self.balance),
            "salt": self.salt.hex(),
            "place": self.place,
            "path": [{"total": str(node.total), "hash": node.hash.hex()} for node in self.path],
            "root": self.root.as_json(),
        }


async def liability_roots(tx: Tx, tenant: int) -> list[LiabilityRoot]:
    """Return what was published last, by asset."""
    day = await tx.connection.scalar(
        select(func.max(LiabilityRoundRow.day)).where(LiabilityRoundRow.tenant == tenant)
    )
    return [] if day is None else await roots_of_day(tx, tenant, day)


async def prove_liability(
    tx: Tx, tenant: int, owner: UUID, asset: str, *, number: int | None = None
) -> LiabilityProof:
    """Return an owner's proof in the last round of an asset, or in an earlier one.

    Raises:
        NothingPublished: there is no such round, its leaves are gone, or the owner has no leaf:
            they had nothing, or less.
    """
    where = [LiabilityRoundRow.tenant == tenant, LiabilityRoundRow.asset == asset]
    if number is not None:
        where.append(LiabilityRoundRow.number == number)
    row = (
        await tx.connection.execute(
            select(LiabilityRoundRow.__table__)
            .where(*where)
            .order_by(LiabilityRoundRow.number.desc())
            .limit(1)
        )
    ).first()
    if row is None:
        raise NothingPublished("No liabilities were published in this currency.")
    root = _root_of(row)
    leaf = await tx.session.get(LiabilityLeafRow, (tenant, root.number, asset, owner))
    if leaf is None:
        raise NothingPublished(
            "You have no leaf in this round: you had nothing at the end of that day, "
            f"or it is older than the last {ROUNDS_KEPT}."
        )
    path = await _path(tx, root, leaf.place)
    return LiabilityProof(owner, leaf.balance, leaf.salt, leaf.place, path, root)


async def _path(tx: Tx, root: LiabilityRoot, place: int) -> tuple[Node, ...]:
    wanted = siblings_of(place, root.leaves)
    rows = await tx.connection.execute(
        select(
            LiabilityNodeRow.level,
            LiabilityNodeRow.place,
            LiabilityNodeRow.total,
            LiabilityNodeRow.hash,
        ).where(
            LiabilityNodeRow.tenant == root.tenant,
            LiabilityNodeRow.number == root.number,
            LiabilityNodeRow.asset == root.asset,
            tuple_(LiabilityNodeRow.level, LiabilityNodeRow.place).in_(wanted),
        )
    )
    nodes = {(row[0], row[1]): Node(int.from_bytes(row[2], "big"), row[3]) for row in rows}
    return tuple(nodes[key] for key in wanted)


async def roots_of_day(tx: Tx, tenant: int, day: int) -> list[LiabilityRoot]:
    """Return what was published about a day, by asset."""
    rows = await tx.connection.execute(
        select(LiabilityRoundRow.__table__)
        .where(LiabilityRoundRow.tenant == tenant, LiabilityRoundRow.day == day)
        .order_by(LiabilityRoundRow.asset)
    )
    return [_root_of(row) for row in rows]


def _root_of(row: object) -> LiabilityRoot:
    fields = {name: getattr(row, name) for name in LiabilityRoot.__dataclass_fields__}
    assert len(fields["total"]) == SUM_BYTES
    return LiabilityRoot(**(fields | {"total": int.from_bytes(fields["total"], "big")}))
