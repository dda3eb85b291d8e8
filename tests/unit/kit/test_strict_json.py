import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.errors import BodyTooLarge, InvalidRequest, TallyError
from server.kit.schema import Amount, CurrencyCode, Schema
from server.kit.strict_json import BODY_BYTES_MAX, DEPTH_MAX, decode, nesting


class Order(Schema):
    amount: Amount
    currency: CurrencyCode
    note: str | None = None


def test_a_body_that_fits_is_read() -> None:
    assert decode(b'{"amount": 5, "currency": "EUR"}', Order) == Order(amount=5, currency="EUR")


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": "5", "currency": "EUR"}',
        b'{"amount": 5.0, "currency": "EUR"}',
        b'{"amount": true, "currency": "EUR"}',
        b'{"amount": 0, "currency": "EUR"}',
        b'{"amount": -5, "currency": "EUR"}',
        b'{"amount": 9007199254740992, "currency": "EUR"}',
        b'{"amount": 1e3, "currency": "EUR"}',
        b'{"amount": NaN, "currency": "EUR"}',
        b'{"amount": 5, "currency": "eur"}',
        b'{"amount": 5, "currency": "EUR", "extra": 1}',
        b'{"amount": 5, "amount": 6, "currency": "EUR"}',
        b'{"amount": 5, "currency": "EUR", "note": {"a": 1, "a": 2}}',
        b'{"amount": 5}',
        b'{"amount": 5, "currency": "EUR"} {}',
        b'{"amount": 5, "currency": "EUR", "note": "\xff"}',
        b"[]",
        b"null",
        b"",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_a_body_that_could_be_read_otherwise_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(body, Order)


def test_a_body_that_is_too_large_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(BodyTooLarge):
        decode(b" " * (BODY_BYTES_MAX + 1), Order)


def test_brackets_inside_text_do_not_count_as_nesting() -> None:
    assert nesting(b'{"a": "[[[[\\"[[[", "b": [1]}') == 2


def test_nesting_up_to_the_limit_is_left_to_the_parser() -> None:
    body = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert decode(body, object) is not None


@given(st.binary(max_size=200))
def test_only_refusals_come_out_of_any_bytes(body: bytes) -> None:
    try:
        decode(body, Order)
    except TallyError:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"1," * (BODY_BYTES_MAX // 2 - 2) + b"1]",
        b"[" + b"{}," * (BODY_BYTES_MAX // 3 - 2) + b"{}]",
        b'"' + b'\\"' * (BODY_BYTES_MAX // 2 - 1),
        b"{" + b",".join(b'"%x":1' % i for i in range(180_000)) + b',"z":1,"z":1}',
        (b"[" * 32 + b"]" * 32 + b",") * (BODY_BYTES_MAX // 65),
        b"1" * BODY_BYTES_MAX,
        b'{"amount": ' + b"1" * (BODY_BYTES_MAX - 20) + b"}",
        b'{"amount": 1e' + b"9" * (BODY_BYTES_MAX - 20) + b"}",
        b'{"currency":"EUR","amount":5' + b',"amount":5' * 180_000 + b"}",
    ],
    ids=["numbers", "objects", "quotes", "names", "deep", "digits", "amount", "exponent", "twice"],
)
@pytest.mark.timeout(60)
def test_no_body_holds_the_server_up(body: bytes) -> None:
    """Work that grows with the square of 2 MB would take an hour: the time-out ends it."""
    assert len(body) <= BODY_BYTES_MAX
    with pytest.raises(InvalidRequest):
        decode(body, Order)


@pytest.mark.parametrize(
    "body", [b'{"' + b"a" * 100_000 + b'":1}', b'{"note": "a", "' + b"a" * 100_000 + b'": 1}']
)
def test_a_refusal_does_not_repeat_what_was_sent(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(body, Order)
    assert len(refused.value.detail) < 400


def test_an_amount_of_a_million_digits_is_a_refusal() -> None:
    with pytest.raises(InvalidRequest):
        decode(b'{"currency": "EUR", "amount": 1' + b"0" * 1_000_000 + b"}", Order)
