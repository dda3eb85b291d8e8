"""How Stripe counts: mostly as ISO 4217 does, with three exceptions that its documentation lists.

Ugandan shillings have no minor unit, but are written in hundredths that must be zero. Currencies
with three decimals are taken in steps of ten.
"""

from server.kit.money import asset
from server.payments.gateway import GatewayRefused

_HUNDREDTHS = frozenset({"UGX"})
_STEP_OF_THREE_DECIMALS = 10
_THREE = 3


def to_stripe(amount: int, currency: str) -> int:
    """Return an amount of ours as Stripe writes it.

    Raises:
        GatewayRefused: Stripe does not take so fine an amount.
    """
    if currency in _HUNDREDTHS:
        return amount * 100
    if asset(currency).scale == _THREE and amount % _STEP_OF_THREE_DECIMALS:
        raise GatewayRefused("amount_not_payable")
    return amount


def from_stripe(amount: int, currency: str) -> int:
    """Return an amount that Stripe wrote as we count it.

    Raises:
        ValueError: it has a part that this currency does not have.
    """
    if currency.upper() not in _HUNDREDTHS:
        return amount
    whole, part = divmod(amount, 100)
    if part:
        raise ValueError(f"{amount} hundredths of {currency.upper()}, which has none")
    return whole
