"""A long frame as an endless stream of parts, read back whatever the camera misses or adds."""

import itertools
import random
from statistics import mean

import pytest

from offline_protocol.collector import COLLECTIONS_MAX, PATIENCE, PartCollector
from offline_protocol.constants import FRAME_BYTES_MAX
from offline_protocol.errors import MalformedFrame
from offline_protocol.fountain import NUMBER_MAX, PIECES_MAX, Fountain, Part, check_of, pieces_in
from offline_protocol.frames import FrameKind, pack, to_text
from tests.factories import fountain as specified
from tests.factories.protocol import entropy

QR_ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
EXAMPLE = bytes.fromhex("0102") + b"TALLY ME"


def payment(label: object, size: int) -> bytes:
    return pack(FrameKind.PAYMENT, entropy(label, size=size))


def texts_of(frame: bytes, *, characters_max: int = 200, spare: int = 0) -> list[str]:
    return Fountain(frame, characters_max=characters_max).texts(spare=spare)


def collected(texts: list[str]) -> list[bytes | None]:
    collector = PartCollector()
    return [collector.add(text) for text in texts]


def test_the_worked_example_of_the_specification() -> None:
    assert check_of(EXAMPLE).hex().upper() == "BFBC634ED96599F3"
    bodies = "X50*1|LB8V1|1CBW1|OW800|$UB+1|0P3W1|L B10|KO0V1|0P3W1|XU3P0"
    for number, body in enumerate(bodies.split("|"), 1):
        text = f"TALLY1/4-10-{number}-BFBC634ED96599F3:{body}"
        assert specified.part(EXAMPLE, 4, number) == text
        assert Part.from_text(text).to_text() == text
    parts = [specified.part(EXAMPLE, 4, number) for number in (2, 5, 7, 9, 8)]
    assert collected(parts) == [None, None, None, None, EXAMPLE]


@pytest.mark.parametrize("count", [2, 3, 8, 9, 100, 255, 256])
def test_the_pieces_of_a_part_are_those_of_the_specification(count: int) -> None:
    name = check_of(entropy(count, size=40))
    for number in (*range(1, 600), 4_096, NUMBER_MAX):
        chosen = pieces_in(number, count, name)
        assert [i for i in range(count) if chosen >> i & 1] == specified.subset(number, count, name)


@pytest.mark.parametrize(("size", "characters_max"), [(400, 200), (1_051, 619), (8_000, 600)])
def test_parts_are_written_as_specified(size: int, characters_max: int) -> None:
    frame = payment("written", size)
    fountain = Fountain(frame, characters_max=characters_max)
    texts = fountain.texts(spare=20)
    assert texts == [specified.part(frame, fountain.count, n) for n in range(1, len(texts) + 1)]
    for text in (*texts, fountain.part(NUMBER_MAX).to_text()):
        assert len(text) <= characters_max
        assert set(text) <= QR_ALPHANUMERIC


@pytest.mark.parametrize("characters_max", [90, 200, 619])
def test_a_long_frame_comes_together_from_its_pieces_in_any_order(characters_max: int) -> None:
    frame = payment("long", 1_051)
    texts = texts_of(frame, characters_max=characters_max)
    for order in (texts, texts[::-1], texts[1::2] + texts[::2]):
        assert collected(order) == [None] * (len(texts) - 1) + [frame]


@pytest.mark.parametrize("size", [400, 1_000, 3_000, 20_000])
def test_one_part_more_makes_up_for_any_one_that_is_lost(size: int) -> None:
    frame = payment("one lost", size)
    texts = texts_of(frame, characters_max=600, spare=1)
    for lost in range(len(texts)):
        assert collected(texts[:lost] + texts[lost + 1 :])[-1] == frame


def test_a_frame_comes_from_sums_alone_when_the_pieces_were_missed() -> None:
    frame = payment("late", 5_000)
    fountain = Fountain(frame, characters_max=600)
    late = (fountain.part(number).to_text() for number in itertools.count(40_000))
    collector = PartCollector()
    answers = list(itertools.takewhile(lambda a: a is None, map(collector.add, late)))
    assert len(answers) < fountain.count + 12


def extra_parts(fountain: Fountain, frame: bytes, chance: random.Random, loss: float) -> int:
    """Parts that were seen beyond as many as there are pieces."""
    collector, seen = PartCollector(), 0
    for number in itertools.count(1):
        if chance.random() < loss:
            continue
        seen += 1
        if collector.add(fountain.part(number).to_text()) == frame:
            return seen - fountain.count
    raise AssertionError


@pytest.mark.parametrize(
    ("size", "characters_max"),
    [(400, 221), (1_000, 600), (2_600, 600), (8_000, 600), (32_000, 600)],
)
@pytest.mark.parametrize("loss", [0.0, 0.3, 0.7])
def test_hardly_more_parts_are_needed_than_there_are_pieces(
    size: int, characters_max: int, loss: float
) -> None:
    chance = random.Random(f"{size} {loss}")
    extra = []
    for trial in range(30):
        frame = payment((size, trial), size)
        fountain = Fountain(frame, characters_max=characters_max)
        extra.append(extra_parts(fountain, frame, chance, loss))
    # A random square matrix of bits has full rank after 1.6 further rows on average.
    assert mean(extra) <= (2.5 if loss else 0)
    assert max(extra) <= (14 if loss else 0)


def test_progress_tells_the_truth_and_doubles_do_not_count() -> None:
    frame = payment("p", 400)
    texts = texts_of(frame)
    collector = PartCollector()
    assert collector.progress == (0, 0)
    for here, text in enumerate(texts[:-1], 1):
        for _ in range(3):
            assert collector.add(text) is None
            assert collector.progress == (here, len(texts))
    assert collector.add(texts[-1]) == frame
    assert collector.progress == (len(texts), len(texts))


def test_a_sum_that_says_nothing_new_is_no_progress() -> None:
    parts = [specified.part(EXAMPLE, 4, number) for number in (2, 5, 7)]
    collector = PartCollector()
    for part in parts:
        collector.add(part)
    assert collector.progress == (3, 4)
    # [2, 3] is [1, 2, 3] and [1] together.
    assert collector.add(specified.part(EXAMPLE, 4, 9)) is None
    assert collector.progress == (3, 4)


def test_parts_of_a_foreign_frame_throw_nothing_away() -> None:
    frame = payment("mine", 2_000)
    strays = [texts_of(payment(("stray", n), 600))[0] for n in range(40)]
    texts = texts_of(frame)
    collector = PartCollector()
    for here, text in enumerate(texts[:-1], 1):
        collector.add(text)
        collector.add(strays[here % 40])
        assert collector.progress == (here, len(texts))
    assert collector.add(texts[-1]) == frame


def test_a_flood_of_foreign_parts_throws_nothing_away_and_takes_no_memory() -> None:
    frame = payment("mine", 2_000)
    texts = texts_of(frame)
    collector = PartCollector()
    for text in texts[:2]:
        collector.add(text)
    for n in range(500):
        part = Part(128, 32_768, 1 + n, n.to_bytes(8, "big"), bytes(256))
        assert collector.add(part.to_text()) is None
        assert len(collector._collections) <= COLLECTIONS_MAX
    assert collector.progress == (2, len(texts))
    assert collected(texts)[-1] == frame
    assert [collector.add(text) for text in texts][-1] == frame


def test_two_series_side_by_side_are_both_read() -> None:
    first, second = payment("left", 1_500), payment("right", 1_500)
    pairs = zip(texts_of(first), texts_of(second), strict=True)
    collector = PartCollector()
    seen = []
    for left, right in pairs:
        for text in (left, right):
            answer = collector.add(text)
            if answer is not None:
                seen.append(answer)
    assert seen == [first, second]


def test_progress_is_that_of_one_series_while_another_is_in_view() -> None:
    texts, others = texts_of(payment("left", 2_000)), texts_of(payment("right", 3_000))
    collector = PartCollector()
    for here, (text, other) in enumerate(zip(texts[:-1], others, strict=False), 1):
        collector.add(text)
        collector.add(other)
        assert collector.progress == (here, len(texts))


def test_progress_turns_to_something_new_that_is_really_shown() -> None:
    first, second = texts_of(payment("old", 2_000)), texts_of(payment("new", 3_000))
    collector = PartCollector()
    for text in first[:-1]:
        collector.add(text)
    for text in second[: PATIENCE - 1] * 3:
        collector.add(text)
    assert collector.progress == (len(first) - 1, len(first))
    collector.add(second[PATIENCE - 1])
    assert collector.progress == (PATIENCE, len(second))
    # What was known of the first is still known.
    assert collector.add(first[-1]) == payment("old", 2_000)


def test_the_same_frame_is_read_again_after_it_was_complete() -> None:
    texts = texts_of(payment("again", 900))
    collector = PartCollector()
    for _ in range(3):
        answers = [collector.add(text) for text in texts]
        assert answers == [None] * (len(texts) - 1) + [payment("again", 900)]


def test_a_whole_frame_needs_no_collecting_and_leaves_what_was_collected() -> None:
    whole, texts = pack(FrameKind.RECEIPT, b"x"), texts_of(payment("series", 900))
    collector = PartCollector()
    for text in texts[:-1]:
        assert collector.add(text) is None
    assert collector.add(to_text(whole)) == whole
    assert collector.add(texts[-1]) == payment("series", 900)


def test_a_forged_part_spoils_one_attempt_and_not_the_next() -> None:
    frame = payment("target", 900)
    texts = texts_of(frame)
    forged = Part.from_text(texts[2])
    forged = Part(forged.count, forged.length, forged.count + 1, forged.check, forged.data)
    collector = PartCollector()
    collector.add(texts[0])
    collector.add(forged.to_text())
    assert {collector.add(text) for text in texts[1:-2]} == {None}
    with pytest.raises(MalformedFrame, match="do not fit together"):
        collector.add(texts[-2])
    assert collector.progress == (0, 0)
    assert [collector.add(text) for text in texts][-1] == frame


def test_a_false_series_does_not_spoil_the_progress_of_another() -> None:
    texts = texts_of(payment("true", 900))
    false = [
        Part(one.count, one.length, one.number, b"\0" * 8, one.data).to_text()
        for one in map(Part.from_text, texts_of(payment("false", 900)))
    ]
    collector = PartCollector()
    for text, lie in zip(texts[:-1], false[:-1], strict=True):
        collector.add(text)
        collector.add(lie)
    with pytest.raises(MalformedFrame):
        collector.add(false[-1])
    assert collector.progress == (len(texts) - 1, len(texts))
    assert collector.add(texts[-1]) == payment("true", 900)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "TALLY1/",
        "TALLY1/2-1:AB",
        "TALLY1/2-4-1-0000000000000000",
        "TALLY1/2-4-1-00000000:BB8",
        "TALLY1/2-4-1-00000000000000:BB8",
        "TALLY1/2-4-1-000000000000000g:BB8",
        "TALLY1/2-4-1-000000000000000a:BB8",
        "TALLY1/2-4-1-0000000000000000-:BB8",
        "TALLY1/2-4-0-0000000000000000:BB8",
        "TALLY1/2-4-65536-0000000000000000:BB8",
        "TALLY1/2-4-01-0000000000000000:BB8",
        "TALLY1/02-4-1-0000000000000000:BB8",
        "TALLY1/+2-4-1-0000000000000000:BB8",
        "TALLY1/2- 4-1-0000000000000000:BB8",
        "TALLY1/\u0662-4-1-0000000000000000:BB8",
        "TALLY1/1-2-1-0000000000000000:BB8",
        "TALLY1/0-4-1-0000000000000000:BB8",
        "TALLY1/257-514-1-0000000000000000:BB8",
        "TALLY1/2-1-1-0000000000000000:00",
        "TALLY1/2-32771-1-0000000000000000:BB8",
        "TALLY1/7-10-1-0000000000000000:BB8",
        "TALLY1/2-4-1-0000000000000000:bb8",
        "TALLY1/2-4-1-0000000000000000:BB8BB8",
        "TALLY1/2-4-1-0000000000000000:B",
        "TALLY1/2-4-1-0000000000000000:",
        "TALLY1/2-4-1-0000000000000000:" + "0" * 70_000,
        "TALLY1/" + "2-" * 70_000 + ":BB8",
        "tally1/2-4-1-0000000000000000:BB8",
    ],
)
def test_parts_that_make_no_sense_are_refused(text: str) -> None:
    collector = PartCollector()
    collector.add(specified.part(EXAMPLE, 4, 1))
    with pytest.raises(MalformedFrame):
        collector.add(text)
    assert collector.progress == (1, 4)


def test_the_largest_frame_still_goes() -> None:
    frame = pack(FrameKind.PAYMENT, entropy("largest", size=FRAME_BYTES_MAX - 2))
    fountain = Fountain(frame, characters_max=240)
    assert PIECES_MAX - 10 < fountain.count <= PIECES_MAX
    numbers = range(fountain.count + 2, NUMBER_MAX)
    collector = PartCollector()
    answers = (collector.add(fountain.part(number).to_text()) for number in numbers)
    assert next(answer for answer in answers if answer is not None) == frame


def test_codes_that_are_too_small_are_refused_with_the_way_out() -> None:
    with pytest.raises(MalformedFrame, match="larger codes"):
        Fountain(payment("small", 1_000), characters_max=80)
    with pytest.raises(MalformedFrame, match="larger codes"):
        Fountain(payment("small", 32_000), characters_max=200)
    with pytest.raises(MalformedFrame):
        Fountain(bytes(FRAME_BYTES_MAX + 1), characters_max=1_400)
    with pytest.raises(MalformedFrame):
        Fountain(b"\x01", characters_max=600)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 59, 60, 61])
def test_a_frame_of_any_size_has_at_least_two_pieces(size: int) -> None:
    frame = payment("any", size)
    texts = texts_of(frame, characters_max=600)
    assert len(texts) == 2
    assert collected(texts) == [None, frame]
