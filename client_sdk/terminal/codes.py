"""Showing messages as codes and reading them: options that commands share, and what they do."""

import select
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from client_sdk.errors import UnreadableMessage
from client_sdk.transports import qr
from offline_protocol import frames
from offline_protocol.collector import PartCollector
from offline_protocol.errors import MalformedFrame
from offline_protocol.fountain import PART_PREFIX
from offline_protocol.frames import FrameKind

T = TypeVar("T")

REQUESTS: Final = frozenset({FrameKind.REQUEST})
ANSWERS: Final = frozenset(FrameKind) - REQUESTS
SUFFIXES: Final = (".png", ".gif")
_LINES_AROUND: Final = 3
"""Of the window: the title, a line of advice, and the one with the cursor."""
_TOO_SMALL: Final = "(This window is too small for a code: enlarge it, or have a file written.)"
_PLAIN: Final = "\x1b[0m"
_UP: Final = "\x1b[{lines}A"
_PASTED_LINES_MAX: Final = 1_000


@dataclass(frozen=True)
class CodeOut:
    """How a command shows its message."""

    path: Path | None
    animate: bool
    speed: qr.Speed

    def numbered(self, number: int) -> "CodeOut":
        """The same with another file name, for the second message and those after it."""
        if self.path is None or number == 1:
            return self
        path = self.path.with_stem(f"{self.path.stem}-{number}")
        return CodeOut(path, self.animate, self.speed)


@dataclass(frozen=True)
class CodeIn:
    """Where a command looks for a message, if not in text."""

    pictures: Sequence[Path]
    camera: str | None


def shows_codes(option: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Add the options about a code to show; the command gets a `CodeOut` as `qr_out`."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        @click.option(
            option,
            "qr_path",
            metavar="FILE",
            type=click.Path(dir_okay=False, writable=True, path_type=Path),
            callback=_checked_suffix,
            help="Write the code here, as FILE.png or FILE.gif. A long one becomes an animated "
            "GIF, or numbered PNGs.",
        )
        @click.option(
            "--animate",
            is_flag=True,
            help="A series of small codes, though one would do: for poor cameras.",
        )
        @click.option(
            "--speed",
            type=click.Choice([each.value for each in qr.Speed]),
            default=qr.Speed.NORMAL.value,
            show_default=True,
            help="Of an animation; slow for cheap cameras.",
        )
        @wraps(function)
        def call(*args: Any, qr_path: Path | None, animate: bool, speed: str, **kwargs: Any) -> T:
            out = CodeOut(qr_path, animate, qr.Speed(speed))
            return function(*args, qr_out=out, **kwargs)

        return call

    return decorate


def reads_codes(function: Callable[..., T]) -> Callable[..., T]:
    """Add the options about codes to read; the command gets a `CodeIn` as `codes`."""

    @click.option(
        "--qr",
        "pictures",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        multiple=True,
        help="Read the code from this picture or animated GIF; repeat it for several pictures.",
    )
    @click.option("--webcam", is_flag=True, help="Read the code with the camera of this computer.")
    @click.option(
        "--camera",
        metavar="NUMBER|FILE",
        help="Which camera, if not the first: its number, its device, or a film.",
    )
    @wraps(function)
    def call(
        *args: Any, pictures: Sequence[Path], webcam: bool, camera: str | None, **kwargs: Any
    ) -> T:
        source = camera if camera is not None or not webcam else "0"
        return function(*args, codes=CodeIn(pictures, source), **kwargs)

    return call


def show_frame(
    frame: bytes, out: CodeOut, *, as_json: bool, title: str, may_wait: bool = True
) -> list[Path]:
    """Write a frame's code to files, or show it on the terminal unless output is JSON.

    Args:
        frame: the message.
        out: how to show it.
        as_json: print nothing.
        title: what stands above.
        may_wait: an animation may run until a person ends it; otherwise the codes of a long
            message are printed one below the other.

    Returns:
        The files written.
    """
    text = f"As text:\n{frames.to_text(frame)}"
    files = []
    if out.path is not None:
        files = qr.write_pictures(frame, out.path, animate=out.animate, speed=out.speed)
        if not as_json:
            names = ", ".join(str(path) for path in files)
            click.echo(f"{title}\nCode written to {names}\n{text}")
    elif not as_json and may_wait and sys.stdin.isatty() and sys.stdout.isatty():
        # The code comes last: what is printed below it would push it out of the window.
        click.echo(f"{text}\n{title}")
        _show_in_window(frame, out)
    elif not as_json:
        click.echo(title)
        _print_codes(frame, out)
        click.echo(text)
    return files


def _show_in_window(frame: bytes, out: CodeOut) -> None:
    """Show what fits the window: a still code, or a series until a person ends it."""
    size = shutil.get_terminal_size()
    lines = size.lines - _LINES_AROUND
    try:
        screen = qr.Screen(
            frame, columns=size.columns, lines=lines, animate=out.animate, coloured=True
        )
    except MalformedFrame:
        click.echo(_TOO_SMALL)
        return
    if screen.series is None:
        click.echo(screen.text(), nl=False)
        return
    click.echo(
        f"{screen.series.count} codes are enough, in any order. Press Enter when it is read."
    )
    _play(screen.endless(), interval_ms=out.speed.interval_ms)


def _print_codes(frame: bytes, out: CodeOut) -> None:
    """Print all codes one below the other, as wide as the window at most."""
    columns, coloured = shutil.get_terminal_size().columns, sys.stdout.isatty()
    try:
        screen = qr.Screen(frame, columns=columns, animate=out.animate, coloured=coloured)
    except MalformedFrame:
        click.echo(_TOO_SMALL)
        return
    click.echo(screen.text())


def _play(screens: Iterator[str], *, interval_ms: int) -> None:
    """Draw one screen over the other until Enter or an interruption.

    An interruption waits for the end of a drawing: half of one would leave its colours behind.
    """
    drawn = 0
    with _interruption() as interrupted:
        for screen in screens:
            # In one piece, so that the window is rarely half old and half new.
            click.echo((_UP.format(lines=drawn) if drawn else "") + screen, nl=False)
            drawn = screen.count("\n")
            typed = select.select([sys.stdin], [], [], interval_ms / 1000)[0]
            if interrupted.is_set():
                click.echo(_PLAIN)
                break
            if typed:
                sys.stdin.readline()
                break


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Set by Ctrl-C, which raises nothing meanwhile."""
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda _number, _frame: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def read_frame(text: str | None, codes: CodeIn, *, wanted: Container[FrameKind]) -> bytes | str:
    """A message from pictures, a camera, an argument, or (for "-" and nothing) standard input."""
    if codes.pictures:
        return qr.read_images(codes.pictures, wanted=wanted, told=_progress())
    if codes.camera is not None:
        with qr.webcam(codes.camera) as pictures:
            click.echo("Hold the code before the camera; Ctrl-C ends.", err=True)
            return qr.read_live(pictures, wanted=wanted, told=_progress())
    if text is not None and text != "-":
        return text
    return _pasted()


def _progress() -> qr.Progress | None:
    """Says on the terminal how much of a series was read; silent for programs."""
    if not sys.stderr.isatty():
        return None

    def tell(here: int, needed: int) -> None:
        if needed > 1:
            end = "\n" if here == needed else ""
            click.echo(f"\r{here} of {needed} parts read", nl=False, err=True)
            click.echo(end, nl=False, err=True)

    return tell


def _pasted() -> bytes | str:
    """One text of a message, or the texts of its parts one a line, from standard input.

    Raises:
        UnreadableMessage: a text that is no part, or the input ended before the last part.
    """
    if sys.stdin.isatty():
        click.echo("Paste the text form (TALLY1:...) and press Enter:", err=True)
    line = sys.stdin.readline().strip()
    collector = PartCollector()
    for _ in range(_PASTED_LINES_MAX):
        if not line.startswith(PART_PREFIX):
            break
        try:
            frame = collector.add(line)
        except MalformedFrame as error:
            raise UnreadableMessage(f"This is no part of a message: {error}.") from None
        if frame is not None:
            return frame
        here, needed = collector.progress
        if sys.stdin.isatty():
            click.echo(f"{here} of {needed} parts; paste the next:", err=True)
        line = sys.stdin.readline().strip()
    if collector.progress[1] and not line.startswith(frames.TEXT_PREFIX):
        here, needed = collector.progress
        raise UnreadableMessage(
            f"{here} of {needed} parts were given.", fix="Give more of them, one a line."
        )
    return line


def _checked_suffix(
    _context: click.Context, _option: click.Parameter, path: Path | None
) -> Path | None:
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise click.BadParameter("The name has to end in .png or .gif.")
    return path
