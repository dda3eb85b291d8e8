"""Codes in files: one picture, numbered pictures, or an animated GIF."""

from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import segno

from client_sdk.errors import MissingExtra
from client_sdk.transports.qr.draw import STILL_CHARACTERS, Series, still

if TYPE_CHECKING:
    from PIL.Image import Image

QUIET_ZONE: Final = 4
SCALE: Final = 6
PRINTED_SPARE: Final = 1
"""Pictures beyond the least number, when they are not an animation: any one may be lost."""
GIF: Final = ".gif"
_DARK, _LIGHT = b"\0", b"\xff"


class Speed(StrEnum):
    """How long each code of an animation stands; slow is for cheap cameras."""

    SLOW = "slow"
    NORMAL = "normal"
    FAST = "fast"

    @property
    def interval_ms(self) -> int:
        return {Speed.SLOW: 250, Speed.NORMAL: 160, Speed.FAST: 100}[self]


def write_pictures(
    frame: bytes,
    path: Path,
    *,
    animate: bool = False,
    speed: Speed = Speed.NORMAL,
    scale: int = SCALE,
) -> list[Path]:
    """Write a frame's codes: as a GIF if the name ends so, else as PNG.

    What fits one still code is one picture, unless it is to be animated. As PNG the codes of a
    series get numbers before the suffix: pay.1.png, pay.2.png, ...; without `animate` they are as
    few and as large as a still code may be, and all but one of them are enough.

    Args:
        frame: the message.
        path: where to write.
        animate: make a series of smaller codes even if one would hold the frame.
        speed: of a GIF.
        scale: pixels per module.

    Returns:
        The files written, in order.

    Raises:
        MissingExtra: a GIF needs Pillow.
    """
    if path.suffix.lower() == GIF:
        write_gif(frame, path, animate=animate, speed=speed, scale=scale)
        return [path]
    code = None if animate else still(frame)
    if code is not None:
        codes, paths = [code], [path]
    else:
        codes = _printed(frame) if not animate else Series.of(frame).round()
        digits = len(str(len(codes)))
        names = (f"{number:0{digits}}" for number in range(1, len(codes) + 1))
        paths = [path.with_suffix(f".{name}{path.suffix}") for name in names]
    for each, target in zip(codes, paths, strict=True):
        each.save(str(target), kind="png", scale=scale, border=QUIET_ZONE)
    return paths


def write_gif(
    frame: bytes,
    path: Path,
    *,
    animate: bool = False,
    speed: Speed = Speed.NORMAL,
    scale: int = SCALE,
) -> None:
    """Write an animated GIF that runs for ever, or one picture when a still code does.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    code = None if animate else still(frame)
    codes = [code] if code is not None else Series.of(frame).round()
    first, *others = [picture_of(each, scale=scale) for each in codes]
    first.save(
        path, format="GIF", save_all=True, append_images=others, duration=speed.interval_ms, loop=0
    )


def picture_of(code: segno.QRCode, *, scale: int = SCALE) -> "Image":
    """A code as a picture in black and white, `scale` pixels per module.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        image = import_module("PIL.Image")
    except ModuleNotFoundError:
        raise MissingExtra(
            "Animated pictures need Pillow.",
            fix="Install it with `pip install tallystick[camera]`, or write PNG files.",
        ) from None
    rows = [
        b"".join(_DARK if dark else _LIGHT for dark in row)
        for row in code.matrix_iter(border=QUIET_ZONE)
    ]
    small: Image = image.frombytes("L", (len(rows[0]), len(rows)), b"".join(rows))
    large = small.resize((small.width * scale, small.height * scale), image.Resampling.NEAREST)
    return large.convert("1", dither=image.Dither.NONE)


def _printed(frame: bytes) -> list[segno.QRCode]:
    series = Series(frame, characters_max=STILL_CHARACTERS["m"])
    return [series.code(number) for number in range(1, series.count + PRINTED_SPARE + 1)]
