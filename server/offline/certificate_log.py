"""The log of certificates: every one that is signed, in order, under one chain of hashes."""

from collections.abc import Sequence

from sqlalchemy import insert, select

from offline_protocol.certificate_log import LogHead
from server.kit.unit_of_work import Tx
from server.offline.trust_models import CertificateLogRow

PAGE_MAX = 1_000


async def log_head(tx: Tx, tenant: int) -> LogHead:
    """Return the head of the log as it stands."""
    row = await tx.session.scalar(
        select(CertificateLogRow)
        .where(CertificateLogRow.tenant == tenant)
        .order_by(CertificateLogRow.size.desc())
        .limit(1)
    )
    return LogHead() if row is None else LogHead(row.size, row.head)


async def append_to_log(tx: Tx, tenant: int, certificate_ids: Sequence[bytes]) -> LogHead:
    """Log certificates in the transaction that signs them. The caller holds `lock_offline`."""
    head = await log_head(tx, tenant)
    rows = []
    for certificate_id in certificate_ids:
        head = head.extend([certificate_id])
        rows.append(
            {
                "tenant": tenant,
                "size": head.size,
                "certificate_id": certificate_id,
                "head": head.head,
            }
        )
    if rows:
        await tx.connection.execute(insert(CertificateLogRow), rows)
    return head


async def log_entries(tx: Tx, tenant: int, after: int) -> list[bytes]:
    """Return the ids that follow the first ``after`` entries, at most `PAGE_MAX`."""
    query = (
        select(CertificateLogRow.certificate_id)
        .where(CertificateLogRow.tenant == tenant, CertificateLogRow.size > after)
        .order_by(CertificateLogRow.size)
        .limit(PAGE_MAX)
    )
    return list(await tx.session.scalars(query))
