"""Pictures from a camera of this computer, by OpenCV where it is installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

from client_sdk.errors import MissingExtra, NoCamera
from client_sdk.transports.qr.read import Picture

MISSES_MAX: Final = 30
"""Pictures in a row that a camera may fail to give, as many do while they start."""


@contextmanager
def webcam(source: str = "0") -> Iterator[Iterator[Picture]]:
    """Open a camera for as long as the block runs; the value gives its pictures.

    Args:
        source: number of the camera, or the path of a device or of a film.

    Raises:
        MissingExtra: OpenCV is not installed.
        NoCamera: there is no such camera, or another program uses it.
    """
    try:
        cv2: Any = import_module("cv2")
    except ModuleNotFoundError:
        raise MissingExtra(
            "The webcam needs OpenCV.",
            fix="Install it with `pip install tallystick[webcam]`, or give a picture with --qr.",
        ) from None
    # It would write about missing devices itself, past the program's own messages.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(int(source) if source.isdecimal() else source)
    try:
        if not capture.isOpened():
            raise NoCamera(f"Camera {source} cannot be opened.")
        yield _pictures(capture)
    finally:
        capture.release()


def _pictures(capture: Any) -> Iterator[Picture]:
    misses = 0
    while misses < MISSES_MAX:
        there, picture = capture.read()
        misses = 0 if there else misses + 1
        if there:
            yield picture
