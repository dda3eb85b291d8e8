"""What the simulated bank writes as CAMT.053 is what we read, line by line and unit by unit."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.kit.money import AMOUNT_MAX, ASSETS
from server.payments.banks.camt import minor_units, parse_statements
from server.payments.banks.errors import StatementInvalid
from sim.bank import statements
from sim.bank.store import Store

DAY = date(2026, 11, 21)
_TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Co", "Cn"]), max_size=40
)
_BOOKINGS = st.lists(
    st.tuples(
        st.integers(-(10**12), 10**12).filter(bool),
        st.booleans(),
        st.booleans(),
        _TEXTS,
        st.none() | st.uuids().map(lambda each: each.hex),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(
    before=st.integers(-(10**12), 10**12),
    bookings=_BOOKINGS,
    currency=st.sampled_from(["EUR", "TRY", "JPY", "BHD", "UGX"]),
    version=st.sampled_from(statements.VERSIONS),
)
def test_what_is_rendered_is_read_back(
    before: int,
    bookings: list[tuple[int, bool, bool, str, str | None]],
    currency: str,
    version: str,
) -> None:
    store = Store(Path(":memory:"))
    store.do("INSERT INTO account VALUES (?, 'DE89370400440532013000')", currency)
    if before:
        store.book(currency, before, day=date(2026, 11, 20))
    for amount, booked, is_return, text, end_to_end in bookings:
        store.book(
            currency,
            amount,
            booked=booked,
            is_return=is_return,
            text=text,
            end_to_end=end_to_end,
            day=DAY,
        )
    [read] = parse_statements(statements.render(store, currency, DAY, version))
    assert (read.account, read.currency) == ("DE89370400440532013000", currency)
    assert read.opening == before
    assert read.closing == before + sum(each[0] for each in bookings if each[1])
    assert (read.first_day, read.last_day) == (DAY, DAY)
    assert [
        (line.amount, line.booked, line.is_return, line.text, line.end_to_end_id)
        for line in read.lines
    ] == [
        (amount, booked, is_return, text.strip(), end_to_end or "NOTPROVIDED")
        for amount, booked, is_return, text, end_to_end in bookings
    ]
    ids = [line.external_id for line in read.lines]
    assert len(set(ids)) == len(ids)


@given(st.sampled_from(sorted(ASSETS)), st.integers(0, AMOUNT_MAX), st.integers(0, 3))
def test_amounts_are_exact(currency: str, amount: int, zeros: int) -> None:
    scale = ASSETS[currency].scale
    text = f"{Decimal(amount).scaleb(-scale):.{scale}f}"
    if "." in text:
        text += "0" * min(zeros, 5 - scale)
    assert minor_units(text, currency) == amount


@given(st.text(max_size=20))
def test_nothing_else_is_an_amount(text: str) -> None:
    try:
        amount = minor_units(text, "EUR")
    except StatementInvalid:
        return
    assert Decimal(text) * 100 == amount


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *((text, "EUR") for text in ("1.001", "-1", "+1", "1e3", ".5", "1,00", "1.", "9" * 18, "")),
        ("\N{ARABIC-INDIC DIGIT ONE}", "EUR"),
        ("1.5", "JPY"),
        ("1", "XXX"),
    ],
)
def test_an_amount_that_cannot_be_told_exactly_is_refused(text: str, currency: str) -> None:
    with pytest.raises(StatementInvalid):
        minor_units(text, currency)
