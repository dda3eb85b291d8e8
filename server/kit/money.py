"""Money: an integer number of minor units of one currency.

Two currencies never mix, and nothing here rounds in silence. Exponents follow ISO 4217.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from server.kit.errors import TallyError

AMOUNT_MAX = 2**53 - 1
"""Largest amount on any wire: exact in JSON readers that know only doubles."""


class UnknownCurrency(TallyError):
    code, title = "unknown_currency", "The currency is not known here"


class CurrencyMismatch(ValueError):
    """Two currencies met in one sum: a fault of ours, never of the caller."""


@dataclass(frozen=True, slots=True)
class Asset:
    """Something that is counted: ``10 ** scale`` minor units make one unit."""

    code: str
    scale: int
    name: str


ASSETS = MappingProxyType(
    {
        asset.code: asset
        for asset in (
            Asset("AED", 2, "UAE dirham"),
            Asset("BHD", 3, "Bahraini dinar"),
            Asset("BRL", 2, "Brazilian real"),
            Asset("CHF", 2, "Swiss franc"),
            Asset("EUR", 2, "Euro"),
            Asset("GBP", 2, "Pound sterling"),
            Asset("GHS", 2, "Ghana cedi"),
            Asset("INR", 2, "Indian rupee"),
            Asset("JPY", 0, "Yen"),
            Asset("KES", 2, "Kenyan shilling"),
            Asset("MAD", 2, "Moroccan dirham"),
            Asset("NGN", 2, "Naira"),
            Asset("TRY", 2, "Turkish lira"),
            Asset("TZS", 2, "Tanzanian shilling"),
            Asset("UGX", 0, "Uganda shilling"),
            Asset("USD", 2, "US dollar"),
            Asset("XOF", 0, "CFA franc BCEAO"),
            Asset("ZAR", 2, "Rand"),
        )
    }
)


def asset(code: str) -> Asset:
    """Return the asset of a code.

    Raises:
        UnknownCurrency: no asset has this code.
    """
    try:
        return ASSETS[code]
    except KeyError:
        raise UnknownCurrency(
            f"{code!r} is not a currency of this server.",
            fix=f"Use one of {', '.join(sorted(ASSETS))}.",
        ) from None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units, of one currency."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount) is not int:
            raise TypeError(f"an amount is an int, not {type(self.amount).__name__}")

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount <= self._same(other)

    def __str__(self) -> str:
        scale = asset(self.currency).scale
        sign = "-" if self.amount < 0 else ""
        digits = str(abs(self.amount)).rjust(scale + 1, "0")
        number = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
        return f"{sign}{number} {self.currency}"

    def allocate(self, weights: Sequence[int]) -> list["Money"]:
        """Split by weight with no unit lost (largest remainder, earlier parts first on ties).

        Raises:
            ValueError: there is no positive weight, or one is negative.
        """
        total = sum(weights)
        if total <= 0 or min(weights) < 0:
            raise ValueError("weights are not negative, and one is positive")
        shares = [self.amount * weight // total for weight in weights]
        remainders = [self.amount * weight % total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-remainders[i], i))
        for index in by_remainder[: self.amount - sum(shares)]:
            shares[index] += 1
        return [Money(share, self.currency) for share in shares]

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix")
        return other.amount
