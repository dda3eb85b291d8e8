"""Codes in a terminal: half-block characters, two modules one above the other in each.

A code whose lines are wrapped or scrolled away cannot be read, so what does not fit the window
becomes a series of codes that do.
"""

from collections.abc import Iterator
from typing import Final

import segno

from client_sdk.transports.qr.draw import Series, series_characters, still
from offline_protocol.errors import MalformedFrame

BORDER: Final = 2
"""Modules around a code; the window around it does the rest."""
LEVEL: Final = "l"
"""A screen is not scratched: rather larger modules than more redundancy."""
_VERSION_LEAST: Final = 4
_MODULES_OF_VERSION_0: Final = 17
_MODULES_PER_VERSION: Final = 4
_CHARACTERS: Final = (
    *(114, 154, 195, 224, 279, 335, 395, 468, 535, 619, 667),
    *(758, 854, 938, 1046, 1153, 1249, 1352, 1460, 1588, 1704, 1853),
)
"""Alphanumeric characters at level L by version, from 4 to 25 (ISO/IEC 18004, table 7)."""
_BLACK_ON_WHITE: Final = "\x1b[38;5;16;48;5;231m"
_PLAIN: Final = "\x1b[0m"
_INK: Final = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
"""By (upper, lower) being dark: what is drawn is the light, as windows mostly are dark."""
_INVERSE: Final = {"█": " ", "▀": "▄", "▄": "▀", " ": "█"}


class Screen:
    """What a window of a certain size can show of a frame.

    Attributes:
        series: the codes that fit, or None when one still code does.
    """

    def __init__(
        self,
        frame: bytes,
        *,
        columns: int,
        lines: int | None = None,
        animate: bool = False,
        coloured: bool = False,
    ) -> None:
        """Choose the codes.

        Args:
            frame: the message.
            columns: width of the window.
            lines: its height, as far as codes may use it; None if it can be scrolled.
            animate: show a series even if one code would hold the frame.
            coloured: set black and white with escape sequences, so that a code looks the same
                on a dark and on a light ground.

        Raises:
            MalformedFrame: the window is too small for this frame.
        """
        self._coloured = coloured
        side = columns if lines is None else min(columns, 2 * lines)
        room = side - 2 * BORDER
        version = (room - _MODULES_OF_VERSION_0) // _MODULES_PER_VERSION
        if version < _VERSION_LEAST:
            raise MalformedFrame("the window is too small for a code")
        code = None if animate else still(frame, level=LEVEL)
        fits = code is not None and code.symbol_size(border=0)[0] <= room
        self._still = code if fits else None
        self.series: Series | None = None
        if self._still is None:
            fitting = _CHARACTERS[min(version - _VERSION_LEAST, len(_CHARACTERS) - 1)]
            characters = min(fitting, series_characters(frame))
            self.series = Series(frame, characters_max=characters, level=LEVEL)

    def text(self) -> str:
        """All codes one below the other, each followed by an end of line."""
        codes = [self._still] if self._still is not None else []
        if self.series is not None:
            codes = self.series.round()
        return "\n".join(map(self._drawn, codes))

    def endless(self) -> Iterator[str]:
        """One code of the series after the other, all of the same height."""
        return map(self._drawn, self.series.endless() if self.series is not None else ())

    def _drawn(self, code: segno.QRCode) -> str:
        rows = [[bool(module) for module in row] for row in code.matrix_iter(border=BORDER)]
        if len(rows) % 2:
            rows.append([False] * len(rows[0]))
        lines = [
            "".join(_INK[pair] for pair in zip(upper, lower, strict=True))
            for upper, lower in zip(rows[::2], rows[1::2], strict=True)
        ]
        if self._coloured:
            dark = ["".join(map(_INVERSE.__getitem__, line)) for line in lines]
            lines = [f"{_BLACK_ON_WHITE}{line}{_PLAIN}" for line in dark]
        return "".join(line + "\n" for line in lines)
