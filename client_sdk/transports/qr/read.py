"""Reading codes: from files, still and animated, and from a camera while it runs."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from client_sdk.errors import MissingExtra, UnreadableMessage
from offline_protocol import frames
from offline_protocol.collector import PartCollector
from offline_protocol.errors import MalformedFrame
from offline_protocol.fountain import PART_PREFIX, Key, Part
from offline_protocol.frames import FrameKind

Picture = Any
"""What zxing-cpp reads: a Pillow image, or an array of grey or colour pixels."""
Progress = Callable[[int, int], None]
"""Told how many independent parts are here and how many are needed, whenever that changes."""

PICTURES: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What phones write. Other formats run old or outside programs on a stranger's bytes."""
PIXELS_MAX: Final = 64_000_000
"""Of one picture."""
FILE_PIXELS_MAX: Final = 512_000_000
"""Of all pictures of one animation together."""
SECOND_LOOK_PIXELS_MAX: Final = 4_000_000
_BLUR_PIXELS: Final = 1
_HINT: Final = "Install it with `pip install tallystick[camera]`, or paste the text form instead."


class CodeReader:
    """Puts a frame together from pictures, one after the other.

    Attributes:
        progress: independent parts that are here, and how many are needed (0 before the first).
            Both are equal only when a wanted frame is complete.
        unwanted: a complete frame of a kind that was not asked for, such as a shop's own request
            that stands in the camera's view.
    """

    def __init__(self, wanted: Container[FrameKind] = frozenset(FrameKind)) -> None:
        self._wanted = wanted
        self._collector = PartCollector()
        self._passed_over: Key | None = None
        self.progress = (0, 0)
        self.unwanted: bytes | None = None

    def look(self, picture: Picture) -> bytes | None:
        """Take what a picture shows; the frame when nothing is missing any more.

        Raises:
            MissingExtra: the packages that read pictures are not installed.
        """
        for text, raw in _codes(picture):
            try:
                frame = self._take(text, raw)
            except MalformedFrame:
                continue
            if frame is not None:
                return frame
        return None

    def _take(self, text: str, raw: bytes) -> bytes | None:
        """The frame that a code completes, if it is wanted.

        Raises:
            MalformedFrame: a strange code.
        """
        if text.startswith(PART_PREFIX):
            return self._take_part(text)
        frame = frames.from_text(text) if text.startswith(frames.TEXT_PREFIX) else raw
        if self._is_wanted(frame):
            self.progress = (1, 1)
            return frame
        return None

    def _take_part(self, text: str) -> bytes | None:
        key = Part.from_text(text).key
        if key == self._passed_over:
            return None
        frame = self._collector.add(text)
        if frame is not None and not self._is_wanted(frame):
            self._passed_over = key
            return None
        self.progress = self._collector.progress
        return frame

    def _is_wanted(self, frame: bytes) -> bool:
        wanted = frames.unpack(frame)[0] in self._wanted
        if not wanted:
            self.unwanted = frame
        return wanted


def read_images(
    paths: Sequence[Path],
    *,
    wanted: Container[FrameKind] = frozenset(FrameKind),
    told: Progress | None = None,
) -> bytes:
    """The frame shown in picture files: one code, or enough parts of one, in any order.

    An animated GIF, PNG or WebP is read picture by picture. If only a frame of another kind than
    those `wanted` is there, that one is given.

    Raises:
        MissingExtra: the packages that read pictures are not installed.
        UnreadableMessage: no picture, no code, something else in it, or parts are missing.
    """
    reader = CodeReader(wanted)
    frame = _read(reader, (one for path in paths for one in _pictures(path)), told)
    frame = frame if frame is not None else reader.unwanted
    if frame is not None:
        return frame
    here, needed = reader.progress
    if needed:
        raise UnreadableMessage(
            f"{here} of {needed} parts were read.",
            fix=f"Give pictures of at least {needed - here} more; it does not matter which.",
        )
    names = ", ".join(str(path) for path in paths)
    raise UnreadableMessage(
        f"No code of this wallet was found in {names}.",
        fix="Take the picture again: the whole code, sharp, with its white border.",
    )


def read_live(
    pictures: Iterable[Picture],
    *,
    wanted: Container[FrameKind] = frozenset(FrameKind),
    told: Progress | None = None,
) -> bytes:
    """The first wanted frame that a camera sees. Looks until there is one, or no more pictures.

    Raises:
        MissingExtra: the packages that read pictures are not installed.
        UnreadableMessage: the camera stopped before.
    """
    reader = CodeReader(wanted)
    frame = _read(reader, pictures, told)
    if frame is not None:
        return frame
    here, needed = reader.progress
    read = f"{here} of {needed} parts were read" if needed else "no code was read"
    raise UnreadableMessage(
        f"The camera stopped; {read}.", fix="Connect it again, or use pictures or the text form."
    )


def _read(reader: CodeReader, pictures: Iterable[Picture], told: Progress | None) -> bytes | None:
    before = reader.progress
    for picture in pictures:
        frame = reader.look(picture)
        if told is not None and reader.progress != before:
            before = reader.progress
            told(*before)
        if frame is not None:
            return frame
    return None


def _pictures(path: Path) -> Iterator[Picture]:
    """The pictures of a file: one, or all of an animation.

    Raises:
        MissingExtra: Pillow is not installed.
        UnreadableMessage: no picture, or too large.
    """
    image = _module("PIL.Image")
    try:
        with image.open(path, formats=PICTURES) as file:
            pixels = file.width * file.height
            if not 0 < pixels <= PIXELS_MAX:
                raise UnreadableMessage(f"The picture {path} is too large, or empty.")
            for number in range(min(getattr(file, "n_frames", 1), FILE_PIXELS_MAX // pixels)):
                file.seek(number)
                yield file.convert("L")
    except (OSError, SyntaxError, ValueError, EOFError, image.DecompressionBombError) as error:
        raise UnreadableMessage(f"The file {path} is not a readable picture: {error}.") from None


def _codes(picture: Picture) -> list[tuple[str, bytes]]:
    """Text and bytes of the QR codes in a picture.

    A photograph in which nothing is found is looked at again with its noise smoothed away: held
    badly, one in six codes is found only then.
    """
    zxing = _module("zxingcpp")
    found = zxing.read_barcodes(picture, formats=zxing.BarcodeFormat.QRCode)
    if not found and _may_be_smoothed(picture):
        smooth = picture.filter(_module("PIL.ImageFilter").GaussianBlur(_BLUR_PIXELS))
        found = zxing.read_barcodes(smooth, formats=zxing.BarcodeFormat.QRCode)
    return [(code.text, bytes(code.bytes)) for code in found]


def _may_be_smoothed(picture: Picture) -> bool:
    is_pillow = hasattr(picture, "filter")
    return is_pillow and picture.width * picture.height <= SECOND_LOOK_PIXELS_MAX


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"Reading pictures needs {error.name}.", fix=_HINT) from None
