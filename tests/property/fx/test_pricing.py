"""No way of asking brings more than asking once and straight, and no unit is lost or made."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

from hypothesis import assume, example, given
from hypothesis import strategies as st

from server.fx.errors import AmountTooLarge, AmountTooSmall
from server.fx.postings import postings_for
from server.fx.pricing import BPS, BPS_MAX, Price, price_of_purchase, price_of_sale
from server.fx.quotes import Quote
from server.fx.rates import Mid, Rate
from server.kit.money import AMOUNT_MAX, ASSETS
from server.ledger import AccountKind

amounts = st.one_of(
    st.integers(1, 50), st.integers(1, 10**7), st.integers(1, AMOUNT_MAX), st.just(AMOUNT_MAX)
)
bps = st.one_of(st.sampled_from([0, 1, 50, 100, BPS_MAX]), st.integers(0, BPS_MAX))
rates = st.one_of(
    st.sampled_from(["1", "1.0842", "177.31", "0.4371", "655.957", "48.6512", "4127.8"]),
    st.decimals("0.000001", "100000", places=6).map(lambda number: f"{number:f}"),
)
currencies = st.sampled_from(["EUR", "USD", "JPY", "BHD", "TRY", "UGX"])


def rate(currency: str, text: str) -> Rate:
    return Rate(currency, text, date(2026, 1, 5), "test")


@st.composite
def mids(draw: st.DrawFn) -> Mid:
    sell, buy = draw(st.lists(currencies, min_size=2, max_size=2, unique=True))
    return Mid(rate(sell, draw(rates)), rate(buy, draw(rates)))


def sale(amount: int, mid: Fraction, spread: int = 0, charge: int = 0) -> Price | None:
    """Return the price, or None where there would be nothing or too much to buy."""
    try:
        return price_of_sale(amount, mid, spread_bps=spread, charge_bps=charge)
    except (AmountTooSmall, AmountTooLarge):
        return None


def bought(amount: int, mid: Fraction, spread: int = 0, charge: int = 0) -> int:
    """Return what is bought; nothing by an amount that is refused."""
    price = sale(amount, mid, spread, charge)
    return 0 if price is None else price.buy


def purchase(amount: int, mid: Fraction, spread: int = 0, charge: int = 0) -> Price | None:
    try:
        return price_of_purchase(amount, mid, spread_bps=spread, charge_bps=charge)
    except (AmountTooSmall, AmountTooLarge):
        return None


@given(amounts, mids(), bps, bps)
def test_each_amount_is_rounded_once_by_less_than_a_unit_for_the_house(
    amount: int, mid: Mid, spread: int, charge: int
) -> None:
    price = sale(amount, mid.minor, spread, charge)
    assume(price is not None)
    assert price is not None
    assert price.sell == amount
    assert 0 <= price.charge - Fraction(amount * charge, BPS) < 1
    exact = price.net * mid.minor * Fraction(BPS - spread, BPS)
    assert 0 <= exact - price.buy < 1
    assert 0 <= price.net * mid.minor - (price.buy + price.spread) < 1


@given(amounts, mids(), bps, bps)
@example(1, Mid(rate("JPY", "177.31"), rate("BHD", "0.4371")), 50, 100)
def test_a_purchase_is_the_cheapest_sale_that_brings_as_much(
    amount: int, mid: Mid, spread: int, charge: int
) -> None:
    price = purchase(amount, mid.minor, spread, charge)
    assume(price is not None)
    assert price is not None
    assert price.buy == amount
    assert price.spread >= 0
    same = sale(price.sell, mid.minor, spread, charge)
    assert same is None or (same.charge == price.charge and same.buy >= amount)
    assert bought(price.sell - 1, mid.minor, spread, charge) < amount if price.sell > 1 else True


@given(st.lists(amounts, min_size=1, max_size=12), mids(), bps, bps)
def test_an_amount_cut_into_pieces_buys_no_more_than_the_whole(
    pieces: list[int], mid: Mid, spread: int, charge: int
) -> None:
    whole = sum(pieces)
    assume(whole <= AMOUNT_MAX and sale(whole, mid.minor, spread, charge) is not None)
    together = bought(whole, mid.minor, spread, charge)
    assert sum(bought(piece, mid.minor, spread, charge) for piece in pieces) <= together


@given(st.integers(1, 400), mids(), bps, bps)
def test_an_amount_cut_into_single_units_buys_no_more_than_the_whole(
    amount: int, mid: Mid, spread: int, charge: int
) -> None:
    assume(sale(amount, mid.minor, spread, charge) is not None)
    single = bought(1, mid.minor, spread, charge)
    assert amount * single <= bought(amount, mid.minor, spread, charge)


@given(st.lists(amounts, min_size=1, max_size=12), mids(), bps, bps)
def test_buying_in_pieces_costs_no_less_than_buying_at_once(
    pieces: list[int], mid: Mid, spread: int, charge: int
) -> None:
    prices = [purchase(piece, mid.minor, spread, charge) for piece in pieces]
    whole = sum(pieces)
    assume(whole <= AMOUNT_MAX and None not in prices)
    together = purchase(whole, mid.minor, spread, charge)
    assume(together is not None)
    assert together is not None
    assert sum(price.sell for price in prices if price is not None) >= together.sell


@given(
    amounts,
    st.lists(currencies, min_size=2, max_size=6),
    st.dictionaries(currencies, rates, min_size=6, max_size=6),
    bps,
    bps,
)
def test_going_round_in_a_ring_of_any_length_never_gains(
    amount: int, ring: list[str], sheet: dict[str, str], spread: int, charge: int
) -> None:
    held, place = amount, ring[0]
    for following in [*ring[1:], ring[0]]:
        if following == place:
            continue
        mid = Mid(rate(place, sheet[place]), rate(following, sheet[following]))
        held, place = bought(held, mid.minor, spread, charge), following
        if not held:
            return
    assert held <= amount


@given(
    st.integers(1, 10**9),
    st.lists(st.integers(0, 10**9), max_size=4),
    st.tuples(rates, rates, rates),
    bps,
)
def test_a_triangle_in_pieces_brings_no_more_than_the_straight_way(
    amount: int, cuts: list[int], sheet: tuple[str, str, str], spread: int
) -> None:
    first, second, third = (
        rate(currency, text) for currency, text in zip(("EUR", "JPY", "BHD"), sheet, strict=True)
    )
    marks = sorted({0, amount, *(cut % (amount + 1) for cut in cuts)})
    pieces = [after - before for before, after in pairwise(marks)]
    there, back = Mid(first, second).minor, Mid(second, third).minor
    by_way = [
        bought(middle, back, spread) for piece in pieces if (middle := bought(piece, there, spread))
    ]
    straight = Mid(first, third).minor * amount
    assert sum(by_way) <= straight


@given(mids(), amounts, bps, bps)
def test_there_and_back_by_sale_and_purchase_never_gains(
    mid: Mid, amount: int, spread: int, charge: int
) -> None:
    there = sale(amount, mid.minor, spread, charge)
    assume(there is not None)
    assert there is not None
    back = purchase(amount, 1 / mid.minor, spread, charge)
    # Whoever wants the amount back has to give at least what they got for it.
    assert back is None or back.sell >= there.buy


@given(st.lists(st.tuples(mids(), amounts, bps, bps, st.booleans()), min_size=1, max_size=20))
def test_no_unit_is_lost_and_positions_and_income_are_the_sums_of_the_quotes(
    wishes: list[tuple[Mid, int, int, int, bool]],
) -> None:
    books: Counter[tuple[AccountKind, str]] = Counter()
    quoted: Counter[tuple[AccountKind, str]] = Counter()
    for number, (mid, amount, spread, charge, selling) in enumerate(wishes):
        price = (sale if selling else purchase)(amount, mid.minor, spread, charge)
        if price is None:
            continue
        quote = _quote(number, mid, price)
        for entry in postings_for(quote):
            assert entry.debit.asset == entry.credit.asset
            books[entry.debit.kind, entry.debit.asset] -= entry.amount
            books[entry.credit.kind, entry.credit.asset] += entry.amount
        sold, got = quote.sell_currency, quote.buy_currency
        quoted[AccountKind.USER_AVAILABLE, sold] -= quote.sell_amount
        quoted[AccountKind.USER_AVAILABLE, got] += quote.buy_amount
        quoted[AccountKind.HOUSE_FX_INCOME, sold] += quote.charge_amount
        quoted[AccountKind.HOUSE_FX_INCOME, got] += quote.spread_amount
        quoted[AccountKind.HOUSE_FX_POSITION, sold] += quote.net_amount
        quoted[AccountKind.HOUSE_FX_POSITION, got] -= quote.buy_amount + quote.spread_amount
    assert {place: sum_ for place, sum_ in books.items() if sum_} == {
        place: sum_ for place, sum_ in quoted.items() if sum_
    }
    for currency in ASSETS:
        assert sum(sum_ for (_, asset), sum_ in books.items() if asset == currency) == 0


@given(mids(), amounts, bps, bps)
def test_at_the_mid_rate_the_house_never_loses_on_a_quote(
    mid: Mid, amount: int, spread: int, charge: int
) -> None:
    price = sale(amount, mid.minor, spread, charge)
    assume(price is not None)
    assert price is not None
    kept = price.charge * mid.minor + price.spread
    position = price.net * mid.minor - (price.buy + price.spread)
    assert kept >= 0
    assert 0 <= position < 1
    assert price.sell * mid.minor == kept + position + price.buy


def _quote(number: int, mid: Mid, price: Price) -> Quote:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    return Quote(
        id=UUID(int=number),
        tenant=1,
        user_id=UUID(int=7),
        payee_id=None,
        sell_currency=mid.sell.currency,
        buy_currency=mid.buy.currency,
        sell_amount=price.sell,
        buy_amount=price.buy,
        charge_amount=price.charge,
        spread_amount=price.spread,
        sell_rate=mid.sell.text,
        buy_rate=mid.buy.text,
        rate_date=mid.on,
        rate_source=mid.source,
        spread_bps=0,
        charge_bps=0,
        payer_country=None,
        payee_country=None,
        created_at=now,
        expires_at=now + timedelta(seconds=30),
        taken_at=None,
    )
