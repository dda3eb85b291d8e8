"""Reading while a camera runs: by any source of pictures, and by OpenCV where it is installed.

OpenCV is no part of the locked environment, so what needs it is skipped there. Its capture reads a
film the way it reads a camera.
"""

import itertools
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image, ImageSequence

from client_sdk.command import root
from client_sdk.errors import MissingExtra, NoCamera, UnreadableMessage
from client_sdk.testing import SeededEntropy
from client_sdk.transports import qr
from offline_protocol.frames import FrameKind, pack
from tests.factories.camera import LIGHT, Camera
from tests.integration.client_sdk.devices import issuer_of_today, make_device

FRAME = pack(FrameKind.PAYMENT, SeededEntropy("webcam")(2_400))


def animation(tmp_path: Path) -> list[Image.Image]:
    """What a camera of 720 lines sees of an animation, one picture for each code."""
    path = tmp_path / "pay.gif"
    qr.write_gif(FRAME, path, scale=6)
    camera = Camera(LIGHT)
    with Image.open(path) as file:
        codes = [camera.sees(picture.convert("L")) for picture in ImageSequence.Iterator(file)]
    seen = []
    for code in codes:
        view = Image.new("L", (1280, 720), 90)
        view.paste(code, (300, 20))
        seen.append(view)
    return seen


def test_any_source_of_pictures_will_do(tmp_path: Path) -> None:
    views = animation(tmp_path)
    blank = Image.new("L", (1280, 720), 90)
    slow_hand = itertools.chain([blank] * 5, *([view, view, blank] for view in views))
    told: list[tuple[int, int]] = []
    got = qr.read_live(slow_hand, told=lambda here, needed: told.append((here, needed)))
    assert got == FRAME
    assert told == [(here, told[-1][1]) for here in range(1, told[-1][1] + 1)]


def test_reading_takes_no_picture_more_than_it_needs(tmp_path: Path) -> None:
    views = iter(animation(tmp_path))
    assert qr.read_live(views) == FRAME
    assert next(views, None) is not None


def test_a_camera_that_stops_is_told_with_what_was_read(tmp_path: Path) -> None:
    views = animation(tmp_path)
    with pytest.raises(UnreadableMessage, match=r"stopped; 3 of \d parts were read"):
        qr.read_live(views[:3])
    with pytest.raises(UnreadableMessage, match="no code was read"):
        qr.read_live([])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra) as refusal, qr.webcam():
        pass
    assert "tallystick[webcam]" in (refusal.value.fix or "")


def test_the_command_says_how_to_get_the_camera_to_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    device = make_device(issuer_of_today(), tmp_path, "shop")
    done = CliRunner().invoke(
        root, ["wallet", "receive", "--webcam", "--json"], env=device.environment
    )
    assert done.exit_code == 1
    assert '"missing_extra"' in done.stdout


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film of the animation, twelve pictures a second, each code on four of them."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    numpy = pytest.importorskip("numpy", reason="OpenCV is not installed")
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12, (1280, 720))
    assert writer.isOpened()
    for view in animation(tmp_path):
        for _ in range(4):
            writer.write(numpy.asarray(view.convert("RGB")))
    writer.release()
    return path


def test_opencv_reads_an_animation(film: Path) -> None:
    with qr.webcam(str(film)) as pictures:
        assert qr.read_live(pictures) == FRAME


def test_opencv_says_when_the_film_is_over(film: Path) -> None:
    with qr.webcam(str(film)) as pictures:
        seen = sum(1 for _ in pictures)
        assert seen == 4 * len(animation(film.parent))
    with qr.webcam(str(film)) as pictures, pytest.raises(UnreadableMessage, match="stopped"):
        qr.read_live(pictures, wanted={FrameKind.RECEIPT})


def test_a_camera_that_is_not_there_is_told() -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    with pytest.raises(NoCamera, match="Camera 97 cannot be opened"), qr.webcam("97"):
        pass


def test_the_command_takes_a_payment_from_the_camera(film: Path, tmp_path: Path) -> None:
    device = make_device(issuer_of_today(), tmp_path, "shop")
    words = ["wallet", "receive", "--camera", str(film), "--json"]
    done = CliRunner().invoke(root, words, env=device.environment)
    # The frame came through; that it is no payment is the wallet's own finding.
    assert "camera" not in done.stdout.lower()
    assert done.exit_code == 1
    assert '"error"' in done.stdout
