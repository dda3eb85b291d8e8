"""Limits of offline money, as data, and how an amount is cut into vouchers.

Every figure is a default of `OfflinePolicy`; a tenant may store others (see `policy`). Amounts are
minor units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from server.kit.money import asset

TIER_DEFAULT = "user"
"""The payee tier of everybody whose own tier the policy does not name."""

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

    ``instant`` is, by tier of the payee, the credit from one voucher that is final at sync; what
    is above waits for claim-by. ``fund`` is what the guarantee fund pays at most for one cheat.
    """

    voucher_value_max: int
    payment_max: int
    balance_max: int
    instant: Mapping[str, int]
    fund: int
    fund_per_period: int | None = None
    """What the fund promises at most in one `OfflinePolicy.fund_period`, over all cheats."""
    fund_floor: int | None = None
    """The balance below which no promise may bring the fund; none when it may go below zero."""
    fund_alarm_below: int | None = None
    """The balance of the fund below which the report raises an alarm."""
    collateral_percent: int = 100
    """By how much of what a user sets aside ``balance_max`` grows."""
    four_eyes_over: int | None = None
    """Disputes about more than this are decided by two officers; none: always by one."""

    def instant_for(self, tier: str) -> int:
        return self.instant.get(tier, self.instant[TIER_DEFAULT])

    def balance_with(self, collateral: int) -> int:
        """Return the most that a device may hold for a user who has set so much aside."""
        return self.balance_max + collateral * self.collateral_percent // 100

    def collateral_for(self, balance: int) -> int | None:
        """Return the collateral that a device's balance takes; None where none would do."""
        excess = max(0, balance - self.balance_max)
        if excess and not self.collateral_percent:
            return None
        return -(-excess * 100 // self.collateral_percent) if excess else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRule:
    """What a payee's device should do with an offer that meets every condition which is set.

    Without ``currency`` it is for all of them. ``assurance_under`` is the least level of key
    keeping that does not meet it: 2 means keys without secure hardware. Ages are seconds: of the
    oldest certificate in the offer, and of the revocation list that the payee holds.
    """

    action: Literal["warn", "refuse"]
    currency: str | None = None
    amount_over: int | None = None
    hops_over: int | None = None
    certificate_age_over_s: int | None = None
    revocation_age_over_s: int | None = None
    assurance_under: int | None = None


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
    fund_period: timedelta = timedelta(days=30)
    dispute_within: timedelta = timedelta(days=180)
    """How long after a conflict was found its accused may contest it."""
    acceptance: Sequence[AcceptanceRule] = ()
    """What the issuer recommends to payees; without any a device has its own rules only."""

    def has_tier(self, tier: str) -> bool:
        """Return whether any currency gives a payee tier an instant limit."""
        listed = [*self.currencies.values(), default_limits("EUR")]
        return any(tier in limits.instant for limits in listed)

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
        four_eyes_over=500 * unit,
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
