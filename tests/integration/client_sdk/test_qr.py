"""Codes written to real pictures and read back, also from bad pictures."""

import sys
from pathlib import Path

import pytest
import segno
from PIL import Image, ImageFilter

from client_sdk.errors import MissingExtra, UnreadableMessage
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports import qr
from offline_protocol.frames import FrameKind, pack, to_text

FRAME = pack(FrameKind.PAYMENT, SeededEntropy("frame")(371))
LONG = pack(FrameKind.PAYMENT, SeededEntropy("long")(6000))


def photographed(path: Path, *, degrees: float, blur: float, quality: int) -> Path:
    """The picture as a mediocre camera would see it: turned, unsharp, grey, compressed."""
    with Image.open(path) as picture:
        grey = picture.convert("L")
    turned = grey.rotate(degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    unsharp = turned.filter(ImageFilter.GaussianBlur(blur)).point(lambda v: 60 + v * 0.6)
    photo = path.with_suffix(".jpg")
    unsharp.save(photo, quality=quality)
    return photo


def test_a_code_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pay.png"
    assert qr.write_png(FRAME, path) == [path]
    assert qr.read_images([path]) == FRAME


@pytest.mark.parametrize("degrees", [-7.0, 2.5, 90.0, 184.0])
def test_a_code_is_read_from_a_turned_and_unsharp_photograph(
    tmp_path: Path, degrees: float
) -> None:
    path = tmp_path / "pay.png"
    qr.write_png(FRAME, path)
    photo = photographed(path, degrees=degrees, blur=1.4, quality=60)
    assert qr.read_images([photo]) == FRAME


def test_what_is_too_long_for_one_code_is_read_from_its_parts_in_any_order(tmp_path: Path) -> None:
    paths = qr.write_png(LONG, tmp_path / "pay.png")
    assert [path.name for path in paths][:2] == ["pay.1.png", "pay.2.png"]
    assert qr.read_images([*paths[::-1], paths[0]]) == LONG
    with pytest.raises(UnreadableMessage, match=r"of \d parts were read"):
        qr.read_images(paths[1:])


def test_a_picture_without_a_code_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.new("L", (300, 300), 200).save(path)
    with pytest.raises(UnreadableMessage, match="No code of this wallet"):
        qr.read_images([path])


def test_a_foreign_code_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "menu.png"
    segno.make_qr("https://example.com/menu").save(str(path), scale=5)
    with pytest.raises(UnreadableMessage, match="No code of this wallet"):
        qr.read_images([path])


def test_a_file_that_is_no_picture_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    with pytest.raises(UnreadableMessage, match="not a readable picture"):
        qr.read_images([path])


def test_a_code_with_raw_bytes_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "raw.png"
    segno.make_qr(FRAME).save(str(path), scale=5, border=4)
    assert qr.read_images([path]) == FRAME


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pay.png"
    qr.write_png(FRAME, path)
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(MissingExtra) as refusal:
        qr.read_images([path])
    assert refusal.value.fix is not None
    assert "tallystick[camera]" in refusal.value.fix


def test_the_terminal_shows_the_code_in_half_blocks() -> None:
    shown = qr.to_terminal(FRAME)
    assert len(shown.splitlines()) > 20
    assert set(shown) & set("▀▄█")


async def test_a_whole_payment_goes_through_photographs(tmp_path: Path) -> None:
    issuer = Issuer()
    payer, payee = await new_wallet(issuer, "payer", 500), await new_wallet(issuer, "payee")

    def across(frame: bytes, name: str) -> bytes:
        (path,) = qr.write_png(frame, tmp_path / f"{name}.png")
        return qr.read_images([photographed(path, degrees=4, blur=1.2, quality=70)])

    asked = await payee.request_payment(120, "EUR")
    sent = await payer.pay(across(asked.frame, "request"))
    got = await payee.receive(across(await payer.frame_of(sent.id), "payment"))
    assert got.frame is not None
    done = await payer.receive(across(got.frame, "receipt"))
    assert done.exchange is not None
    assert done.exchange.words == "paid, confirmed by the payee"
    assert to_text(got.frame).startswith("TALLY1:")
    await payer.close()
    await payee.close()


def seen_on_screen(shown: str, *, columns: int, dark_ground: bool) -> Image.Image:
    """What a terminal of this width shows: half blocks in the colour of its text, lines wrapped."""
    lines = [
        line[start : start + columns]
        for line in shown.splitlines()
        for start in range(0, max(len(line), 1), columns)
    ]
    ink, ground = (255, 0) if dark_ground else (0, 255)
    picture = Image.new("L", (columns + 8, 2 * len(lines) + 8), ground)
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            for half, inked in enumerate((character in "█▀", character in "█▄")):
                if inked:
                    picture.putpixel((column + 4, 2 * row + half + 4), ink)
    return picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST)


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("dark_ground", [True, False])
@pytest.mark.parametrize("frame", [FRAME, LONG], ids=["a payment", "a long one"])
def test_what_a_terminal_shows_can_be_scanned_at_its_width(
    tmp_path: Path, frame: bytes, columns: int, *, dark_ground: bool
) -> None:
    shown = qr.to_terminal(frame, columns=columns)
    assert max(map(len, shown.splitlines())) <= columns
    path = tmp_path / "screen.png"
    seen_on_screen(shown, columns=columns, dark_ground=dark_ground).save(path)
    assert qr.read_images([path]) == frame


def test_no_line_of_a_code_is_longer_than_the_terminal_is_wide() -> None:
    for columns in (41, 44, 45, 57, 80, 81, 100, 140):
        lines = qr.to_terminal(LONG, columns=columns).splitlines()
        assert max(map(len, lines)) <= columns


@pytest.mark.parametrize("at", [20, 29, 40, 60, 120, 400])
def test_a_broken_picture_is_told_as_such(tmp_path: Path, at: int) -> None:
    path = tmp_path / "pay.png"
    qr.write_png(FRAME, path)
    whole = path.read_bytes()
    for broken in (whole[:at], whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]):
        path.write_bytes(broken)
        with pytest.raises(UnreadableMessage):
            qr.read_images([path])


def test_a_picture_that_is_a_program_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "pay.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(UnreadableMessage, match="not a readable picture"):
        qr.read_images([path])
