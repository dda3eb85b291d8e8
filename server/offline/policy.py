"""The tenant's policy: stored in versions, in force from a time, never overwritten.

Of all versions that have begun, the one with the greatest number is in force. So a later change
also replaces an earlier one that was planned and has not begun yet. Where nothing is stored the
built-in policy holds.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, insert, select

from server.kit.unit_of_work import Tx
from server.offline.audit import Officer, record_deed
from server.offline.domain import DEFAULT_POLICY, OfflinePolicy
from server.offline.errors import PolicyChanged, PolicyInvalid
from server.offline.events import lock_offline
from server.offline.oversight_models import PolicyRow
from server.offline.policy_documents import PolicyDocument, policy_of, read_stored, spell

AHEAD_MAX = timedelta(days=366)
_LATE = timedelta(minutes=5)
"""How far the clock of somebody who says "from now on" may be behind."""


@dataclass(frozen=True, slots=True)
class Version:
    """A stored policy; number 0 is the built-in one."""

    number: int
    policy: OfflinePolicy
    effective_at: datetime | None = None
    reason: str = "built in"
    changed_by: str = "server"
    changed_at: datetime | None = None


async def policy_in_force(
    tx: Tx, tenant: int, default: OfflinePolicy = DEFAULT_POLICY
) -> OfflinePolicy:
    """Return the policy that the tenant has at this moment, or ``default`` where none is stored."""
    document = await tx.session.scalar(
        select(PolicyRow.document)
        .where(PolicyRow.tenant == tenant, PolicyRow.effective_at <= tx.now)
        .order_by(PolicyRow.version.desc())
        .limit(1)
    )
    return default if document is None else read_stored(document)


async def version_in_force(tx: Tx, tenant: int, default: OfflinePolicy = DEFAULT_POLICY) -> Version:
    """Return the version in force at this moment."""
    row = await tx.session.scalar(
        select(PolicyRow)
        .where(PolicyRow.tenant == tenant, PolicyRow.effective_at <= tx.now)
        .order_by(PolicyRow.version.desc())
        .limit(1)
    )
    return Version(0, default) if row is None else _version(row)


async def next_change(tx: Tx, tenant: int, after: int) -> datetime | None:
    """Return when a version later than ``after`` begins that is stored already."""
    return await tx.session.scalar(
        select(func.min(PolicyRow.effective_at)).where(
            PolicyRow.tenant == tenant, PolicyRow.version > after, PolicyRow.effective_at > tx.now
        )
    )


async def versions(tx: Tx, tenant: int, *, before: int | None, limit: int) -> list[Version]:
    """Return stored versions, the newest first, at most ``limit``."""
    query = select(PolicyRow).where(PolicyRow.tenant == tenant)
    if before is not None:
        query = query.where(PolicyRow.version < before)
    rows = await tx.session.scalars(query.order_by(PolicyRow.version.desc()).limit(limit))
    return [_version(row) for row in rows]


async def change_policy(
    tx: Tx,
    tenant: int,
    by: Officer,
    *,
    document: PolicyDocument,
    reason: str,
    replaces: int | None,
    effective_at: datetime | None = None,
) -> Version:
    """Store a new version; the same change of the same version again gives the first answer.

    Args:
        tx: the transaction.
        tenant: whose policy it is.
        by: who changes it.
        document: the whole policy.
        reason: why.
        replaces: the greatest stored version that the author knew, 0 for none; None asks for no
            comparison.
        effective_at: from when on it holds; now when left out.

    Raises:
        PolicyInvalid: the document contradicts itself, or the time has passed or is too far away.
        PolicyChanged: another version was stored meanwhile.
    """
    await lock_offline(tx, tenant)
    policy = policy_of(document)
    begins = _begins(tx, effective_at)
    latest = await tx.session.scalar(
        select(PolicyRow)
        .where(PolicyRow.tenant == tenant)
        .order_by(PolicyRow.version.desc())
        .limit(1)
    )
    number = 0 if latest is None else latest.version
    text = spell(document)
    if latest is not None and replaces == number - 1 and _same(latest, text, by, reason):
        return _version(latest)
    if replaces is not None and replaces != number:
        raise PolicyChanged(
            f"The latest version is {number}, not {replaces}.",
            fix="Read the policy again, make the change there, and name its version.",
            latest=number,
        )
    row = {
        "tenant": tenant,
        "version": number + 1,
        "effective_at": begins,
        "document": text,
        "reason": reason,
        "changed_by": by.name,
        "changed_at": tx.now,
    }
    await tx.connection.execute(insert(PolicyRow).values(row))
    await record_deed(
        tx,
        tenant,
        by,
        "policy_changed",
        subject=f"policy/{number + 1}",
        reason=reason,
        effective_at=begins.isoformat(),
    )
    return Version(number + 1, policy, begins, reason, by.name, tx.now)


def _begins(tx: Tx, wanted: datetime | None) -> datetime:
    if wanted is None:
        return tx.now
    if not tx.now - _LATE <= wanted <= tx.now + AHEAD_MAX:
        raise PolicyInvalid(
            "A policy begins now or within a year.",
            fix="Leave effective_at out, or name a time to come.",
            problems=[{"field": "effective_at", "problem": "it has passed or is too far away"}],
        )
    return max(wanted, tx.now)


def _same(row: PolicyRow, text: str, by: Officer, reason: str) -> bool:
    return (row.document, row.changed_by, row.reason) == (text, by.name, reason)


def _version(row: PolicyRow) -> Version:
    return Version(
        row.version,
        read_stored(row.document),
        row.effective_at,
        row.reason,
        row.changed_by,
        row.changed_at,
    )
