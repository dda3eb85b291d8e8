"""A frame that is too long for one code, as an endless stream of parts: a fountain code.

The frame is cut into pieces of one length. The first parts are the pieces themselves; every later
part is the sum (exclusive or) of some pieces, chosen by the part's number. A reader needs about as
many parts as there are pieces, no matter which: lost codes cost nothing but themselves. It is a
random linear code over two elements, solved by Gaussian elimination; all of it is integers.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from offline_protocol.base45 import decode_base45, encode_base45
from offline_protocol.constants import FRAME_BYTES_MAX
from offline_protocol.errors import MalformedFrame

PART_PREFIX: Final = "TALLY1/"
PIECES_MAX: Final = 256
"""As many as one SHA-256 has bits."""
NUMBER_MAX: Final = 65_535

_CHECK_DOMAIN: Final = b"tallystick/1/parts/check"
_SUBSET_DOMAIN: Final = b"tallystick/1/parts/subset"
_CHECK_BYTES: Final = 8
_NUMBER_BYTES: Final = 2
_PIECES_LEAST: Final = 2
_PIECE_BYTES_LEAST: Final = 30
_HEAD_FIELDS: Final = 4
_HEAD_CHARS: Final = len(PART_PREFIX) + len("256-") + len("32770-") + len("65535-") + 16 + len(":")

Key = tuple[int, int, bytes]
"""What parts of one frame share: count, length, check."""


def check_of(frame: bytes) -> bytes:
    """Eight bytes that name a frame, so that parts of different frames are never mixed."""
    return sha256(_CHECK_DOMAIN + frame).digest()[:_CHECK_BYTES]


def pieces_in(number: int, count: int, check: bytes) -> int:
    """The pieces that are summed in a part; bit i (of value 2**i) stands for piece i, from 0.

    Parts 1 to `count` hold one piece each, the next one all of them, so that it makes up for any
    single lost part. What is in the others is decided by a hash of check and number.
    """
    every = (1 << count) - 1
    if number <= count:
        return 1 << (number - 1)
    if number == count + 1:
        return every
    label = _SUBSET_DOMAIN + check + number.to_bytes(_NUMBER_BYTES, "big")
    return int.from_bytes(sha256(label).digest(), "little") & every or every


@dataclass(frozen=True)
class Part:
    """One part of a frame.

    Attributes:
        count: pieces of the frame, 2 or more.
        length: bytes of the frame.
        number: from 1 on.
        check: names the frame.
        data: the sum of the part's pieces.
    """

    count: int
    length: int
    number: int
    check: bytes
    data: bytes

    @property
    def key(self) -> Key:
        return self.count, self.length, self.check

    def to_text(self) -> str:
        head = f"{self.count}-{self.length}-{self.number}-{self.check.hex().upper()}"
        return f"{PART_PREFIX}{head}:{encode_base45(self.data)}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the text of one code. What it costs does not grow with what the text claims.

        Raises:
            MalformedFrame: not a part in its one form.
        """
        head, colon, body = text.partition(":")
        fields = head.removeprefix(PART_PREFIX).split("-", _HEAD_FIELDS)
        if not head.startswith(PART_PREFIX) or not colon or len(fields) != _HEAD_FIELDS:
            raise MalformedFrame("the text is neither a frame nor a part of one")
        count = _number(fields[0], _PIECES_LEAST, PIECES_MAX)
        length = _number(fields[1], count, FRAME_BYTES_MAX)
        number = _number(fields[2], 1, NUMBER_MAX)
        size = -(-length // count)
        if (count - 1) * size >= length:
            raise MalformedFrame("the part has more pieces than its frame fills")
        if len(body) != size // 2 * 3 + size % 2 * 2:
            raise MalformedFrame("the part has not the length of its pieces")
        return cls(count, length, number, _check(fields[3]), decode_base45(body))


class Fountain:
    """All parts of one frame, for codes that hold so many characters each.

    Attributes:
        count: pieces, and so the least number of parts from which the frame is read.
    """

    def __init__(self, frame: bytes, *, characters_max: int) -> None:
        """Cut the frame.

        Raises:
            MalformedFrame: the codes are too small for this frame, or it is too large for any.
        """
        # base45 writes two bytes as three characters.
        fitting = (characters_max - _HEAD_CHARS) // 3 * 2
        count = -(-len(frame) // fitting) if fitting >= _PIECE_BYTES_LEAST else PIECES_MAX + 1
        if count > PIECES_MAX or not _PIECES_LEAST <= len(frame) <= FRAME_BYTES_MAX:
            raise MalformedFrame(
                f"{characters_max} characters a code are too few; use larger codes"
            )
        self.count = max(count, _PIECES_LEAST)
        self._length = len(frame)
        self._check = check_of(frame)
        size = -(-len(frame) // self.count)
        padded = frame.ljust(size * self.count, b"\0")
        self._size = size
        self._pieces = [
            int.from_bytes(padded[at : at + size], "big") for at in range(0, len(padded), size)
        ]

    def part(self, number: int) -> Part:
        """The part with this number, 1 to 65,535."""
        subset, total = pieces_in(number, self.count, self._check), 0
        for index, piece in enumerate(self._pieces):
            if subset >> index & 1:
                total ^= piece
        data = total.to_bytes(self._size, "big")
        return Part(self.count, self._length, number, self._check, data)

    def texts(self, *, spare: int = 0) -> list[str]:
        """The texts of the first parts: one for each piece, and so many more."""
        return [self.part(number).to_text() for number in range(1, self.count + spare + 1)]


def _number(text: str, least: int, most: int) -> int:
    """A decimal number in its one form: no sign, no leading zero.

    Raises:
        MalformedFrame: another form, or out of bounds.
    """
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not digits or text[0] == "0" or not least <= int(text) <= most:
        raise MalformedFrame("the part has no proper numbers")
    return int(text)


def _check(text: str) -> bytes:
    if len(text) != 2 * _CHECK_BYTES or not set(text) <= set("0123456789ABCDEF"):
        raise MalformedFrame("the part has no proper check")
    return bytes.fromhex(text)
