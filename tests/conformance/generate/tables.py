"""What a table about a kind of object holds, and what no field of a type takes."""

from dataclasses import dataclass
from typing import Any

from offline_protocol import Signer

MOST = 2**53 - 1


_OTHER_BYTES = b"\x02" * 4


def uints(least: int = 0, most: int = MOST) -> list[Any]:
    """What no integer field of this range takes."""
    outside = [number for number in (least - 1, most + 1) if 0 <= number <= MOST]
    return [*outside, b"\x01", "1", [1], {1: 1}]


def strings(least: int, most: int | None = None) -> list[Any]:
    """What no byte string field of these lengths takes."""
    most = least if most is None else most
    outside = [bytes(size) for size in (least - 1, most + 1) if 0 <= size <= 4_000]
    return [*outside, 1, "a" * max(least, 1), [bytes(least)], {1: bytes(least)}]


def texts(most: int) -> list[Any]:
    """What no text field of so many bytes takes."""
    shown = ["a\x00b", "a\nb", "a\x7fb", "a\x85b", "\u202eevil", "a\u2066b", "a\u2069", "\u202a"]
    return [
        "",
        "a" * (most + 1),
        "\u00e9" * (most // 2 + 1),
        *shown,
        1,
        b"text",
        ["text"],
        {1: "t"},
    ]


def currencies() -> list[Any]:
    wrong: list[Any] = [
        "",
        "EU",
        "ABCDEFGHI",
        "eur",
        "EUr",
        "1AB",
        "E-R",
        "EU R",
        "\u00c9UR",
    ]
    return [*wrong, 978, b"EUR", ["EUR"]]


def keys() -> list[Any]:
    return [b"", bytes(31), b"\x02" + bytes(30), bytes(34), bytes(64), 1, "k" * 32, [_OTHER_BYTES]]


def logs() -> list[Any]:
    head = bytes(32)
    wrong: list[Any] = [[], [1], [head, 1], [1, head, 1], [1, bytes(31)], [1, bytes(33)]]
    return [*wrong, ["1", head], 1, head, {1: 1, 2: head}]


@dataclass(frozen=True)
class Table:
    """A kind of object: a good body, who signs, other good bodies, and what no field takes."""

    body: Any
    signer: Signer
    good: dict[str, Any]
    wrong: dict[int, list[Any]]
    optional: frozenset[int] = frozenset()
    keys_at: tuple[int, ...] = ()
    type_number: int | None = None
