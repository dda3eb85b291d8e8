"""Bluetooth LE: names on the air, keys of a session, fragments, and the stream in them."""

import hashlib
import zlib
from collections.abc import Iterator

from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import entropy

_EXAMPLE_KEY = bytes.fromhex("0011223344556677")


def vectors() -> Vectors:
    out = Vectors("bluetooth", "Bluetooth LE: names, keys, fragments and the stream in them")
    _add_addresses(out)
    _add_resumptions(out)
    _add_fragments(out)
    for name, pieces in (*_streams(), *_broken_streams()):
        out.add("ble_stream", name, values=[piece.hex() for piece in pieces])
    return out


def _add_addresses(out: Vectors) -> None:
    for token in (_EXAMPLE_KEY, bytes(8), b"\xff" * 8, *(entropy("t", n, size=8) for n in (1, 2))):
        out.add("ble_address", f"token {token.hex()}", text=f"ble:{token.hex()}")
    good = "ble:0011223344556677"
    for name, text in {
        "nothing": "",
        "a scheme only": "ble:",
        "one digit less": good[:-1],
        "one digit more": good + "8",
        "a byte more": good + "88",
        "capital letters": "ble:00112233445566AB",
        "a letter that is no digit": "ble:001122334455667g",
        "another scheme": "lan:0011223344556677",
        "a scheme in capitals": "BLE:0011223344556677",
        "no scheme": good[4:],
        "a space before": " " + good,
        "a space behind": good + " ",
        "a line break behind": good + "\n",
        "a sign": "ble:+011223344556677",
        "an underline": "ble:0011_22334455667",
        "digits of another script": "ble:001122334455667\u0667",
    }.items():
        out.add("ble_address", f"no address: {name}", text=text)


def _chain(last: bytes, count: int) -> list[bytes]:
    """Keys of which each is the lock of the next one; the last one first."""
    # Written here anew, so that a mistake of the reference shows.
    keys = [last]
    while len(keys) < count:
        keys.append(hashlib.sha256(b"tallystick/1/ble/resume" + keys[-1]).digest()[:8])
    return keys


def _add_resumptions(out: Vectors) -> None:
    keys = _chain(_EXAMPLE_KEY, 12)
    for steps in range(1, 9):
        out.add("ble_resume", f"a lock {steps} before the key", lock=keys[steps], key=keys[0])
    out.add("ble_resume", "the first resumption", lock=keys[8], key=keys[7])
    strange = entropy("resume", size=8)
    for name, lock, key in (
        ("the lock itself", keys[8], keys[8]),
        ("the key before the lock", keys[7], keys[8]),
        ("a key nine steps on", keys[9], keys[0]),
        ("a key eleven steps on", keys[11], keys[0]),
        ("a strange key", keys[8], strange),
        ("a key with a bit turned", keys[8], bytes([keys[7][0] ^ 1]) + keys[7][1:]),
        ("a key turned around", keys[8], keys[7][::-1]),
        ("a key of zeros", keys[8], bytes(8)),
        ("a strange lock", strange, keys[0]),
        ("a key under another label", hashlib.sha256(keys[0]).digest()[:8], keys[0]),
    ):
        out.add("ble_resume", f"opens nothing: {name}", lock=lock, key=key)


_GOOD = {
    "OPEN": "0101100000010203040506 07",
    "RESUME": "0201100000010203040506 0701f3a0",
    "WELCOME": "03010800000027",
    "DATA": "04000010616263",
    "ACKNOWLEDGE": "05ffffff",
    "GAP": "06000010",
    "CLOSE": "0701",
}


def _add_fragments(out: Vectors) -> None:
    for name, text in _GOOD.items():
        value = bytes.fromhex(text)
        out.add("ble_fragment", name, value=value)
        if name != "DATA":
            out.add("ble_fragment", f"passed over: {name} and a byte", value=value + b"\0")
        out.add("ble_fragment", f"passed over: {name} cut short", value=_cut(name, value))
        if name in {"OPEN", "RESUME", "WELCOME"}:
            for version in (0, 2, 255):
                other = value[:1] + bytes([version]) + value[2:]
                out.add("ble_fragment", f"{name} of version {version}", value=other)
    for reason in (0, 2, 3, 4, 5, 255):
        out.add("ble_fragment", f"CLOSE for reason {reason}", value=bytes([7, reason]))
    out.add("ble_fragment", "DATA of one byte", value=b"\x04\x00\x00\x00a")
    out.add("ble_fragment", "DATA as long as it may be", value=b"\x04\xff\xff\xff" + bytes(508))
    out.add("ble_fragment", "no window", value=b"\x03\x01" + bytes(5))
    for name, value in {
        "nothing": b"",
        "a kind only": b"\x05",
        "kind 0": b"\x00\x01\x02",
        "kind 8": b"\x08\x00\x00\x00",
        "kind 255": b"\xff\x00\x00\x00",
        "DATA without data": b"\x04\x00\x00\x10",
        "DATA that is too long": b"\x04\x00\x00\x00" + bytes(509),
        "zeros": bytes(20),
    }.items():
        out.add("ble_fragment", f"passed over: {name}", value=value)


def _cut(name: str, value: bytes) -> bytes:
    return value[:4] if name == "DATA" else value[:-1]


def _message(data: bytes, *, length: int | None = None, check: int | None = None) -> bytes:
    length = len(data) if length is None else length
    check = zlib.crc32(data) if check is None else check
    return length.to_bytes(2) + check.to_bytes(4) + data


def _data(position: int, data: bytes) -> bytes:
    return b"\x04" + position.to_bytes(3) + data


def _pieces(stream: bytes, size: int, start: int = 0) -> list[bytes]:
    return [_data(start + at, stream[at : at + size]) for at in range(0, len(stream), size)]


_HELLO = _message(b"hello")
_LONG = _message(entropy("long", size=700))


def _streams() -> Iterator[tuple[str, list[bytes]]]:
    yield "nothing", []
    yield "one message in one piece", [_data(0, _HELLO)]
    yield "an empty message", [_data(0, _message(b""))]
    yield "the check of nine digits", [_data(0, _message(b"123456789"))]
    yield "one message byte by byte", _pieces(_HELLO, 1)
    yield "one message at the smallest MTU", _pieces(_LONG, 16)
    yield "one message at the largest MTU", _pieces(_LONG, 508)
    yield "three messages in one piece", [_data(0, _HELLO + _message(b"") + _HELLO)]
    yield "pieces across messages", _pieces(_HELLO + _LONG + _HELLO, 100)
    yield "the largest message", _pieces(_message(entropy("largest", size=32_786)), 508)
    one, two, three = _pieces(_HELLO, 4)
    yield "a piece twice", [one, one, two, two, three, three]
    yield "a piece lost and sent again", [one, three, two, three]
    yield "pieces backwards", [three, two, one, two, three]
    yield "a gap told once", [one, three, three, three, two, three]
    yield "a gap at the beginning", [two, one, two, three]
    yield "two gaps", [two, three, one, three, two, three]
    yield "pieces that overlap", [_data(0, _HELLO[:6]), _data(3, _HELLO[3:9]), _data(5, _HELLO[5:])]
    yield "all of it after a part", [one, _data(0, _HELLO)]
    yield "an old piece with other bytes", [one, _data(0, b"\xff" * 4), two, three]
    yield "a piece inside what is there", [_data(0, _HELLO), _data(2, _HELLO[2:5])]
    yield "one byte of a message", [_data(0, b"\x00")]
    yield "a message without its end", [_data(0, _HELLO[:-1])]
    yield "a piece far ahead", [one, _data(2**24 - 2, b"a"), two, three]


def _broken_streams() -> Iterator[tuple[str, list[bytes]]]:
    crc = zlib.crc32(b"hello")
    for name, stream in {
        "a bit of the check turned": _message(b"hello", check=crc ^ 1),
        "the check of zeros": _message(b"hello", check=0),
        "the check the other way round": _message(
            b"hello", check=int.from_bytes(crc.to_bytes(4, "little"))
        ),
        "the check of length and bytes": _message(b"hello", check=zlib.crc32(b"\0\x05hello")),
        "a bit of the message turned": _HELLO[:-1] + bytes([_HELLO[-1] ^ 1]),
        "an empty message with a check": _message(b"", check=1),
        "a byte too long": _message(b"", length=32_787),
        "as long as can be written": _message(b"", length=65_535),
        "a length that is one too small": _message(b"hello", length=4),
        "the length the other way round": b"\x05\x00" + _HELLO[2:] + bytes(1_275),
        "a good message and a broken one": _HELLO + _message(b"hello", check=0),
    }.items():
        yield f"broken: {name}", _pieces(stream, 100)
    yield (
        "broken: by a piece that came twice",
        [
            _data(0, _HELLO[:6]),
            _data(4, _HELLO[4:9] + b"!!"),
        ],
    )
    yield (
        "broken: what comes after it is not read",
        [
            _data(0, _message(b"hello", check=0)),
            _data(11, _HELLO),
        ],
    )
