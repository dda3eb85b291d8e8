"""What a person sees who looks at a terminal: characters, colours and cursor moves as a picture."""

import re
from typing import Final

from PIL import Image

_TOKEN: Final = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|([^\x1b])")
_CELL: Final = 6
_MARGIN: Final = 4
BLACK, WHITE = 0, 255


class Window:
    """A terminal of this size, dark or light, that scrolls and wraps as terminals do.

    Only what the command line writes is understood: text, ends of lines, cursor up, and the
    escape sequence for black on white. Anything else is an error.
    """

    def __init__(self, *, columns: int, lines: int | None = None, dark: bool = True) -> None:
        self._columns, self._lines = columns, lines
        self._ink, self._ground = (WHITE, BLACK) if dark else (BLACK, WHITE)
        self._plain = self._ink, self._ground
        self._colours = self._plain
        self._rows: list[dict[int, tuple[str, int, int]]] = [{}]
        self._row = self._column = 0

    def write(self, text: str) -> None:
        for match in _TOKEN.finditer(text):
            numbers, command, character = match.groups()
            if command == "A":
                self._row -= int(numbers)
                assert self._row >= 0, "the cursor left the window"
            elif command == "m":
                self._colours = {"0": self._plain, "38;5;16;48;5;231": (BLACK, WHITE)}[numbers]
            elif character == "\n":
                self._row, self._column = self._row + 1, 0
            elif character == "\r":
                self._column = 0
            elif character is not None:
                self._put(character)
            else:
                raise AssertionError(f"the window does not know {match[0]!r}")
            self._scroll()

    def picture(self) -> Image.Image:
        """The window as an even camera sees it, each character twice as high as wide."""
        height = 2 * (self._lines or len(self._rows)) + 2 * _MARGIN
        picture = Image.new("L", (self._columns + 2 * _MARGIN, height), self._ground)
        for number, row in enumerate(self._rows):
            for column, (character, ink, ground) in row.items():
                halves = character in "█▀", character in "█▄"
                for half, inked in enumerate(halves):
                    at = column + _MARGIN, 2 * number + half + _MARGIN
                    picture.putpixel(at, ink if inked else ground)
        size = picture.width * _CELL, picture.height * _CELL
        return picture.resize(size, Image.Resampling.NEAREST)

    def _put(self, character: str) -> None:
        if self._column == self._columns:
            self._row, self._column = self._row + 1, 0
            self._scroll()
        self._rows[self._row][self._column] = (character, *self._colours)
        self._column += 1

    def _scroll(self) -> None:
        while self._row >= len(self._rows):
            self._rows.append({})
        while self._lines is not None and len(self._rows) > self._lines:
            del self._rows[0]
            self._row -= 1
