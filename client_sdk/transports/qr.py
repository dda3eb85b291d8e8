"""Messages as QR codes: drawn with segno, read from pictures with zxing-cpp.

A code holds the text form of a frame, so that any scanner's result can be pasted. Its alphabet is
that of the alphanumeric mode, which costs a thirtieth more than raw bytes. Codes with raw frames
are read as well.
"""

import io
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

import segno

from client_sdk.errors import MissingExtra, UnreadableMessage
from offline_protocol import frames
from offline_protocol.errors import MalformedFrame

QUIET_ZONE: Final = 4
SCALE: Final = 6
PREFIX: Final = "TALLY1"
CHARACTERS_MAX: Final = 1990
"""Alphanumeric characters of a version 30-M code, which ordinary cameras still read."""
TERMINAL_COLUMNS: Final = 80
TERMINAL_BORDER: Final = 2
VERSION_0_MODULES: Final = 17
MODULES_PER_VERSION: Final = 4
CHARACTERS_BY_VERSION: Final = (
    *(122,) * 6,
    *(154, 178, 221, 262, 311, 366, 419, 483, 528, 600, 656, 734, 816, 909, 970),
    *(1035, 1134, 1248, 1326, 1451, 1542, 1637, 1732, 1839, CHARACTERS_MAX),
)
"""By version, at level M (ISO/IEC 18004, table 7); below version 5 codes would be too many."""
PICTURES: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What phones write. Other formats run old or outside programs on a stranger's bytes."""
PIXELS_MAX: Final = 64_000_000
_HINT: Final = "Install it with `pip install tallystick[camera]`, or paste the text form instead."


def draw(frame: bytes, *, characters_max: int = CHARACTERS_MAX) -> list[segno.QRCode]:
    """The codes of a frame: one as long as it fits, numbered parts otherwise."""
    texts = frames.split_text(frame, characters_max=characters_max)
    return [segno.make_qr(text, error="m", boost_error=False) for text in texts]


def write_png(frame: bytes, path: Path, *, scale: int = SCALE) -> list[Path]:
    """Write the codes as PNGs with `scale` pixels per module.

    Several parts get numbers before the suffix: pay.1.png, pay.2.png, ...

    Returns:
        The files written, in order.
    """
    codes = draw(frame)
    paths = [path]
    if len(codes) > 1:
        paths = [path.with_suffix(f".{n}{path.suffix}") for n in range(1, len(codes) + 1)]
    for code, target in zip(codes, paths, strict=True):
        code.save(str(target), kind="png", scale=scale, border=QUIET_ZONE)
    return paths


def to_terminal(frame: bytes, *, columns: int = TERMINAL_COLUMNS) -> str:
    """The codes in half-block characters, for terminals on light and on dark ground.

    What does not fit the width of the terminal becomes numbered parts: a code whose lines are
    wrapped cannot be read.
    """
    out = io.StringIO()
    fitting = (columns - 2 * TERMINAL_BORDER - VERSION_0_MODULES) // MODULES_PER_VERSION
    version = min(max(fitting, 0), len(CHARACTERS_BY_VERSION) - 1)
    for code in draw(frame, characters_max=CHARACTERS_BY_VERSION[version]):
        code.terminal(out=out, border=TERMINAL_BORDER, compact=True)
    return out.getvalue()


def read_images(paths: Sequence[Path]) -> bytes:
    """The frame shown in pictures (PNG or JPEG): one code, or all parts of one in any order.

    Raises:
        MissingExtra: the packages that read pictures are not installed.
        UnreadableMessage: no picture, no code, something else in it, or parts are missing.
    """
    collector = frames.PartCollector()
    seen = False
    for path in paths:
        for text, raw in _read_codes(path):
            try:
                if not text.startswith(PREFIX):
                    frames.unpack(raw)
                    return raw
                frame = collector.add(text)
            except MalformedFrame:
                continue
            seen = True
            if frame is not None:
                return frame
    here, total = collector.progress
    if seen:
        raise UnreadableMessage(
            f"{here} of {total} parts were read.", fix="Give the pictures of the other parts too."
        )
    names = ", ".join(str(path) for path in paths)
    raise UnreadableMessage(
        f"No code of this wallet was found in {names}.",
        fix="Take the picture again: the whole code, sharp, with its white border.",
    )


def _read_codes(path: Path) -> list[tuple[str, bytes]]:
    try:
        zxingcpp = import_module("zxingcpp")
        image = import_module("PIL.Image")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Reading pictures needs {error.name}.", fix=_HINT) from None
    try:
        with image.open(path, formats=PICTURES) as picture:
            if picture.width * picture.height > PIXELS_MAX:
                raise UnreadableMessage(f"The picture {path} is too large.")
            found = zxingcpp.read_barcodes(picture.convert("L"))
    except (OSError, SyntaxError, ValueError, image.DecompressionBombError) as error:
        raise UnreadableMessage(f"The file {path} is not a readable picture: {error}.") from None
    return [(code.text, bytes(code.bytes)) for code in found]
