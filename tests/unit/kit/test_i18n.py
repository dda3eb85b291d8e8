"""Texts, amounts and times in seven languages."""

import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.i18n import Language, language_for, words_of


def plain(text: str) -> str:
    """Return a text without the marks that only steer directions, and with usual spaces."""
    shown = (char for char in text if unicodedata.category(char) != "Cf")
    return "".join(" " if unicodedata.category(char) == "Zs" else char for char in shown)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (Language.ENGLISH, "-1,234,567.89 EUR"),
        (Language.TURKISH, "-1.234.567,89 EUR"),
        (Language.FRENCH, "-1 234 567,89 EUR"),
        (Language.SPANISH, "-1.234.567,89 EUR"),
        (Language.SWAHILI, "-1,234,567.89 EUR"),
    ],
)
def test_amounts_are_written_as_people_write_them(language: Language, expected: str) -> None:
    assert plain(words_of(language).amount(-123_456_789, "EUR")) == expected


def test_the_scale_of_an_amount_is_that_of_its_currency() -> None:
    words = words_of(Language.ENGLISH)
    assert plain(words.amount(1_500, "JPY")) == "1,500 JPY"
    assert plain(words.amount(1_500, "BHD")) == "1.500 BHD"
    assert plain(words.amount(5, "EUR", signed=True)) == "+0.05 EUR"


@given(st.integers(-(2**62), 2**62), st.sampled_from(list(Language)))
def test_no_digit_of_an_amount_is_lost(minor: int, language: Language) -> None:
    text = words_of(language).number(minor, 2)
    digits = "".join(str(unicodedata.digit(char)) for char in text if char.isdigit())
    assert int(digits) == abs(minor)


def test_only_arabic_goes_from_right_to_left() -> None:
    rtl = {language for language in Language if words_of(language).direction == "rtl"}
    assert rtl == {Language.ARABIC}


def test_a_value_keeps_its_own_direction() -> None:
    said = words_of(Language.ARABIC).say("No. {number}", number="12-AB")
    assert "\u206812-AB\u2069" in said


def test_a_text_that_no_catalogue_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        words_of(Language.TURKISH).say("Nobody ever wrote this")


def test_times_say_their_zone() -> None:
    moment = datetime(2026, 11, 21, 9, 5, tzinfo=UTC)
    text = words_of(Language.ENGLISH).moment(moment, ZoneInfo("Europe/Istanbul"))
    assert plain(text).startswith("21 November 2026, 12:05 ")


@pytest.mark.parametrize(
    ("accepted", "preferred", "expected"),
    [
        (None, None, Language.ENGLISH),
        ("", None, Language.ENGLISH),
        ("ar", None, Language.ARABIC),
        ("de-DE, fr;q=0.7, ar-EG;q=0.9", None, Language.ARABIC),
        ("tr;q=0, en;q=0.1", None, Language.ENGLISH),
        ("TR-tr", None, Language.TURKISH),
        ("sw;q=abc, hi;q=0.5", None, Language.HINDI),
        ("ar", "sw", Language.SWAHILI),
        ("ar", "xx", Language.ARABIC),
        ("*", None, Language.ENGLISH),
    ],
)
def test_the_language_is_the_persons_then_the_headers(
    accepted: str | None, preferred: str | None, expected: Language
) -> None:
    assert language_for(accepted, preferred) is expected


@given(st.text(max_size=2_000))
def test_no_header_breaks_anything(accepted: str) -> None:
    assert language_for(accepted) in set(Language)
