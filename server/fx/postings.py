"""What an exchange posts: one chain of entries, each within one currency. Pure.

The payer gives the net amount to the house's position in the currency sold, and the charge to its
income. From the position in the currency bought, the payee gets what was quoted and the income gets
the spread. Each currency sums to zero by itself; the positions say what the house is long or short
at the mid rates of the quotes, and the income what it earned.
"""

from collections.abc import Mapping
from uuid import UUID, uuid5

from server.fx.quotes import Quote
from server.ledger import AccountKind, AccountRef, EntryRequest

POSTED_KINDS = frozenset({"fx.sold", "fx.charge", "fx.bought", "fx.spread"})
_NAMESPACE = UUID("5f2b8d0e-6f0e-5c39-9a55-0d2f8a7c1e44")


def chain_of(quote: Quote) -> UUID:
    """Return the chain of a quote's entries; there is one for each quote, ever."""
    return uuid5(_NAMESPACE, f"{quote.tenant}/{quote.id}")


def postings_for(
    quote: Quote, *, payee_id: UUID | None = None, memo: Mapping[str, object] | None = None
) -> list[EntryRequest]:
    """Return the entries of a quote that was taken, all applied together or not at all.

    Args:
        quote: the quote.
        payee_id: who gets what is bought; the quote's own user when left out.
        memo: what the caller wants to have written on each entry, beside the quote's id.
    """
    tenant, sold, bought = quote.tenant, quote.sell_currency, quote.buy_currency
    payer = AccountRef(AccountKind.USER_AVAILABLE, sold, quote.user_id, tenant)
    payee = AccountRef(AccountKind.USER_AVAILABLE, bought, payee_id or quote.user_id, tenant)
    position_sold = AccountRef(AccountKind.HOUSE_FX_POSITION, sold, None, tenant)
    position_bought = AccountRef(AccountKind.HOUSE_FX_POSITION, bought, None, tenant)
    income_sold = AccountRef(AccountKind.HOUSE_FX_INCOME, sold, None, tenant)
    income_bought = AccountRef(AccountKind.HOUSE_FX_INCOME, bought, None, tenant)
    legs = (
        ("fx.sold", payer, position_sold, quote.net_amount),
        ("fx.charge", payer, income_sold, quote.charge_amount),
        ("fx.bought", position_bought, payee, quote.buy_amount),
        ("fx.spread", position_bought, income_bought, quote.spread_amount),
    )
    chain = chain_of(quote)
    return [
        EntryRequest(
            id=uuid5(chain, kind),
            kind=kind,
            debit=debit,
            credit=credit,
            amount=amount,
            chain=chain,
            memo={"quote": str(quote.id), **(memo or {})},
        )
        for kind, debit, credit, amount in legs
        if amount
    ]
