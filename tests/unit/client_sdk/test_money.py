"""Amounts as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_sdk.errors import InvalidAmount
from client_sdk.money import AMOUNT_MAX, EXPONENTS, format_amount, parse_amount, parse_currency


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.50", "EUR", 1250),
        ("12.5", "EUR", 1250),
        ("12", "EUR", 1200),
        ("0.01", "EUR", 1),
        ("12.500", "EUR", 1250),
        ("300", "JPY", 300),
        ("1.234", "TND", 1234),
        ("0.00000001", "BTC", 1),
    ],
)
def test_an_amount_is_read_exactly(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    "text",
    ["12,50", "1e3", "-5", "+5", "", " ", "1 000", ".5", "5.", "0x10", "NaN", "٣", "0", "0.00"],
)
def test_what_is_no_plain_positive_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text, "EUR")


def test_more_decimals_than_the_currency_has_are_refused_not_rounded() -> None:
    with pytest.raises(InvalidAmount, match="EUR has 2 decimals"):
        parse_amount("0.001", "EUR")
    with pytest.raises(InvalidAmount, match="JPY has 0 decimals"):
        parse_amount("1.5", "JPY")


def test_the_issuers_word_about_decimals_wins() -> None:
    assert parse_amount("1.5", "JPY", digits=2) == 150
    assert format_amount(150, "JPY", digits=2) == "1.50 JPY"


def test_an_amount_beyond_the_ledgers_range_is_refused() -> None:
    with pytest.raises(InvalidAmount, match="outside"):
        parse_amount(str(AMOUNT_MAX), "EUR")


@given(st.integers(1, AMOUNT_MAX), st.sampled_from(["EUR", "JPY", "TND", "BTC"]))
def test_what_is_shown_reads_back_as_the_same_amount(minor: int, currency: str) -> None:
    text, _, code = format_amount(minor, currency).partition(" ")
    assert (parse_amount(text, code), code) == (minor, currency)


def test_a_debt_is_shown_with_one_sign() -> None:
    assert format_amount(-5, "EUR") == "-0.05 EUR"


def test_currency_codes_are_read_in_any_case() -> None:
    assert parse_currency(" eur ") == "EUR"
    for bad in ("E", "EU€", "12", "TOOLONGCODE"):
        with pytest.raises(InvalidAmount):
            parse_currency(bad)


def test_only_exponents_that_differ_from_two_are_listed() -> None:
    assert 2 not in EXPONENTS.values()
