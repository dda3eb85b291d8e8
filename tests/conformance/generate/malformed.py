"""CBOR: what has the one form, and every way we know of not to have it."""

from collections.abc import Iterator

from offline_protocol import cbor
from tests.conformance.generate.cases import Vectors

_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_MAJORS = {0: "uint", 1: "negative", 2: "bytes", 3: "text", 4: "array", 5: "map", 6: "tag"}
_EDGES = (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1)
_NESTED: cbor.Value = {1: [1, b"\x01\x02", "ab"], 2: {1: 500, 23: b""}, 5: 70_000, -1: "\u00e9"}
_FLAT: cbor.Value = [0, 24, 256, 65_536, 2**32, b"x" * 24, "y" * 24]


def vectors() -> Vectors:
    out = Vectors("cbor", "CBOR in its one form, and malformed bytes")
    _add_good(out)
    for name, data in _malformed():
        out.add("cbor", name, error=101, data=data)
    return out


def _head(major: int, info: int, argument: int = 0) -> bytes:
    width = _WIDTHS.get(info, 0)
    return bytes([major << 5 | info]) + argument.to_bytes(width, "big")


def _add_good(out: Vectors) -> None:
    good: dict[str, cbor.Value] = {f"integer {number}": number for number in _EDGES}
    good |= {f"byte string of {size}": bytes(size) for size in (0, 1, 23, 24, 255, 256)}
    good |= {f"text of {size}": "a" * size for size in (0, 1, 23, 24, 255, 256)}
    good |= {f"array of {size}": [0] * size for size in (0, 1, 23, 24, 255, 256)}
    good |= {
        "empty map": {},
        "map with every key": {key: 0 for key in range(-24, 24) if key},
        "map of positive and negative keys": {1: 1, -1: 2, 23: 3, -24: 4},
        "arrays to the greatest depth": [[[[[[]]]]]],
        "maps to the greatest depth": {1: {1: {1: {1: {1: {}}}}}},
        "as many as fit": bytes(4093),
        "mixed and nested": _NESTED,
        "text with a composed letter": "\u00e9",
        "text with a byte order mark": "\ufeffa",
        "text with a zero": "a\x00b",
        "text outside the basic plane": "\U0001f600\U0010ffff",
        "text with a noncharacter": "\uffff",
        "text with marks in order": "q\u0323\u0307",
        "text in Hangul": "\uac01",
        "text with a mark that nothing composes": "\u1e9b\u0323",
    }
    for name, value in good.items():
        out.add("cbor", name, data=cbor.encode(value))


def _malformed() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield from _long_heads()
    yield from _forbidden_types()
    yield from _lengths_that_lie()
    yield from _maps()
    yield from _texts()
    yield from _depths()
    yield from _left_over()
    for name, value in (("nested", _NESTED), ("flat", _FLAT)):
        whole = cbor.encode(value)
        for size in range(1, len(whole)):
            yield f"{name} value cut to {size} bytes", whole[:size]
    yield "one byte too many", cbor.encode(bytes(4094))


def _long_heads() -> Iterator[tuple[str, bytes]]:
    content = {0: b"", 2: b"", 3: b"", 4: b"", 5: b""}
    for major in content:
        for value in (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1):
            items = {2: value, 3: value, 4: value, 5: 0}.get(major, 0)
            if items > 300 or (major == 5 and value):
                continue
            for info, width in _WIDTHS.items():
                shortest = value >= {1: 24, 2: 256, 4: 65_536, 8: 2**32}[width]
                if value < 1 << (8 * width) and not shortest:
                    name = f"{_MAJORS[major]} {value} with a head of {width} bytes"
                    yield name, _head(major, info, value) + bytes(items)


def _forbidden_types() -> Iterator[tuple[str, bytes]]:
    for number in (2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1):
        yield f"integer {number}", _head(0, 27, number)
    for argument in (0, 9, 23):
        yield f"integer {-1 - argument}", _head(1, argument)
        yield f"integer {-1 - argument} in an array", b"\x81" + _head(1, argument)
        yield f"integer {-1 - argument} in a map", b"\xa1\x01" + _head(1, argument)
    for info, argument in ((24, 24), (25, 256), (26, 65_536), (27, 2**32), (27, 2**64 - 1)):
        yield f"integer {-1 - argument}", _head(1, info, argument)
    for tag in range(24):
        yield f"tag {tag}", _head(6, tag) + b"\x01"
    for info, tag in ((24, 24), (24, 32), (25, 998), (25, 55_799), (26, 2**32 - 1), (27, 2**32)):
        yield f"tag {tag}", _head(6, info, tag) + b"\x01"
    yield "bignum of one", b"\xc2\x41\x01"
    yield "tag in an array", b"\x81\xc0\x61a"
    yield from _simple_values_and_floats()
    for major in range(8):
        for info in (28, 29, 30):
            yield f"major type {major} with reserved head {info}", _head(major, info) + bytes(4)
        yield f"major type {major} without end", _head(major, 31) + b"\xff"
    yield "byte string in chunks", b"\x5f\x41\x01\x41\x02\xff"
    yield "text in chunks", b"\x7f\x61a\x61b\xff"
    yield "array without length", b"\x9f\x01\x02\xff"
    yield "map without length", b"\xbf\x01\x02\xff"
    yield "break in an array", b"\x82\x01\xff"


def _simple_values_and_floats() -> Iterator[tuple[str, bytes]]:
    for simple in range(24):
        yield f"simple value {simple}", _head(7, simple)
        yield f"simple value {simple} in an array", b"\x81" + _head(7, simple)
    for simple in (0, 20, 24, 31, 32, 255):
        yield f"simple value {simple} in two bytes", _head(7, 24, simple)
    for info, bits, name in (
        (25, 0x0000, "0.0"),
        (25, 0x8000, "-0.0"),
        (25, 0x3C00, "1.0"),
        (25, 0x7C00, "infinity"),
        (25, 0x7E00, "not a number"),
        (26, 0x3F800000, "1.0 in four bytes"),
        (26, 0x7FC00000, "not a number in four bytes"),
        (27, 0x3FF0000000000000, "1.0 in eight bytes"),
        (27, 0x4340000000000000, "2^53 in eight bytes"),
    ):
        yield f"float {name}", _head(7, info, bits)


def _lengths_that_lie() -> Iterator[tuple[str, bytes]]:
    for major in (2, 3, 4, 5):
        name = _MAJORS[major]
        for claimed in (1, 2, 23):
            yield f"{name} of {claimed} without content", _head(major, claimed)
            if claimed > 1:
                yield f"{name} of {claimed} with one byte", _head(major, claimed) + b"\x01"
        for info, claimed in (
            (24, 255),
            (25, 65_535),
            (26, 2**31 - 1),
            (26, 2**31),
            (26, 2**32 - 1),
            (27, 2**32),
            (27, 2**53 - 1),
            (27, 2**53),
            (27, 2**63 - 1),
            (27, 2**63),
            (27, 2**64 - 1),
        ):
            yield f"{name} that claims {claimed}", _head(major, info, claimed) + bytes(8)
        for info, width in _WIDTHS.items():
            for have in range(width):
                yield (
                    f"{name} whose head of {width} has {have}",
                    _head(major, info)[:1] + bytes(have),
                )
    yield "inner byte string longer than the outer array", b"\x82\x44\x01\x02\x01"
    yield "map that claims one pair more", b"\xa2\x01\x02"
    yield "map with a key and no value", b"\xa1\x01"


def _maps() -> Iterator[tuple[str, bytes]]:
    for key, name in (
        (b"\x00", "0"),
        (b"\x18\x18", "24"),
        (b"\x18\xff", "255"),
        (b"\x19\x01\x00", "256"),
        (b"\x38\x18", "-25"),
        (b"\x39\x01\x00", "-257"),
        (b"\x18\x01", "1 in two bytes"),
        (b"\x38\x00", "-1 in two bytes"),
        (b"\x61a", "text"),
        (b"\x60", "empty text"),
        (b"\x41\x01", "bytes"),
        (b"\x80", "an array"),
        (b"\xa0", "a map"),
        (b"\xc1\x01", "a tag"),
        (b"\xf4", "false"),
        (b"\xf9\x3c\x00", "1.0"),
    ):
        yield f"map key {name}", b"\xa1" + key + b"\x01"
        yield f"map key {name} after 1", b"\xa2\x01\x01" + key + b"\x01"
    for first, second in ((2, 1), (23, 22), (1, 1), (23, 23)):
        yield f"map keys {first} and {second}", bytes([0xA2, first, 0, second, 0])
    for first, second in ((0x20, 0x01), (0x21, 0x20), (0x20, 0x20), (0x37, 0x17)):
        low = -1 - (first & 0x1F)
        other = second if second < 24 else -1 - (second & 0x1F)
        yield f"map keys {low} and {other}", bytes([0xA2, first, 0, second, 0])
    yield "map keys 1, 3 and 2", b"\xa3\x01\x00\x03\x00\x02\x00"
    yield "map keys 1, 2 and 1", b"\xa3\x01\x00\x02\x00\x01\x00"
    yield "inner map out of order", b"\x81\xa2\x02\x00\x01\x00"


def _texts() -> Iterator[tuple[str, bytes]]:
    for raw, name in (
        (b"\x80", "a lone continuation"),
        (b"\xc2", "a lone beginning"),
        (b"\xc0\x80", "zero in two bytes"),
        (b"\xc1\xbf", "a letter in two bytes"),
        (b"\xe0\x80\x80", "zero in three bytes"),
        (b"\xe0\x9f\xbf", "two bytes' worth in three"),
        (b"\xf0\x80\x80\x80", "zero in four bytes"),
        (b"\xf0\x8f\xbf\xbf", "three bytes' worth in four"),
        (b"\xed\xa0\x80", "a high surrogate"),
        (b"\xed\xbf\xbf", "a low surrogate"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "a pair of surrogates"),
        (b"\xf4\x90\x80\x80", "a number above U+10FFFF"),
        (b"\xf5\x80\x80\x80", "the byte F5"),
        (b"\xfe", "the byte FE"),
        (b"\xff", "the byte FF"),
        (b"\xe2\x82", "a letter that is cut off"),
        (b"a\xcc", "a mark that is cut off"),
        (b"\xf8\x88\x80\x80\x80", "a letter in five bytes"),
        (b"ab\x80", "a stray continuation at the end"),
        (b"\xe4bc", "a letter in Latin-1"),
    ):
        yield f"text with {name}", _text(raw)
    for text, name in (
        ("e\u0301", "a letter and its accent"),
        ("A\u030a", "A and its ring"),
        ("\u212b", "the sign of the angstrom"),
        ("\u2126", "the sign of the ohm"),
        ("\u0340", "a mark that stands for another"),
        ("q\u0307\u0323", "marks out of order"),
        ("\u1100\u1161", "Hangul in pieces"),
        ("\uac00\u11a8", "Hangul in two pieces"),
        ("\u0958", "a letter that is always taken apart"),
        ("\uf900", "an ideograph kept for another code"),
        ("\U0002f800", "an ideograph kept for another code in the second plane"),
        ("\u0344", "two marks in one"),
        ("x" * 20 + "o\u0308", "a late accent"),
    ):
        yield f"text not in NFC: {name}", _text(text.encode())
        yield f"text not in NFC, inside: {name}", b"\xa1\x01" + _text(text.encode())


def _text(raw: bytes) -> bytes:
    return cbor.head(cbor.Major.TEXT, len(raw)) + raw


def _depths() -> Iterator[tuple[str, bytes]]:
    for depth in (7, 8, 24, 100, 1_000, 4_000):
        yield f"{depth} arrays in one another", b"\x81" * (depth - 1) + b"\x80"
    for depth in (7, 8, 100, 1_500):
        yield f"{depth} maps in one another", b"\xa1\x01" * (depth - 1) + b"\xa0"
    yield "arrays and maps in one another", b"\x81\xa1\x01" * 3 + b"\x80"
    yield "a deep item after shallow ones", b"\x83\x01\x02" + b"\x81" * 6 + b"\x01"


def _left_over() -> Iterator[tuple[str, bytes]]:
    for name, whole in (
        ("integer", b"\x01"),
        ("byte string", b"\x41\x01"),
        ("text", b"\x61a"),
        ("array", b"\x81\x01"),
        ("map", b"\xa1\x01\x02"),
    ):
        for more, what in ((b"\x00", "a zero"), (whole, "itself"), (b"\xff", "a break")):
            yield f"{name} and {what} after it", whole + more
