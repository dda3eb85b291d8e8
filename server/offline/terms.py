"""What is settled differently for single vouchers: links, earlier promises, overturned disputes.

Links count while a voucher is open as they are in force now, and from its claim-by on as they were
in force then: they are stored when it is closed, so that no later link changes a settlement that
is final.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import exists, select

from offline_protocol.settlement import Terms
from server.kit.unit_of_work import Tx
from server.offline.models import ConflictRow, VoucherRow
from server.offline.oversight_models import DisputeRow, FrozenLinkRow, LinkRow
from server.offline.positions import Positions
from server.offline.postings import Leg
from server.offline.records import slices

OVERTURNED = "overturned"
_USERS_IN_QUERY = 500
Link = tuple[UUID, UUID, UUID]
"""The id of a link and the two accounts."""


@dataclass(slots=True)
class RootTerms:
    """The terms of some roots, and the links that each of them would freeze if it closed now."""

    tenant: int
    by_root: dict[bytes, Terms] = field(default_factory=dict)
    links: dict[bytes, list[Link]] = field(default_factory=dict)

    def freeze(self, tx: Tx, root: bytes) -> None:
        """Keep the links of a root that closes for good."""
        tx.session.add_all(
            FrozenLinkRow(tenant=self.tenant, root=root, link=link, first=first, second=second)
            for link, first, second in self.links.get(root, ())
        )


async def load_terms(
    tx: Tx,
    tenant: int,
    *,
    vouchers: Mapping[bytes, VoucherRow],
    users: Mapping[bytes, Collection[UUID]],
    positions: Positions,
) -> RootTerms:
    """Return the terms of roots, given by id with everybody who had part in each."""
    roots = sorted(users)
    terms = RootTerms(tenant)
    closed = [root for root in roots if vouchers[root].closed]
    terms.links = await _frozen_links(tx, tenant, closed)
    together = set[UUID]().union(*users.values())
    stored = await _links_among(tx, tenant, together)
    for root in set(roots) - set(closed) if stored else ():
        terms.links[root] = list(_in_force(stored, _judged_at(tx, vouchers[root]), users[root]))
    spared = await _overturned(tx, tenant, roots)
    for root in roots:
        terms.by_root[root] = Terms(
            excluded=_excluded(terms.links.get(root, ())),
            promised=_promised(positions, root),
            borne_by=spared.get(root, {}),
        )
    return terms


def _judged_at(tx: Tx, voucher: VoucherRow) -> datetime:
    return min(tx.now, datetime.fromtimestamp(voucher.claim_by, UTC))


def _in_force(
    links: Iterable[LinkRow], moment: datetime, users: Collection[UUID]
) -> Iterable[Link]:
    for row in links:
        begun = row.linked_at <= moment and (row.ended_at is None or row.ended_at > moment)
        if begun and row.first in users and row.second in users:
            yield row.id, row.first, row.second


def _excluded(links: Iterable[Link]) -> dict[str, set[str]]:
    excluded: dict[str, set[str]] = {}
    for _, first, second in links:
        excluded.setdefault(str(first), set()).add(str(second))
        excluded.setdefault(str(second), set()).add(str(first))
    return excluded


def _promised(positions: Positions, root: bytes) -> dict[str, int]:
    return {
        str(user): row.promised
        for (leg, user), row in positions.rows.get(root, {}).items()
        if leg is Leg.CREDIT and row.promised
    }


async def _links_among(tx: Tx, tenant: int, users: Collection[UUID]) -> list[LinkRow]:
    """Return links between any two of these users, ended ones too."""
    if not await tx.session.scalar(select(exists().where(LinkRow.tenant == tenant))):
        return []
    names = sorted(users)
    found: list[LinkRow] = []
    for start in range(0, len(names), _USERS_IN_QUERY):
        query = select(LinkRow).where(
            LinkRow.tenant == tenant, LinkRow.first.in_(names[start : start + _USERS_IN_QUERY])
        )
        found += [row for row in await tx.session.scalars(query) if row.second in users]
    return sorted(found, key=lambda row: row.id)


async def _frozen_links(tx: Tx, tenant: int, roots: Collection[bytes]) -> dict[bytes, list[Link]]:
    found: dict[bytes, list[Link]] = {}
    for names in slices(sorted(roots)):
        query = select(FrozenLinkRow).where(
            FrozenLinkRow.tenant == tenant, FrozenLinkRow.root.in_(names)
        )
        for row in await tx.session.scalars(query):
            found.setdefault(row.root, []).append((row.link, row.first, row.second))
    return found


async def _overturned(
    tx: Tx, tenant: int, roots: Collection[bytes]
) -> dict[bytes, dict[bytes, str]]:
    """Return by root, and by the parent of a fork, who bears its cost in place of the signer."""
    found: dict[bytes, dict[bytes, str]] = {}
    for names in slices(sorted(roots)):
        query = (
            select(ConflictRow.root, DisputeRow.parent, DisputeRow.bearer)
            .join(
                DisputeRow,
                (DisputeRow.tenant == ConflictRow.tenant) & (DisputeRow.conflict == ConflictRow.id),
            )
            .where(
                ConflictRow.tenant == tenant,
                ConflictRow.root.in_(names),
                DisputeRow.state == OVERTURNED,
            )
        )
        for root, parent, bearer in await tx.session.execute(query):
            assert root is not None
            assert bearer is not None, "a verdict that spares somebody names another"
            found.setdefault(root, {})[parent] = bearer
    return found
