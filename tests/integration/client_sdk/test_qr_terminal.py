"""Codes in a terminal: what a window shows is scanned, also while it moves in a real pty."""

import codecs
import errno
import fcntl
import itertools
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from segno import make_qr
from segno.encoder import DataOverflowError

from client_sdk.testing import SeededEntropy
from client_sdk.transports import qr
from client_sdk.transports.qr.screen import _CHARACTERS
from offline_protocol.errors import MalformedFrame
from offline_protocol.frames import FrameKind, pack, to_text, unpack
from tests.factories.terminal import Window
from tests.integration.client_sdk.devices import Device, issuer_of_today, make_device

FRAME = pack(FrameKind.PAYMENT, SeededEntropy("frame")(371))
LONG = pack(FrameKind.PAYMENT, SeededEntropy("long")(6000))
_CURSOR_UP = re.compile(r"\x1b\[\d+A")


def test_the_capacities_are_those_of_the_standard() -> None:
    for version, characters in enumerate(_CHARACTERS, 4):
        make_qr("A" * characters, version=version, error="l", boost_error=False)
        with pytest.raises(DataOverflowError):
            make_qr("A" * (characters + 1), version=version, error="l", boost_error=False)


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("coloured", [True, False])
@pytest.mark.parametrize("frame", [FRAME, LONG], ids=["a payment", "a long one"])
def test_what_a_terminal_shows_can_be_scanned_at_its_width(
    frame: bytes, columns: int, *, dark: bool, coloured: bool
) -> None:
    window = Window(columns=columns, dark=dark)
    window.write(qr.Screen(frame, columns=columns, coloured=coloured).text())
    assert qr.CodeReader().look(window.picture()) == frame


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (100, 30), (45, 60), (200, 60)])
@pytest.mark.parametrize("frame", [FRAME, LONG], ids=["a payment", "a long one"])
def test_an_animation_fits_the_window_and_can_be_scanned(
    frame: bytes, columns: int, lines: int
) -> None:
    screen = qr.Screen(frame, columns=columns, lines=lines, animate=True, coloured=True)
    assert screen.series is not None
    shown = itertools.islice(screen.endless(), screen.series.count)
    reader, got = qr.CodeReader(), None
    heights = set()
    for text in shown:
        heights.add(text.count("\n"))
        window = Window(columns=columns, lines=lines)
        window.write(text.removesuffix("\n"))
        got = reader.look(window.picture())
    assert got == frame
    assert len(heights) == 1
    assert heights.pop() <= lines


@pytest.mark.parametrize("columns", [41, 44, 45, 57, 80, 81, 100, 140])
def test_no_line_of_a_code_is_longer_than_the_terminal_is_wide(columns: int) -> None:
    lines = qr.Screen(LONG, columns=columns).text().splitlines()
    assert 37 <= max(map(len, lines)) <= columns


def test_a_code_that_fits_the_window_stands_still() -> None:
    assert qr.Screen(FRAME, columns=80, lines=40).series is None
    assert qr.Screen(FRAME, columns=80, lines=30).series is not None
    assert qr.Screen(FRAME, columns=60, lines=40).series is not None
    assert qr.Screen(FRAME, columns=80, lines=40, animate=True).series is not None


@pytest.mark.parametrize(("columns", "lines"), [(36, 40), (80, 18), (0, 0), (36, None)])
def test_a_window_that_is_too_small_is_told(columns: int, lines: int | None) -> None:
    with pytest.raises(MalformedFrame, match="too small"):
        qr.Screen(FRAME, columns=columns, lines=lines)


class Size(NamedTuple):
    columns: int
    lines: int


@dataclass
class Terminal:
    """A command in a pty, as a person has it before them."""

    process: subprocess.Popen[bytes]
    master: int
    transcript: bytes = b""

    def read(self) -> bytes:
        """What was written since; empty when the command has ended."""
        try:
            new = os.read(self.master, 65_536)
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise
        self.transcript += new
        return new

    def everything(self) -> str:
        """What was written up to the end of the command."""
        while self.read():
            pass
        # A signal may cost a pseudo-terminal some bytes of what was being written.
        return self.transcript.decode(errors="replace").replace("\r\n", "\n")


@contextmanager
def terminal(device: Device, *words: str, size: Size, typing: bool = True) -> Iterator[Terminal]:
    """Start a command in a pty of this size; without `typing` nobody is at the keyboard."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size.lines, size.columns, 0, 0))
    environment = {k: v for k, v in device.environment.items() if k not in {"COLUMNS", "LINES"}}
    process = subprocess.Popen(
        device.command(*words),
        stdin=slave if typing else subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def scanned(shown: Terminal, size: Size) -> tuple[bytes, list[tuple[int, int]]]:
    """Hold a camera before the window until the message is read; also how that went on."""
    window, reader = Window(columns=size.columns, lines=size.lines), qr.CodeReader()
    held, progress, decoder = "", [], codecs.getincrementaldecoder("utf-8")()
    while True:
        new = shown.read()
        assert new, f"the command ended: {held!r}"
        held += decoder.decode(new)
        # A screen is whole when the cursor goes up for the next one.
        while (up := _CURSOR_UP.search(held)) is not None:
            window.write(held[: up.start()])
            got = reader.look(window.picture())
            progress.append(reader.progress)
            if got is not None:
                return got, progress
            window.write(up[0])
            held = held[up.end() :]


@pytest.fixture
def shop(tmp_path: Path) -> Device:
    return make_device(issuer_of_today(), tmp_path, "shop")


@pytest.mark.parametrize("ending", ["enter", "interrupt"])
def test_a_code_that_is_too_large_for_the_window_moves_until_it_is_ended(
    shop: Device, ending: str
) -> None:
    size = Size(80, 24)
    with terminal(shop, "request", "12.50", "EUR", "--speed", "fast", size=size) as shown:
        frame, progress = scanned(shown, size)
        assert unpack(frame)[0] is FrameKind.REQUEST
        assert progress == [(here, len(progress)) for here in range(1, len(progress) + 1)]
        assert len(progress) > 2
        if ending == "enter":
            os.write(shown.master, b"\n")
        else:
            shown.process.send_signal(signal.SIGINT)
        assert to_text(frame) in shown.everything().splitlines()
        assert shown.process.wait(30) == 0


def test_a_code_that_fits_the_window_is_shown_without_waiting(shop: Device) -> None:
    size = Size(90, 40)
    with terminal(shop, "request", "12.50", "EUR", size=size) as shown:
        text = shown.everything()
        assert shown.process.wait(30) == 0
    window = Window(columns=size.columns, lines=size.lines)
    window.write(text)
    frame = qr.CodeReader().look(window.picture())
    assert frame is not None
    assert to_text(frame) in text


def test_it_does_not_wait_when_nobody_can_press_a_key(shop: Device) -> None:
    words = ("request", "12.50", "EUR", "--animate")
    with terminal(shop, *words, size=Size(80, 24), typing=False) as shown:
        text = shown.everything()
        assert shown.process.wait(30) == 0
    window = Window(columns=80)
    window.write(text.partition("As text:")[0])
    frame = qr.CodeReader().look(window.picture())
    assert frame is not None
    assert to_text(frame) in text


def test_a_window_that_is_too_small_still_gives_the_text(shop: Device) -> None:
    with terminal(shop, "request", "12.50", "EUR", size=Size(30, 12)) as shown:
        text = shown.everything()
        assert shown.process.wait(30) == 0
    assert "too small for a code" in text
    assert "TALLY1:" in text
