"""Whatever a camera sees and misses, parts give exactly the frame that was sent, or nothing."""

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from offline_protocol.collector import COLLECTIONS_MAX, PartCollector
from offline_protocol.errors import MalformedFrame
from offline_protocol.fountain import NUMBER_MAX, Fountain, Part, check_of
from offline_protocol.frames import FrameKind, pack
from tests.factories import fountain as specified

bodies = st.binary(max_size=1_500) | st.integers(0, 1_500).map(bytes)
frames = bodies.map(lambda body: pack(FrameKind.PAYMENT, body))
capacities = st.integers(90, 700)
part_numbers = st.integers(1, 60) | st.integers(1, NUMBER_MAX)


@given(frames, capacities, st.lists(part_numbers, max_size=70))
@settings(max_examples=300, deadline=None)
def test_any_parts_give_the_frame_as_soon_as_they_can_and_nothing_before(
    frame: bytes, characters_max: int, numbers: list[int]
) -> None:
    fountain = Fountain(frame, characters_max=characters_max)
    collector, here = PartCollector(), 0
    for seen, number in enumerate(numbers, 1):
        answer = collector.add(fountain.part(number).to_text())
        here = specified.rank(numbers[:seen], fountain.count, check_of(frame))
        assert answer == (frame if here == fountain.count else None)
        assert collector.progress == (here, fountain.count)
        if answer is not None:
            break


@given(st.lists(frames, min_size=2, max_size=4, unique=True), capacities, st.randoms())
@settings(max_examples=100, deadline=None)
def test_frames_that_are_shown_at_once_are_never_mixed(
    sent: list[bytes], characters_max: int, chance: Any
) -> None:
    fountains = [Fountain(frame, characters_max=characters_max) for frame in sent]
    parts = [text for fountain in fountains for text in fountain.texts()]
    chance.shuffle(parts)
    collector = PartCollector()
    got = [answer for answer in map(collector.add, parts) if answer is not None]
    assert sorted(got) == sorted(sent)


@given(
    frames,
    st.lists(st.tuples(st.integers(1, 40), st.binary(min_size=1, max_size=8)), max_size=6),
    st.randoms(),
)
@settings(max_examples=200, deadline=None)
def test_forged_parts_never_give_another_frame(
    frame: bytes, forgeries: list[tuple[int, bytes]], chance: Any
) -> None:
    """Forged under the very name of the frame: the attempt may fail, and the next one succeeds."""
    fountain = Fountain(frame, characters_max=200)
    texts = fountain.texts(spare=3)
    lies = []
    for number, noise in forgeries:
        true = fountain.part(number)
        data = bytes(
            a ^ b for a, b in zip(true.data, noise.ljust(len(true.data), b"\1"), strict=False)
        )
        lies.append(Part(true.count, true.length, number, true.check, data).to_text())
    mixed = texts + lies
    chance.shuffle(mixed)
    collector = PartCollector()
    for text in mixed:
        with suppress(MalformedFrame):
            assert collector.add(text) in {None, frame}
    got = []
    for text in texts * 2:
        with suppress(MalformedFrame):
            got.append(collector.add(text))
    assert set(got) - {None} == {frame}


heads = st.builds(
    "TALLY1/{}-{}-{}-{}:".format,
    st.integers(0, 300),
    st.integers(0, 33_000),
    st.integers(0, 70_000),
    st.text("0123456789ABCDEFa", min_size=15, max_size=17),
)


@given(
    st.lists(
        st.text(max_size=60)
        | st.text(max_size=60).map(lambda text: "TALLY1/" + text)
        | st.builds(str.__add__, heads, st.text("0123456789ABCDEF $%*+-./:", max_size=60)),
        max_size=30,
    )
)
@settings(max_examples=300, deadline=None)
def test_any_text_before_the_camera_is_taken_or_refused(texts: list[str]) -> None:
    collector = PartCollector()
    for text in texts:
        with suppress(MalformedFrame):
            collector.add(text)
        assert len(collector._collections) <= COLLECTIONS_MAX
        here, needed = collector.progress
        assert 0 <= here <= needed


@given(frames, st.data())
@settings(max_examples=300, deadline=None)
def test_a_part_has_one_text_and_a_changed_text_is_another_part_or_none(
    frame: bytes, choices: st.DataObject
) -> None:
    fountain = Fountain(frame, characters_max=300)
    part = fountain.part(choices.draw(part_numbers))
    text = part.to_text()
    assert Part.from_text(text) == part
    at = choices.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + choices.draw(st.characters()) + text[at + 1 :]
    try:
        read = Part.from_text(changed)
    except MalformedFrame:
        return
    assert read.to_text() == changed
    assert (read == part) == (changed == text)
