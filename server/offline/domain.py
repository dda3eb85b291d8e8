"""Limits of offline money, as data, and how an amount is cut into vouchers.

Every figure is a default of `OfflinePolicy`. Amounts are minor units.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from server.kit.money import asset

ROLE_DEFAULT = "user"

UNITS_PER_EURO = MappingProxyType(
    {
        "AED": 4,
        "BHD": 1,
        "BRL": 6,
        "CHF": 1,
        "EUR": 1,
        "GBP": 1,
        "GHS": 15,
        "INR": 100,
        "JPY": 150,
        "KES": 150,
        "MAD": 10,
        "NGN": 1_500,
        "TRY": 40,
        "TZS": 3_000,
        "UGX": 4_000,
        "USD": 1,
        "XOF": 600,
        "ZAR": 20,
    }
)
"""Coarse, for default limits of a like size everywhere; never a rate for exchanging money."""


@dataclass(frozen=True, slots=True)
class CurrencyLimits:
    """What one device, one payment and one cheat may amount to in a currency.

    ``instant`` is, by role of the payee, the credit from one voucher that is final at sync; what
    is above waits for claim-by. ``fund`` is what the guarantee fund pays at most for one cheat.
    """

    voucher_value_max: int
    payment_max: int
    balance_max: int
    instant: Mapping[str, int]
    fund: int

    def instant_for(self, role: str) -> int:
        return self.instant.get(role, self.instant[ROLE_DEFAULT])


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """The rules under which vouchers and certificates are issued and settled.

    The instant limit of a merchant is above the largest voucher, so an ordinary shop's takings are
    final when it synchronises. The fund's share is three of the largest vouchers: the number of
    victims that one restored phone reaches when evidence travels at every meeting.
    """

    currencies: Mapping[str, CurrencyLimits] = field(default_factory=dict)
    """Limits that replace the defaults of a currency."""
    hops_max: int = 4
    vouchers_per_issue_max: int = 16
    spend_by: timedelta = timedelta(days=30)
    claim_after: timedelta = timedelta(days=14)
    certificate_life: timedelta = timedelta(days=14)
    renew_below: timedelta = timedelta(days=7)
    waiting_per_device_max: int = 1_000

    def limits(self, currency: str) -> CurrencyLimits:
        """Return the limits of a currency.

        Raises:
            UnknownCurrency: this server does not know it.
        """
        known = self.currencies.get(currency)
        return known if known is not None else default_limits(currency)


def default_limits(currency: str) -> CurrencyLimits:
    """Return limits worth about 200 euro a voucher, 500 a payment and 2,000 a device."""
    unit = 10 ** asset(currency).scale * UNITS_PER_EURO[currency]
    return CurrencyLimits(
        voucher_value_max=200 * unit,
        payment_max=500 * unit,
        balance_max=2_000 * unit,
        instant={"user": 100 * unit, "merchant": 1_000 * unit},
        fund=600 * unit,
    )


def split_value(amount: int, value_max: int) -> list[int]:
    """Cut an amount into the fewest nearly equal vouchers of at most ``value_max``.

    Several medium vouchers show a payee less of what was spent before than one large one does.
    """
    assert amount > 0
    assert value_max > 0
    count = -(-amount // value_max)
    share, rest = divmod(amount, count)
    return [share + 1] * rest + [share] * (count - rest)


DEFAULT_POLICY = OfflinePolicy()
