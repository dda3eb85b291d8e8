"""Closing an account, for good."""

from sqlalchemy import update

from server.kit.errors import NotFound
from server.kit.unit_of_work import Tx
from server.ledger.chart import AccountRef
from server.ledger.entries import expire_due
from server.ledger.errors import AccountInUse
from server.ledger.models import AccountRow
from server.ledger.stores import store_of


async def close_account(tx: Tx, ref: AccountRef) -> None:
    """Close an account that is empty; later entries on it are refused. Closing twice is no error.

    Raises:
        NotFound: nobody ever used the account.
        AccountInUse: money is left in it, or set aside by an open hold.
    """
    await expire_due(tx, ref.tenant, [ref.id])
    accounts, _ = await store_of(tx, ref.tenant).lock([ref.id])
    account = accounts.get(ref.id)
    if account is None:
        raise NotFound("This account was never used, so there is nothing to close.")
    if account.posted or account.held:
        raise AccountInUse(
            "The account still holds money, or some of it is set aside.",
            fix="Move the balance elsewhere and release its holds first.",
        )
    if not account.closed:
        await tx.connection.execute(
            update(AccountRow)
            .where(AccountRow.tenant == ref.tenant, AccountRow.id == ref.id)
            .values(closed_at=tx.now)
        )
