"""Linked accounts: those that belong together are not paid when one of them cheats.

A risk officer says which, with a reason. A link counts in vouchers that are open, at once; in a
voucher that was closed it counts if it was in force at claim-by, whatever is linked later.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import or_, select

from server.identity import find_user
from server.kit.errors import InvalidRequest, NotFound
from server.kit.unit_of_work import Tx
from server.offline.audit import Officer, record_deed
from server.offline.domain import OfflinePolicy
from server.offline.errors import AlreadyLinked
from server.offline.events import lock_offline
from server.offline.jobs import settle_anew
from server.offline.models import ConflictRow, VoucherRow
from server.offline.oversight_models import LinkRow
from server.offline.oversight_schemas import LinkView


async def link_accounts(
    tx: Tx,
    tenant: int,
    by: Officer,
    policy: OfflinePolicy,
    *,
    pair: tuple[UUID, UUID],
    reason: str,
) -> LinkView:
    """Link two accounts and settle anew what that changes; the same again gives the same link.

    Raises:
        NotFound: one of them does not exist.
        InvalidRequest: they are one.
        AlreadyLinked: for another reason.
    """
    await lock_offline(tx, tenant)
    first, second = sorted(pair)
    if first == second:
        raise InvalidRequest("An account is not linked to itself.", field="second")
    for user in (first, second):
        await find_user(tx, tenant, user)
    known = await tx.session.scalar(
        select(LinkRow).where(
            LinkRow.tenant == tenant,
            LinkRow.first == first,
            LinkRow.second == second,
            LinkRow.ended_at.is_(None),
        )
    )
    if known is not None:
        if known.reason != reason:
            raise AlreadyLinked(
                "These accounts are linked for another reason.",
                fix="End that link first, or leave it.",
                link=str(known.id),
            )
        return view_of(known)
    row = LinkRow(
        tenant=tenant,
        id=tx.ids.uuid(),
        first=first,
        second=second,
        reason=reason,
        linked_by=by.name,
        linked_at=tx.now,
        ended_by=None,
        end_reason=None,
        ended_at=None,
    )
    tx.session.add(row)
    await tx.session.flush()
    await _keep(tx, by, "accounts_linked", row, reason)
    await settle_anew(tx, tenant, policy, roots=await _concerned(tx, tenant, (first, second)))
    return view_of(row)


async def end_link(
    tx: Tx, tenant: int, by: Officer, policy: OfflinePolicy, *, link: UUID, reason: str
) -> LinkView:
    """End a link and settle anew what that changes; ending it again changes nothing.

    Raises:
        NotFound: there is no such link.
    """
    await lock_offline(tx, tenant)
    row = await tx.session.get(LinkRow, (tenant, link))
    if row is None:
        raise NotFound("There is no such link.", fix="GET /v1/offline/links lists them.")
    if row.ended_at is None:
        row.ended_by, row.end_reason, row.ended_at = by.name, reason, tx.now
        await tx.session.flush()
        await _keep(tx, by, "link_ended", row, reason)
        concerned = await _concerned(tx, tenant, (row.first, row.second))
        await settle_anew(tx, tenant, policy, roots=concerned)
    return view_of(row)


async def links(
    tx: Tx, tenant: int, *, after: UUID | None = None, limit: int, user: UUID | None = None
) -> list[LinkView]:
    """Return links, ended ones too, in the order of their ids."""
    query = select(LinkRow).where(LinkRow.tenant == tenant)
    if after is not None:
        query = query.where(LinkRow.id > after)
    if user is not None:
        query = query.where(or_(LinkRow.first == user, LinkRow.second == user))
    rows = await tx.session.scalars(query.order_by(LinkRow.id).limit(limit))
    return [view_of(row) for row in rows]


def view_of(row: LinkRow) -> LinkView:
    return LinkView(**{name: getattr(row, name) for name in LinkView.__struct_fields__})


async def _keep(tx: Tx, by: Officer, action: str, row: LinkRow, reason: str) -> None:
    await record_deed(
        tx,
        row.tenant,
        by,
        action,
        subject=f"link/{row.id}",
        reason=reason,
        first=str(row.first),
        second=str(row.second),
    )


async def _concerned(tx: Tx, tenant: int, users: Collection[UUID]) -> list[bytes]:
    """Return the open vouchers in which one of these users has cheated."""
    query = (
        select(VoucherRow.id)
        .join(
            ConflictRow,
            (ConflictRow.tenant == VoucherRow.tenant) & (ConflictRow.root == VoucherRow.id),
        )
        .where(
            VoucherRow.tenant == tenant,
            VoucherRow.closed.is_(False),
            ConflictRow.kind == "fork",
            ConflictRow.user_id.in_(users),
        )
        .distinct()
        .order_by(VoucherRow.id)
    )
    return list(await tx.session.scalars(query))
