"""The strict CBOR profile, against written examples and an independent codec."""

from typing import Any

import cbor2
import pytest

from offline_protocol.cbor import Value, decode, encode
from offline_protocol.constants import DEPTH_MAX, OBJECT_BYTES_MAX, UINT_MAX
from offline_protocol.errors import MalformedCbor

GOOD: list[tuple[str, Value]] = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("18ff", 255),
    ("190100", 256),
    ("19ffff", 65_535),
    ("1a00010000", 65_536),
    ("1affffffff", 2**32 - 1),
    ("1b0000000100000000", 2**32),
    ("1b001fffffffffffff", UINT_MAX),
    ("40", b""),
    ("4401020304", bytes([1, 2, 3, 4])),
    ("60", ""),
    ("6449455446", "IETF"),
    ("62c3bc", "\u00fc"),
    ("64f0908591", "\U00010151"),
    ("80", []),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a301012006214158", {1: 1, -1: 6, -2: b"X"}),
]

BAD = {
    "nothing": "",
    "two values": "0000",
    "value and rubbish": "01ff",
    "24 in two bytes": "1817",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2^32 - 1 in nine bytes": "1b00000000ffffffff",
    "2^53": "1b0020000000000000",
    "2^64 - 1": "1bffffffffffffffff",
    "minus one": "20",
    "minus 2^64": "3bffffffffffffffff",
    "reserved head 28": "1c",
    "reserved head 30": "1e",
    "indefinite bytes": "5f4101ff",
    "indefinite text": "7f6161ff",
    "indefinite array": "9f01ff",
    "indefinite map": "bf0101ff",
    "break alone": "ff",
    "head cut off": "19",
    "head cut in the middle": "1901",
    "bytes cut off": "4401",
    "text cut off": "6261",
    "array cut off": "8201",
    "map without value": "a101",
    "bytes of 2^63": "5b8000000000000000",
    "text of 2^32": "7b0000000100000000",
    "array of 2^32 items": "9b0000000100000000",
    "map of 2^40 pairs": "bb0000010000000000",
    "long length of bytes": "580101",
    "long length of text": "780161",
    "long length of array": "980100",
    "long length of map": "b8010101",
    "text that is not UTF-8": "61ff",
    "text with overlong UTF-8": "62c080",
    "text with half a surrogate pair": "63eda080",
    "text not in NFC": "6375cc88",
    "false": "f4",
    "true": "f5",
    "null": "f6",
    "undefined": "f7",
    "simple 0": "e0",
    "simple 255": "f8ff",
    "half float 0.0": "f90000",
    "half float -0.0": "f98000",
    "half float 1.0": "f93c00",
    "NaN": "f97e00",
    "single float": "fa47c35000",
    "double float": "fb3ff199999999999a",
    "bignum 1": "c24101",
    "negative bignum": "c34101",
    "time tag": "c11a514b67b0",
    "COSE_Sign1 tag": "d280",
    "self-described tag": "d9d9f700",
    "map key 0": "a10000",
    "map key 24": "a1181801",
    "map key -25": "a1381801",
    "map key text": "a1616101",
    "map key bytes": "a1410101",
    "map key array": "a18001",
    "map key true": "a1f501",
    "map keys out of order": "a203010101",
    "map keys doubled": "a201010102",
    "negative key before positive": "a220010101",
    "negative keys out of order": "a221012001",
}


@pytest.mark.parametrize(("text", "value"), GOOD)
def test_a_value_has_one_form(text: str, value: Value) -> None:
    assert encode(value).hex() == text
    assert decode(bytes.fromhex(text)) == value


@pytest.mark.parametrize(("text", "value"), GOOD)
def test_an_independent_codec_reads_and_writes_the_same(text: str, value: Value) -> None:
    assert cbor2.loads(bytes.fromhex(text)) == value
    assert cbor2.dumps(value, canonical=True).hex() == text


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(MalformedCbor):
        decode(bytes.fromhex(text))


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        1.0,
        -1,
        UINT_MAX + 1,
        (1, 2),
        bytearray(b"x"),
        {0: 1},
        {24: 1},
        {-25: 1},
        {True: 1},
        {"a": 1},
        "u\u0308",
        "\ud800",
        [[[[[[[1]]]]]]],
    ],
)
def test_what_has_no_form_cannot_be_written(value: Any) -> None:
    with pytest.raises(MalformedCbor):
        encode(value)


def test_keys_are_written_in_order_whatever_order_they_come_in() -> None:
    assert encode({-2: 0, 23: 0, 1: 0, -1: 0}).hex() == "a40100170020002100"


def test_nesting_ends_at_its_limit() -> None:
    deepest = b"\x81" * DEPTH_MAX + b"\x00"
    assert encode(decode(deepest)) == deepest
    with pytest.raises(MalformedCbor, match="deeper"):
        decode(b"\x81" + deepest)
    with pytest.raises(MalformedCbor, match="deeper"):
        decode(b"\x81" * OBJECT_BYTES_MAX)


def test_an_object_over_the_size_limit_is_not_even_looked_at() -> None:
    value = bytes(OBJECT_BYTES_MAX)
    with pytest.raises(MalformedCbor, match="at most"):
        decode(encode(value))
    assert decode(encode(value), bytes_max=OBJECT_BYTES_MAX + 3) == value
