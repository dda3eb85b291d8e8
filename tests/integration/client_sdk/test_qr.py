"""Still codes written to real pictures and read back, also from bad pictures."""

import sys
from contextlib import suppress
from pathlib import Path

import pytest
import segno
from PIL import Image, ImageFilter

from client_sdk.errors import MissingExtra, UnreadableMessage
from client_sdk.testing import Issuer, SeededEntropy, new_wallet
from client_sdk.transports import qr
from offline_protocol.frames import FrameKind, pack, to_text
from tests.factories.camera import HEAVY, LIGHT, Camera, Conditions

FRAME = pack(FrameKind.PAYMENT, SeededEntropy("frame")(371))
LONG = pack(FrameKind.PAYMENT, SeededEntropy("long")(6000))


def photographed(path: Path, conditions: Conditions, *, quality: int = 70) -> Path:
    """The picture as a mediocre camera would see it, compressed as phones do."""
    photo = path.with_suffix(".jpg")
    with Image.open(path) as picture:
        Camera(conditions, seed=path.name).sees(picture).save(photo, quality=quality)
    return photo


def turned(path: Path, degrees: float) -> Path:
    photo = path.with_suffix(".jpg")
    with Image.open(path) as picture:
        whole = picture.convert("L").rotate(degrees, expand=True, fillcolor=255)
        whole.filter(ImageFilter.GaussianBlur(1.4)).save(photo, quality=60)
    return photo


def test_a_code_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pay.png"
    assert qr.write_pictures(FRAME, path) == [path]
    assert qr.read_images([path]) == FRAME


@pytest.mark.parametrize("degrees", [-7.0, 2.5, 90.0, 184.0])
def test_a_code_is_read_from_a_turned_and_unsharp_photograph(
    tmp_path: Path, degrees: float
) -> None:
    path = tmp_path / "pay.png"
    qr.write_pictures(FRAME, path)
    assert qr.read_images([turned(path, degrees)]) == FRAME


@pytest.mark.parametrize("size", [371, 940, 1_053, 1_200])
def test_every_still_code_is_read_when_it_is_held_fairly(tmp_path: Path, size: int) -> None:
    frame = pack(FrameKind.PAYMENT, SeededEntropy(size)(size))
    for attempt in range(5):
        path = tmp_path / f"pay{attempt}.png"
        assert qr.write_pictures(frame, path, scale=5) == [path]
        assert qr.read_images([photographed(path, LIGHT)]) == frame


def test_most_still_codes_are_read_at_once_when_they_are_held_badly(tmp_path: Path) -> None:
    read = 0
    for attempt in range(20):
        frame = pack(FrameKind.PAYMENT, SeededEntropy(attempt)(1_053))
        path = tmp_path / f"pay{attempt}.png"
        qr.write_pictures(frame, path, scale=5)
        with suppress(UnreadableMessage):
            assert qr.read_images([photographed(path, HEAVY)]) == frame
            read += 1
    assert read >= 18


@pytest.mark.parametrize(
    ("size", "version", "level"),
    [(100, 7, "M"), (371, 15, "M"), (962, 25, "M"), (963, 22, "L"), (1_230, 25, "L")],
)
def test_a_still_code_is_never_larger_than_version_25(size: int, version: int, level: str) -> None:
    code = qr.still(bytes(size))
    assert code is not None
    assert (code.version, code.error, code.mode) == (version, level, "alphanumeric")


def test_what_needs_a_larger_code_is_not_still() -> None:
    assert qr.still(bytes(1_231)) is None


def test_what_is_too_long_for_one_code_is_read_from_its_parts_in_any_order(tmp_path: Path) -> None:
    paths = qr.write_pictures(LONG, tmp_path / "pay.png")
    assert [path.name for path in paths] == [f"pay.{n}.png" for n in range(1, 9)]
    assert qr.read_images([*paths[::-1], paths[0]]) == LONG
    with pytest.raises(UnreadableMessage, match=r"6 of 7 parts were read") as refusal:
        qr.read_images([*paths[2:], *paths[3:]])
    assert "at least 1 more" in (refusal.value.fix or "")


def test_any_one_of_the_numbered_pictures_may_be_lost(tmp_path: Path) -> None:
    paths = qr.write_pictures(LONG, tmp_path / "pay.png")
    for lost in paths:
        assert qr.read_images([path for path in paths if path != lost]) == LONG


def test_many_pictures_have_numbers_that_sort(tmp_path: Path) -> None:
    paths = qr.write_pictures(LONG, tmp_path / "pay.png", animate=True)
    assert len(paths) > 10
    assert sorted(paths) == paths == sorted(tmp_path.iterdir())
    assert qr.read_images(paths[5:]) == LONG


def test_what_was_not_asked_for_is_passed_over(tmp_path: Path) -> None:
    request = pack(FrameKind.REQUEST, SeededEntropy("r")(300))
    (first,) = qr.write_pictures(request, tmp_path / "request.png")
    (second,) = qr.write_pictures(FRAME, tmp_path / "payment.png")
    payments = {FrameKind.PAYMENT}
    assert qr.read_images([first, second], wanted=payments) == FRAME
    assert qr.read_images([first, second]) == request
    # Better the wrong one than a claim that nothing was there.
    assert qr.read_images([first], wanted=payments) == request


def test_two_codes_in_one_picture_are_both_seen(tmp_path: Path) -> None:
    paths = qr.write_pictures(LONG, tmp_path / "pay.png")
    pictures = [Image.open(path).convert("L") for path in paths]
    width, height = pictures[0].size
    sheet = Image.new("L", (width * 4, height * 2), 255)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % 4 * width, number // 4 * height))
    sheet.save(tmp_path / "sheet.png")
    assert qr.read_images([tmp_path / "sheet.png"]) == LONG


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
    qr.write_pictures(FRAME, path)
    monkeypatch.setitem(sys.modules, "zxingcpp", None)
    with pytest.raises(MissingExtra) as refusal:
        qr.read_images([path])
    assert refusal.value.fix is not None
    assert "tallystick[camera]" in refusal.value.fix


async def test_a_whole_payment_goes_through_photographs(tmp_path: Path) -> None:
    issuer = Issuer()
    payer, payee = await new_wallet(issuer, "payer", 500), await new_wallet(issuer, "payee")

    def across(frame: bytes, name: str) -> bytes:
        (path,) = qr.write_pictures(frame, tmp_path / f"{name}.png")
        return qr.read_images([photographed(path, LIGHT)])

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


@pytest.mark.parametrize("at", [20, 29, 40, 60, 120, 400])
def test_a_broken_picture_is_told_as_such(tmp_path: Path, at: int) -> None:
    path = tmp_path / "pay.png"
    qr.write_pictures(FRAME, path)
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
