"""A signature holds for one secret, one purpose, one body and one time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.payments.banks.errors import SignatureExpired, SignatureInvalid
from server.payments.banks.signatures import WEBHOOK, check_signature, sign
from sim.bank.signing import is_signed
from sim.bank.signing import sign as sign_as_the_bank

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
WINDOW = timedelta(minutes=5)
SECRET = b"tsb_one"


def check(
    header: str | None, *, secrets: tuple[bytes, ...] = (SECRET,), body: bytes = b"{}"
) -> None:
    check_signature(header, secrets, WEBHOOK, body, now=NOW, window=WINDOW)


@given(st.binary(max_size=200), st.sampled_from([b"webhook", b"POST /payouts", b"GET /payouts/1"]))
def test_both_sides_sign_alike(body: bytes, purpose: bytes) -> None:
    ours = sign(SECRET, purpose, body, at=NOW)
    theirs = sign_as_the_bank(SECRET.decode(), purpose.decode(), body, NOW_S)
    assert ours == theirs
    assert is_signed(SECRET.decode(), ours, purpose.decode(), body, NOW_S)


def test_any_of_the_secrets_will_do_wherever_it_stands() -> None:
    header = sign(SECRET, WEBHOOK, b"{}", at=NOW)
    check(header, secrets=(SECRET, b"two"))
    check(header, secrets=(b"two", SECRET))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=1,v1=" + "0" * 64,
        sign(b"other", WEBHOOK, b"{}", at=NOW),
        sign(SECRET, b"POST /payouts", b"{}", at=NOW),
        sign(SECRET, WEBHOOK, b"{ }", at=NOW),
        sign(SECRET, WEBHOOK, b"{}", at=NOW).upper(),
        sign(SECRET, WEBHOOK, b"{}", at=NOW) + " ",
        sign(SECRET, WEBHOOK, b"{}", at=NOW).replace(str(NOW_S), str(NOW_S + 1)),
        "t=99999999999999999999,v1=" + "0" * 64,
    ],
)
def test_everything_else_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureInvalid):
        check(header)


def test_a_bank_without_secrets_signs_nothing() -> None:
    header = sign(b"a bank that is not there has no secret", WEBHOOK, b"{}", at=NOW)
    with pytest.raises(SignatureInvalid):
        check(header, secrets=())


@given(st.integers(-10_000, 10_000))
def test_the_window_is_as_wide_to_both_sides(seconds: int) -> None:
    header = sign(SECRET, WEBHOOK, b"{}", at=NOW + timedelta(seconds=seconds))
    if abs(seconds) <= 300:
        check(header)
    else:
        with pytest.raises(SignatureExpired):
            check(header)
