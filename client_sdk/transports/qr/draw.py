"""Which codes show a frame: one still code if a camera can read it well, else a series of parts.

What decides about reading is how many pixels of the camera a module gets. A code that fills most
of a 720-line picture has five up to version 25; beyond that a series of smaller codes is read
sooner and from farther away.
"""

from collections.abc import Iterator
from itertools import cycle
from typing import Final

import segno

from offline_protocol.fountain import NUMBER_MAX, Fountain, Part
from offline_protocol.frames import to_text

STILL_CHARACTERS: Final = {"m": 1451, "l": 1853}
"""Alphanumeric characters of version 25 (ISO/IEC 18004, table 7), by level; the first that fits."""
SERIES_CHARACTERS: Final = 600
"""Of version 15-M: about 370 bytes of the frame in a part."""
SMALL_SERIES_CHARACTERS: Final = 221
"""Of version 8-M: for frames that would be a single code of version 15, and for poor cameras."""


def still(frame: bytes, *, level: str | None = None) -> segno.QRCode | None:
    """The one code of a frame, or None when it would need more than version 25.

    Args:
        frame: the message.
        level: of error correction; by default M, or L where M does not hold it.
    """
    text = to_text(frame)
    for each, characters in STILL_CHARACTERS.items():
        if len(text) <= characters and level in {None, each}:
            return segno.make_qr(text, error=each, boost_error=False)
    return None


def series_characters(frame: bytes) -> int:
    """Characters in a code of an animation: fewer when one larger code would hold the frame."""
    short = len(to_text(frame)) <= SERIES_CHARACTERS
    return SMALL_SERIES_CHARACTERS if short else SERIES_CHARACTERS


class Series:
    """The codes of an animation, all of one size.

    Attributes:
        count: the least number of codes from which the frame is read.
        spare: further codes worth showing before the series begins again; with them one round
            is enough when every fourth code is missed.
    """

    def __init__(self, frame: bytes, *, characters_max: int, level: str = "m") -> None:
        """Choose the codes.

        Raises:
            MalformedFrame: codes of that size are too small for this frame.
        """
        self._fountain = Fountain(frame, characters_max=characters_max)
        self._level = level
        self.count = self._fountain.count
        self.spare = max(2, -(-self.count // 2))
        longest = self._fountain.part(NUMBER_MAX).to_text()
        self._version = segno.make_qr(longest, error=level, boost_error=False).version

    @classmethod
    def of(cls, frame: bytes) -> "Series":
        """A series for screens: parts of version 15-M, smaller ones for a short frame."""
        return cls(frame, characters_max=series_characters(frame))

    def part(self, number: int) -> Part:
        return self._fountain.part(number)

    def code(self, number: int) -> segno.QRCode:
        """The code of part `number`, 1 to 65,535."""
        text = self.part(number).to_text()
        return segno.make_qr(text, error=self._level, version=self._version, boost_error=False)

    def round(self) -> list[segno.QRCode]:
        """The codes that are worth showing before the series begins again."""
        return [self.code(number) for number in range(1, self.count + self.spare + 1)]

    def endless(self) -> Iterator[segno.QRCode]:
        """One code after the other, each saying something new for as long as anybody looks."""
        return map(self.code, cycle(range(1, NUMBER_MAX + 1)))
