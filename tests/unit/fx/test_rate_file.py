"""The reader of rate files takes what the central bank publishes, and nothing else."""

from datetime import date

import pytest

from server.fx.rate_file import FILE_BYTES_MAX, RateFileInvalid, read_rate_file
from tests.factories.rates import rate_file


def test_a_daily_file_is_read() -> None:
    sheet = read_rate_file(rate_file(date(2026, 11, 20), USD="1.1583", JPY="177.31"))
    assert sheet.on == date(2026, 11, 20)
    assert sheet.rates == {"USD": "1.1583", "JPY": "177.31"}


def test_currencies_that_we_do_not_know_are_read_too() -> None:
    assert read_rate_file(rate_file(date(2026, 11, 20), XXX="3")).rates == {"XXX": "3"}


GOOD = rate_file(date(2026, 11, 20), USD="1.1583", JPY="177.31")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"<html><body>503</body></html>",
        b"\xff\xfe<\x00",
        GOOD[:-20],
        GOOD.replace(b"1.1583", b"0"),
        GOOD.replace(b"1.1583", b"0.000"),
        GOOD.replace(b"1.1583", b"-1"),
        GOOD.replace(b"1.1583", b"1e9"),
        GOOD.replace(b"1.1583", b"1,1583"),
        GOOD.replace(b"1.1583", b" 1.1583"),
        GOOD.replace(b"1.1583", b"NaN"),
        GOOD.replace(b"1.1583", b"Infinity"),
        GOOD.replace(b"1.1583", b"1."),
        GOOD.replace(b"1.1583", b".5"),
        GOOD.replace(b"1.1583", b"1" * 10),
        GOOD.replace(b"1.1583", "\N{ARABIC-INDIC DIGIT ONE}".encode()),
        GOOD.replace(b"'USD'", b"'EUR'"),
        GOOD.replace(b"'USD'", b"'JPY'"),
        GOOD.replace(b"'USD'", b"'usd'"),
        GOOD.replace(b"'USD'", b"'USDT'"),
        GOOD.replace(b"currency='USD'", b""),
        GOOD.replace(b"2026-11-20", b"2026-11-31"),
        GOOD.replace(b"2026-11-20", b"20261120"),
        GOOD.replace(b"2026-11-20", b"2026-W47-5"),
        GOOD.replace(b"time=", b"day="),
        GOOD.replace(b"eurofxref", b"other"),
        GOOD.replace(b"gesmes.org/xml/2002-08-01", b"gesmes.org/xml/2002"),
        rate_file(date(2026, 11, 20)),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    assert data != GOOD
    with pytest.raises(RateFileInvalid):
        read_rate_file(data)


def test_two_days_in_one_file_are_no_daily_file() -> None:
    start, end = GOOD.index(b"<Cube time="), GOOD.rindex(b"</Cube>\n</gesmes")
    day = GOOD[start:end]
    with pytest.raises(RateFileInvalid, match="one day"):
        read_rate_file(GOOD[:end] + day + GOOD[end:])


@pytest.mark.parametrize(
    "subset",
    [
        '<!ENTITY rate "1.5">',
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY rate "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY rate SYSTEM "file:///etc/hostname">',
        '<!ENTITY rate SYSTEM "http://127.0.0.1:9/rate">',
        '<!ENTITY % more SYSTEM "file:///etc/hostname"> %more;',
        "",
    ],
)
def test_a_document_type_is_refused_with_whatever_it_declares(subset: str) -> None:
    body = GOOD.partition(b"?>\n")[2].replace(b"1.1583", b"&rate;" if "rate" in subset else b"1.1")
    declared = f"<?xml version='1.0'?><!DOCTYPE x [{subset}]>".encode() + body
    with pytest.raises(RateFileInvalid):
        read_rate_file(declared)


def test_entities_that_grow_cost_nothing() -> None:
    levels = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol" * 10}">' for n in range(12)
    )
    with pytest.raises(RateFileInvalid):
        read_rate_file(f"<!DOCTYPE x [{levels}]><x>&l11;</x>".encode())


@pytest.mark.parametrize("depth", [300, 20_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(RateFileInvalid):
        read_rate_file(b"<a>" * depth + b"</a>" * depth)


def test_a_file_that_is_too_large_is_not_even_parsed() -> None:
    with pytest.raises(RateFileInvalid, match="bytes"):
        read_rate_file(GOOD + b" " * FILE_BYTES_MAX)
