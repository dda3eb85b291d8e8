"""The parts of a frame once more, written from the text of the specification only.

Slow and plain: lists of bits and bytes in place of long integers, and elimination by columns.
"""

import hashlib
from collections.abc import Iterable

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


def check(frame: bytes) -> bytes:
    return hashlib.sha256(b"tallystick/1/parts/check" + frame).digest()[:8]


def subset(number: int, count: int, name: bytes) -> list[int]:
    """The pieces, counted from 0, that are summed in a part."""
    if number <= count:
        return [number - 1]
    digest = hashlib.sha256(b"tallystick/1/parts/subset" + name + number.to_bytes(2, "big"))
    bits = [byte >> place & 1 for byte in digest.digest() for place in range(8)]
    chosen = [piece for piece in range(count) if bits[piece]]
    if number == count + 1 or not chosen:
        return list(range(count))
    return chosen


def part(frame: bytes, count: int, number: int) -> str:
    """The text of one part."""
    size = (len(frame) + count - 1) // count
    padded = frame + bytes(size * count - len(frame))
    pieces = [padded[size * piece : size * (piece + 1)] for piece in range(count)]
    data = bytes(size)
    for piece in subset(number, count, check(frame)):
        data = bytes(one ^ other for one, other in zip(data, pieces[piece], strict=True))
    name = check(frame).hex().upper()
    return f"TALLY1/{count}-{len(frame)}-{number}-{name}:{base45(data)}"


def base45(data: bytes) -> str:
    """RFC 9285, section 4."""
    text = ""
    for at in range(0, len(data) - 1, 2):
        value = data[at] * 256 + data[at + 1]
        text += _ALPHABET[value % 45] + _ALPHABET[value // 45 % 45] + _ALPHABET[value // 2025]
    if len(data) % 2:
        text += _ALPHABET[data[-1] % 45] + _ALPHABET[data[-1] // 45]
    return text


def rank(numbers: Iterable[int], count: int, name: bytes) -> int:
    """How many independent parts these are: elimination with sets of pieces."""
    rows = [set(subset(number, count, name)) for number in set(numbers)]
    found = 0
    for piece in range(count):
        pivot = next((row for row in rows if piece in row), None)
        if pivot is None:
            continue
        found += 1
        rows.remove(pivot)
        rows = [row ^ pivot if piece in row else row for row in rows]
    return found
