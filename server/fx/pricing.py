"""What an exchange costs: exact fractions, and where they are rounded. Pure.

Of the amount that is sold, first the charge is taken, shown apart, in the currency sold. The rest,
the net amount, is bought for at the mid rate less the spread. Each amount that has to be rounded is
rounded once, to a whole minor unit, so that the house gets the part: the charge and what has to be
given go up, what is bought goes down. So each differs by less than one minor unit from the exact
one, and no way of cutting an amount into pieces, nor of going round in a ring, brings more than
going straight (docs/decisions/0018-rounding-of-exchanges.md has the proof).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from server.fx.errors import AmountTooLarge, AmountTooSmall
from server.kit.money import AMOUNT_MAX

BPS: Final = 10_000
"""Basis points of the whole."""
BPS_MAX: Final = 5_000


@dataclass(frozen=True, slots=True)
class Price:
    """Minor units of an exchange. ``sell`` is all that the payer gives, the charge included.

    The position of the house gets ``net`` of the currency sold and gives ``buy`` and ``spread`` of
    the one bought.
    """

    sell: int
    charge: int
    buy: int
    spread: int

    @property
    def net(self) -> int:
        return self.sell - self.charge


def price_of_sale(sell: int, mid: Fraction, *, spread_bps: int, charge_bps: int) -> Price:
    """Return what is bought when exactly ``sell`` is given.

    Args:
        sell: minor units.
        mid: minor units of the currency bought for one minor unit of the one sold.
        spread_bps: what the house keeps of the mid rate.
        charge_bps: the charge, as part of ``sell``.

    Raises:
        AmountTooSmall: nothing would be bought.
        AmountTooLarge: more would be bought than an amount can be.
    """
    return _price(sell, _charge(sell, charge_bps), mid, spread_bps)


def price_of_purchase(buy: int, mid: Fraction, *, spread_bps: int, charge_bps: int) -> Price:
    """Return the least that has to be given so that exactly ``buy`` is bought.

    Raises as `price_of_sale` does.
    """
    net = _up(buy / _rate(mid, spread_bps))
    sell = _up(Fraction(net * BPS, BPS - charge_bps))
    # Exactly what a sale of this amount would be charged, and one unit less would not do.
    return _price(sell, sell - net, mid, spread_bps, buy=buy)


def _price(
    sell: int, charge: int, mid: Fraction, spread_bps: int, *, buy: int | None = None
) -> Price:
    net = sell - charge
    bought = _down(net * _rate(mid, spread_bps)) if buy is None else buy
    at_mid = _down(net * mid)
    if bought < 1 or net < 1:
        raise AmountTooSmall("Nothing would be left of this amount.", fix="Exchange more at once.")
    if max(sell, at_mid) > AMOUNT_MAX:
        raise AmountTooLarge("An amount has at most 2^53 - 1 minor units.", fix="Exchange less.")
    return Price(sell, charge, bought, at_mid - bought)


def _rate(mid: Fraction, spread_bps: int) -> Fraction:
    return mid * Fraction(BPS - spread_bps, BPS)


def _charge(sell: int, charge_bps: int) -> int:
    return _up(Fraction(sell * charge_bps, BPS))


def _up(exact: Fraction) -> int:
    return -(-exact.numerator // exact.denominator)


def _down(exact: Fraction) -> int:
    return exact.numerator // exact.denominator
