"""The company's books: lines of the statement, fees, and what is paid out."""

from sim.stripe.store import Body, Store

DISPUTE_FEE = 1_500
_FEE_BPS = 140
_FEE_FIXED = 25
ZERO_DECIMAL = frozenset({"jpy", "xof"})


def charge_fee(amount: int) -> int:
    return min(amount, amount * _FEE_BPS // 10_000 + _FEE_FIXED)


def post_line(
    store: Store,
    kind: str,
    amount: int,
    currency: str,
    source: str,
    *,
    fee: int = 0,
    category: str | None = None,
    account: str = "",
) -> Body:
    """Store one line of the statement, in the currency that the money is kept in.

    ``amount`` is in ``currency``; where another one is kept, it is converted at a fixed rate, set
    by ``/_control/settlement``, in millionths.
    """
    kept = store.setting("settlement_currency") or currency
    rate = int(store.setting("settlement_rate") or 1_000_000) if kept != currency else 1_000_000
    moved = abs(amount) * rate // 1_000_000 * (1 if amount > 0 else -1)
    fee_moved = fee * rate // 1_000_000
    return store.new(
        "txn",
        "balance_transaction",
        {
            "amount": moved,
            "currency": kept,
            "exchange_rate": rate / 1_000_000 if kept != currency else None,
            "fee": fee_moved,
            "fee_details": [],
            "net": moved - fee_moved,
            "source": source,
            "status": "available",
            "type": kind,
            "reporting_category": category or kind,
            "available_on": store.now(),
            "description": None,
        },
        account=account,
    )


def balance(store: Store, currency: str, *, account: str = "") -> int:
    """Return what is kept in a currency, after fees."""
    lines = store.all(
        "balance_transaction", lambda line: line["currency"] == currency, account=account
    )
    return sum(line["net"] for line in lines)
