"""Rules that officers write: stored as whole documents, in versions, never overwritten.

Of all versions that have begun, the one with the greatest number is in force; a later one also
replaces an earlier one that was planned and has not begun. The database refuses to change or
delete a version. What a document means is the business of the room that names it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, Text, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from server.kit.db import Base, UtcTime
from server.kit.errors import Conflict, InvalidRequest
from server.kit.unit_of_work import Tx

AHEAD_MAX = timedelta(days=366)
REASON_MAX = 500
_LATE = timedelta(minutes=5)
"""How far the clock of somebody who says "from now on" may be behind."""


class DocumentChanged(Conflict):
    """Somebody else stored a version meanwhile."""

    code, title = "document_changed", "The rules were changed by somebody else"


class DocumentRow(Base):
    __tablename__ = "rule_document"

    tenant: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    effective_at: Mapped[datetime] = mapped_column(UtcTime)
    document: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    changed_by: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime] = mapped_column(UtcTime)


_COLUMNS = (
    DocumentRow.version,
    DocumentRow.document,
    DocumentRow.effective_at,
    DocumentRow.reason,
    DocumentRow.changed_by,
    DocumentRow.changed_at,
)


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """A stored document; its first version is 1."""

    number: int
    document: str
    effective_at: datetime
    reason: str
    changed_by: str
    changed_at: datetime


async def document_in_force(
    tx: Tx, tenant: int, name: str, *, at: datetime | None = None
) -> DocumentVersion | None:
    """Return the version that holds now, or held at an instant; None where none is stored.

    For an instant that has passed, versions that were stored later do not count.
    """
    when = tx.now if at is None else at
    query = select(*_COLUMNS).where(
        DocumentRow.tenant == tenant, DocumentRow.name == name, DocumentRow.effective_at <= when
    )
    if at is not None:
        query = query.where(DocumentRow.changed_at <= at)
    newest = query.order_by(DocumentRow.version.desc()).limit(1)
    row = (await tx.connection.execute(newest)).first()
    return None if row is None else DocumentVersion(*row)


async def document_versions(
    tx: Tx, tenant: int, name: str, *, before: int | None = None, limit: int
) -> list[DocumentVersion]:
    """Return stored versions, the newest first, at most ``limit``."""
    query = select(DocumentRow).where(DocumentRow.tenant == tenant, DocumentRow.name == name)
    if before is not None:
        query = query.where(DocumentRow.version < before)
    rows = await tx.session.scalars(query.order_by(DocumentRow.version.desc()).limit(limit))
    return [_version(row) for row in rows]


async def store_document(
    tx: Tx,
    tenant: int,
    name: str,
    document: str,
    *,
    reason: str,
    by: str,
    replaces: int | None = None,
    effective_at: datetime | None = None,
) -> DocumentVersion:
    """Store the next version; the same change of the same version again gives the first answer.

    Args:
        tx: the transaction.
        tenant: whose rules they are.
        name: which rules.
        document: their text, checked by the caller.
        reason: why; kept for ever.
        by: who, as people read it.
        replaces: the greatest stored version that the author knew, 0 for none; None asks for no
            comparison.
        effective_at: from when on it holds; now when left out.

    Raises:
        InvalidRequest: the time has passed or is too far away, or there is no reason.
        DocumentChanged: another version was stored meanwhile.
    """
    begins = _begins(tx, effective_at)
    if not 0 < len(reason.strip()) <= REASON_MAX:
        raise InvalidRequest(f"A change needs a reason of 1 to {REASON_MAX} characters.")
    latest = await tx.session.scalar(
        select(DocumentRow)
        .where(DocumentRow.tenant == tenant, DocumentRow.name == name)
        .order_by(DocumentRow.version.desc())
        .limit(1)
    )
    number = 0 if latest is None else latest.version
    if latest is not None and replaces == number - 1:
        same = (latest.document, latest.changed_by, latest.reason) == (document, by, reason)
        if same:
            return _version(latest)
    if replaces is not None and replaces != number:
        raise DocumentChanged(
            f"The latest version is {number}, not {replaces}.",
            fix="Read the rules again, make the change there, and name their version.",
            latest=number,
        )
    version = DocumentVersion(number + 1, document, begins, reason, by, tx.now)
    await _insert(tx, tenant, name, version)
    return version


async def next_change(tx: Tx, tenant: int, name: str, *, after: int) -> datetime | None:
    """Return when a version later than ``after`` begins that is stored already."""
    return await tx.session.scalar(
        select(func.min(DocumentRow.effective_at)).where(
            DocumentRow.tenant == tenant,
            DocumentRow.name == name,
            DocumentRow.version > after,
            DocumentRow.effective_at > tx.now,
        )
    )


async def _insert(tx: Tx, tenant: int, name: str, version: DocumentVersion) -> None:
    try:
        await tx.connection.execute(
            insert(DocumentRow).values(
                tenant=tenant,
                name=name,
                version=version.number,
                effective_at=version.effective_at,
                document=version.document,
                reason=version.reason,
                changed_by=version.changed_by,
                changed_at=version.changed_at,
            )
        )
    except IntegrityError as error:
        raise DocumentChanged(
            "Somebody else stored a version at the same moment.", fix="Read the rules again."
        ) from error


def _begins(tx: Tx, wanted: datetime | None) -> datetime:
    if wanted is None:
        return tx.now
    if not tx.now - _LATE <= wanted <= tx.now + AHEAD_MAX:
        raise InvalidRequest(
            "Rules begin now or within a year.",
            fix="Leave effective_at out, or name a time to come.",
            field="effective_at",
        )
    return max(wanted, tx.now)


def _version(row: DocumentRow) -> DocumentVersion:
    return DocumentVersion(
        row.version,
        row.document,
        row.effective_at,
        row.reason,
        row.changed_by,
        row.changed_at,
    )
