"""What the entries of each kind added to an account, over its whole life."""

from sqlalchemy import func, select

from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountRef
from server.ledger.models import EntryRow, PostingRow


async def totals_by_kind(tx: Tx, ref: AccountRef) -> dict[str, int]:
    """Return the sum of an account's postings by kind of entry, credit-positive.

    Reads every posting of the account: for reports.
    """
    rows = await tx.connection.execute(
        select(EntryRow.kind, func.sum(PostingRow.delta))
        .join(EntryRow, (EntryRow.tenant == PostingRow.tenant) & (EntryRow.id == PostingRow.entry))
        .where(PostingRow.tenant == ref.tenant, PostingRow.account == ref.id)
        .group_by(EntryRow.kind)
    )
    return {row[0]: int(row[1]) for row in rows}
