"""Amounts as people type and read them: decimal text and a currency code, exactly.

Inside the wallet an amount is an integer in minor units. The exponents are those of ISO 4217
for currencies that differ from two; an asset that is not listed has two decimals.
"""

import re
from typing import Final

from client_sdk.errors import InvalidAmount

EXPONENTS: Final = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
    "BTC": 8,
    "ETH": 18,
    "USDC": 6,
    "USDT": 6,
}
AMOUNT_MAX: Final = 10**15
_NUMBER: Final = re.compile(r"(?P<whole>[0-9]{1,18})(?:[.](?P<part>[0-9]{1,18}))?")
_CODE: Final = re.compile(r"[A-Z][A-Z0-9]{2,7}")


def exponent(currency: str) -> int:
    """Decimals of the currency's major unit."""
    return EXPONENTS.get(currency, 2)


def parse_currency(text: str) -> str:
    code = text.strip().upper()
    if not _CODE.fullmatch(code):
        raise InvalidAmount(
            f"{text!r} is not a currency code.", fix="Write three letters, such as EUR."
        )
    return code


def parse_amount(text: str, currency: str, *, digits: int | None = None) -> int:
    """Minor units of a decimal text such as "12.50"; never rounded.

    Args:
        text: what a person typed.
        currency: its code.
        digits: decimals of the currency, if an issuer's key set names them.

    Raises:
        InvalidAmount: not a plain positive number, too many decimals, or too large.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise InvalidAmount(
            f"{text!r} is not an amount.",
            fix="Write digits with a point before the cents and nothing else, such as 12.50.",
        )
    digits = exponent(currency) if digits is None else digits
    part = (found["part"] or "").rstrip("0")
    if len(part) > digits:
        raise InvalidAmount(
            f"{currency} has {digits} decimals; {text} has more.",
            fix="Give an amount that can be paid exactly; nothing is rounded for you.",
        )
    amount = int(found["whole"]) * int(10**digits) + int((part or "0").ljust(digits, "0") or "0")
    if not 0 < amount <= AMOUNT_MAX:
        raise InvalidAmount(
            f"{text} {currency} is outside what can be paid.",
            fix="Give more than zero and at most "
            f"{format_amount(AMOUNT_MAX, currency, digits=digits)}.",
        )
    return amount


def format_amount(amount: int, currency: str, *, digits: int | None = None) -> str:
    """Text for people, such as "12.50 EUR"."""
    digits = exponent(currency) if digits is None else digits
    sign = "-" if amount < 0 else ""
    whole, part = divmod(abs(amount), 10**digits)
    decimals = f".{part:0{digits}d}" if digits else ""
    return f"{sign}{whole}{decimals} {currency}"
