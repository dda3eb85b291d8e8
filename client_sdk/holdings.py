"""Arithmetic of pieces of value: half-open intervals, and which of them make up an amount."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from client_sdk.errors import InsufficientFunds


class Interval(NamedTuple):
    """Minor units from `lo` up to, not including, `hi`."""

    lo: int
    hi: int

    @property
    def length(self) -> int:
        return self.hi - self.lo


def subtract(free: Iterable[Interval], taken: Interval) -> tuple[Interval, ...]:
    """What is left of `free`.

    Raises:
        ValueError: part of `taken` is not free, which would be signing a unit away twice.
    """
    left: list[Interval] = []
    found = 0
    for piece in free:
        lo, hi = max(piece.lo, taken.lo), min(piece.hi, taken.hi)
        if lo >= hi:
            left.append(piece)
            continue
        found += hi - lo
        left.extend(
            part for part in (Interval(piece.lo, lo), Interval(hi, piece.hi)) if part.length > 0
        )
    if found != taken.length or taken.length <= 0:
        raise ValueError(f"{taken} is not free")
    return tuple(left)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One free interval of one holding, with what the choice depends on."""

    holding: bytes
    interval: Interval
    spend_by: int


class Pick(NamedTuple):
    holding: bytes
    interval: Interval


def choose(
    pieces: Sequence[Piece],
    amount: int,
    *,
    chains_max: int,
    describe: Callable[[int], str] = str,
) -> list[Pick]:
    """Pieces for an exact amount: as few as possible, and of those the soonest to expire first.

    Each piece but the last is used up; the last gives its low end, so that what stays is one
    interval. Equal choices are settled by place, so the result depends on the input only.
    `describe` puts minor units into words for a refusal.

    Raises:
        InsufficientFunds: the pieces do not reach the amount, or only with too many chains.
    """
    by_size = sorted(pieces, key=lambda piece: (-piece.interval.length, piece.holding))
    slots = _fewest(by_size, amount)
    if slots is None:
        total = sum(piece.interval.length for piece in pieces)
        raise InsufficientFunds(
            f"{describe(amount)} is asked for, {describe(total)} can be spent offline.",
            fix="Load more while online, or pay less.",
        )
    if slots > chains_max:
        largest = sum(piece.interval.length for piece in by_size[:chains_max])
        raise InsufficientFunds(
            f"The amount would take {slots} pieces; one payment carries {chains_max}.",
            fix=f"Pay at most {describe(largest)}, or sync to turn small pieces into large ones.",
        )
    soonest = sorted(pieces, key=lambda piece: (piece.spend_by, piece.holding, piece.interval.lo))
    picks: list[Pick] = []
    rest = amount
    for free_slots in range(slots - 1, -1, -1):
        chosen = next(
            piece
            for piece in soonest
            if piece.interval.length + _largest(by_size, piece, free_slots) >= rest
        )
        soonest.remove(chosen)
        by_size.remove(chosen)
        lo = chosen.interval.lo
        used = min(chosen.interval.length, rest)
        picks.append(Pick(chosen.holding, Interval(lo, lo + used)))
        rest -= used
    assert rest == 0, "the fewest pieces cover the amount"
    return picks


def _fewest(by_size: Sequence[Piece], amount: int) -> int | None:
    reached = 0
    for count, piece in enumerate(by_size, start=1):
        reached += piece.interval.length
        if reached >= amount:
            return count
    return None


def _largest(by_size: Sequence[Piece], but: Piece, count: int) -> int:
    others = (piece.interval.length for piece in by_size if piece is not but)
    return sum(length for _, length in zip(range(count), others, strict=False))
