"""Animated codes: written as GIF, seen by a bad camera that misses much, read by a real decoder."""

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from client_sdk.errors import MissingExtra, UnreadableMessage
from client_sdk.testing import SeededEntropy
from client_sdk.transports import qr
from client_sdk.transports.qr.animate import picture_of
from offline_protocol.chains import Payment
from offline_protocol.frames import FrameKind, pack, to_text
from tests.factories.camera import CLEAN, HEAVY, LIGHT, Camera, Conditions
from tests.factories.protocol import Issuer

EIGHT_KB = pack(FrameKind.PAYMENT, SeededEntropy("8 kB")(8_192))
SHORT = pack(FrameKind.RECEIPT, SeededEntropy("short")(143))


def payment_after(hops: int) -> bytes:
    """A real payment that has changed hands so often."""
    issuer = Issuer("animated")
    people = [issuer.device(number) for number in range(hops + 1)]
    chain = issuer.chain(people[0])
    for payer, payee in itertools.pairwise(people):
        chain = payer.pay(chain, payee.request(1_250)).chains[0]
    return pack(FrameKind.PAYMENT, Payment((chain,)).encode())


def still_picture(frame: bytes) -> Image.Image:
    code = qr.still(frame)
    assert code is not None
    return picture_of(code)


def pictures_in(path: Path) -> list[Image.Image]:
    with Image.open(path) as file:
        return [picture.convert("L") for picture in ImageSequence.Iterator(file)]


def filmed(
    pictures: list[Image.Image], conditions: Conditions, *, loss: float, seed: int
) -> Iterator[Image.Image]:
    """The loop of an animation, for ever, from anywhere, with so many pictures missed."""
    chance, camera = random.Random(seed), Camera(conditions, seed=seed)
    start = chance.randrange(len(pictures))
    for picture in itertools.islice(itertools.cycle(pictures), start, None):
        if chance.random() >= loss:
            yield camera.sees(picture)


@pytest.mark.parametrize("hops", [6, 8])
def test_a_long_payment_is_read_back_from_its_gif(tmp_path: Path, hops: int) -> None:
    frame = payment_after(hops)
    assert 1_800 < len(frame) < 3_000
    path = tmp_path / "pay.gif"
    assert qr.write_pictures(frame, path) == [path]
    assert qr.read_images([path]) == frame


@pytest.mark.parametrize("speed", qr.Speed)
def test_each_speed_is_written_into_the_gif(tmp_path: Path, speed: qr.Speed) -> None:
    path = tmp_path / "pay.gif"
    qr.write_gif(EIGHT_KB, path, speed=speed)
    with Image.open(path) as file:
        durations = {picture.info["duration"] for picture in ImageSequence.Iterator(file)}
        assert file.info["loop"] == 0
    assert durations == {{"slow": 250, "normal": 160, "fast": 100}[speed]}
    assert qr.read_images([path]) == EIGHT_KB


def test_all_codes_of_an_animation_are_of_version_15(tmp_path: Path) -> None:
    path = tmp_path / "pay.gif"
    qr.write_gif(EIGHT_KB, path, scale=1)
    assert {picture.size for picture in pictures_in(path)} == {(77 + 8, 77 + 8)}


def test_a_short_message_stands_still_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "receipt.gif"
    qr.write_gif(SHORT, path)
    assert len(pictures_in(path)) == 1
    assert qr.read_images([path]) == SHORT
    qr.write_gif(SHORT, path, animate=True)
    moving = pictures_in(path)
    assert len(moving) > 2
    assert max(picture.width for picture in moving) < still_picture(SHORT).width
    assert qr.read_images([path]) == SHORT


@pytest.mark.parametrize(
    ("conditions", "loss"),
    [(CLEAN, 0.3), (LIGHT, 0.0), (LIGHT, 0.3), (HEAVY, 0.0), (HEAVY, 0.3), (LIGHT, 0.8)],
    ids=["lost", "light", "light, lost", "heavy", "heavy, lost", "light, most lost"],
)
@pytest.mark.parametrize("frame", [payment_after(6), EIGHT_KB], ids=["6 hops", "8 kB"])
def test_an_animation_is_read_by_a_bad_camera_that_misses_much(
    tmp_path: Path, frame: bytes, conditions: Conditions, loss: float
) -> None:
    path = tmp_path / "pay.gif"
    qr.write_gif(frame, path, scale=5)
    pictures = pictures_in(path)
    seen: list[tuple[int, int]] = []
    got = qr.read_live(
        itertools.islice(filmed(pictures, conditions, loss=loss, seed=7), 5 * len(pictures)),
        told=lambda here, needed: seen.append((here, needed)),
    )
    assert got == frame
    needed = qr.Series.of(frame).count
    assert seen == [(here, needed) for here in range(1, needed + 1)]


def test_codes_of_other_people_in_between_do_no_harm(tmp_path: Path) -> None:
    """A menu, this shop's own request, and the animation of somebody else, picture by picture."""
    frame = payment_after(8)
    qr.write_gif(frame, tmp_path / "pay.gif", scale=4)
    qr.write_gif(EIGHT_KB, tmp_path / "other.gif", scale=4)
    request = pack(FrameKind.REQUEST, SeededEntropy("own")(300))
    own = still_picture(request)
    wanted = pictures_in(tmp_path / "pay.gif")
    others = itertools.cycle([own, *pictures_in(tmp_path / "other.gif")])
    chance = random.Random(3)
    chance.shuffle(wanted)
    mixed = itertools.chain.from_iterable(zip(wanted, others, others, strict=False))
    seen: list[tuple[int, int]] = []
    got = qr.read_live(
        mixed,
        wanted=frozenset(FrameKind) - {FrameKind.REQUEST},
        told=lambda here, needed: seen.append((here, needed)),
    )
    assert got == frame
    assert all(here < needed for here, needed in seen[:-1])


def test_a_series_that_was_not_asked_for_is_passed_over_once_it_is_known() -> None:
    """The shop's own request moves on the screen beside the payment, and is the shorter one."""
    request = pack(FrameKind.REQUEST, SeededEntropy("moving")(700))
    own, payment = qr.Series.of(request), qr.Series.of(EIGHT_KB)
    reader, progress = qr.CodeReader({FrameKind.PAYMENT}), []
    for number in itertools.count(1):
        assert reader.look(picture_of(own.code(number))) is None
        got = reader.look(picture_of(payment.code(number)))
        progress.append(reader.progress)
        if got is not None:
            break
    assert got == EIGHT_KB
    assert reader.unwanted == request
    assert progress[own.count :] == [
        (n, payment.count) for n in range(own.count + 1, payment.count + 1)
    ]


def test_a_series_of_something_strange_is_passed_over() -> None:
    """Parts that fit together and give bytes that are no frame."""
    strange = qr.Series.of(b"\x09" + SeededEntropy("strange")(900))
    reader = qr.CodeReader()
    for code in strange.round():
        assert reader.look(picture_of(code)) is None
    assert reader.progress != (strange.count, strange.count)


def test_several_animations_and_pictures_are_read_together(tmp_path: Path) -> None:
    """What one recording missed another one may have, in any order of the files."""
    pictures = [picture_of(code) for code in qr.Series.of(EIGHT_KB).round()]
    recordings = []
    for number, few in enumerate((pictures[20:27], pictures[3:15], pictures[10:24])):
        recordings.append(tmp_path / f"{number}.gif")
        few[0].save(recordings[-1], save_all=True, append_images=few[1:], duration=100)
    with pytest.raises(UnreadableMessage, match="of 23 parts were read"):
        qr.read_images(recordings[:2])
    assert qr.read_images(recordings) == EIGHT_KB


def test_an_animated_png_and_webp_are_read_too(tmp_path: Path) -> None:
    pictures = [picture_of(code).convert("L") for code in qr.Series.of(payment_after(6)).round()]
    for name in ("pay.png", "pay.webp"):
        path = tmp_path / name
        pictures[0].save(path, save_all=True, append_images=pictures[1:], lossless=True)
        assert qr.read_images([path]) == payment_after(6)


def test_a_gif_that_was_cut_off_gives_what_it_still_holds(tmp_path: Path) -> None:
    frame = payment_after(6)
    path = tmp_path / "pay.gif"
    qr.write_gif(frame, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 8 // 10])
    assert qr.read_images([path]) == frame
    for length in range(0, len(whole) // 2, 997):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableMessage):
            qr.read_images([path])


def test_a_gif_of_endless_pictures_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flood.gif"
    pictures = [Image.new("L", (60, 60), shade) for shade in range(200)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    looked = itertools.count()
    monkeypatch.setattr("client_sdk.transports.qr.read.FILE_PIXELS_MAX", 60 * 60 * 50)
    look = qr.CodeReader.look

    def counted(self: qr.CodeReader, picture: qr.Picture) -> bytes | None:
        next(looked)
        return look(self, picture)

    monkeypatch.setattr(qr.CodeReader, "look", counted)
    with pytest.raises(UnreadableMessage):
        qr.read_images([path])
    assert next(looked) == 50


def test_a_gif_needs_pillow_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MissingExtra) as refusal:
        qr.write_gif(EIGHT_KB, tmp_path / "pay.gif")
    assert "tallystick[camera]" in (refusal.value.fix or "")
    # Pictures of the codes do not need it.
    assert len(qr.write_pictures(EIGHT_KB, tmp_path / "pay.png")) > 2


def test_a_scanner_of_any_kind_gives_texts_that_can_be_pasted() -> None:
    series = qr.Series.of(EIGHT_KB)
    assert series.part(1).to_text().startswith(f"TALLY1/{series.count}-{len(EIGHT_KB)}-1-")
    assert to_text(SHORT).startswith("TALLY1:")
