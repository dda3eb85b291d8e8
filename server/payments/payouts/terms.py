"""Terms of withdrawals: built in, or set by an operator for a currency."""

from sqlalchemy import delete, select

from server.kit.money import asset
from server.kit.unit_of_work import Tx
from server.payments.payouts.domain import DEFAULT_TERMS, Terms
from server.payments.payouts.errors import WithdrawalUnavailable
from server.payments.payouts.models import WithdrawalTermsRow


async def terms_of(tx: Tx, tenant: int, currency: str) -> Terms:
    """Return the terms in force for a currency.

    Raises:
        UnknownCurrency: this server does not know it.
        WithdrawalUnavailable: it has no terms, so nothing is paid out in it.
    """
    asset(currency)
    found = (await all_terms(tx, tenant)).get(currency)
    if found is None:
        raise WithdrawalUnavailable(f"{currency} cannot be withdrawn here.")
    return found


async def all_terms(tx: Tx, tenant: int) -> dict[str, Terms]:
    """Return the terms in force by currency."""
    rows = await tx.session.scalars(
        select(WithdrawalTermsRow).where(WithdrawalTermsRow.tenant == tenant)
    )
    own = {row.currency: Terms(row.currency, row.minimum, row.maximum, row.fee) for row in rows}
    return dict(sorted({**DEFAULT_TERMS, **own}.items()))


async def set_terms(tx: Tx, tenant: int, terms: Terms) -> None:
    """Set the terms of a currency for withdrawals from now on."""
    asset(terms.currency)
    where = (
        WithdrawalTermsRow.tenant == tenant,
        WithdrawalTermsRow.currency == terms.currency,
    )
    await tx.session.execute(delete(WithdrawalTermsRow).where(*where))
    tx.session.add(
        WithdrawalTermsRow(
            tenant=tenant,
            currency=terms.currency,
            minimum=terms.minimum,
            maximum=terms.maximum,
            fee=terms.fee,
            set_at=tx.now,
        )
    )
    await tx.session.flush()
