"""Messages over fragments that are lost, doubled, reordered, cut short, damaged or forged."""

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client_sdk.transports.base import MESSAGE_BYTES_MAX
from client_sdk.transports.ble.fragments import (
    POSITION_MAX,
    VALUE_BYTES_LEAST,
    VALUE_BYTES_MAX,
    Acknowledge,
    Data,
    Gap,
    MalformedFragment,
    decode,
)
from client_sdk.transports.ble.stream import (
    HEAD_BYTES,
    UNREAD_MAX,
    WINDOW_BYTES,
    Stream,
    StreamBroken,
)

ROUNDS_MAX = 20_000
sizes = st.integers(VALUE_BYTES_LEAST, VALUE_BYTES_MAX)
messages = st.lists(st.binary(max_size=3_000), max_size=4)
Fault = Callable[[bytes], list[bytes]]


class Pair:
    """Two streams and what is between them: one queue of values for each direction."""

    def __init__(self) -> None:
        self.ends = (Stream(bytes_max=MESSAGE_BYTES_MAX), Stream(bytes_max=MESSAGE_BYTES_MAX))
        self.read: tuple[list[bytes], list[bytes]] = ([], [])
        self.connect()

    def connect(self) -> None:
        """A new connection: each side tells what it has, and nothing is on its way any more."""
        self.ways: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        one, two = self.ends
        told = one.incoming.told(), two.incoming.told()
        one.attach(window=WINDOW_BYTES, received=told[1])
        two.attach(window=WINDOW_BYTES, received=told[0])

    def step(self, side: int, value_bytes: int, fault: Fault) -> bool:
        """Let one side send one value, and the other take one; whether anything happened."""
        sender, receiver = self.ends[side], self.ends[1 - side]
        value = sender.next_fragment(value_bytes)
        if value is not None:
            assert len(value) <= value_bytes
            self.ways[side].extend(fault(value))
        if not self.ways[side]:
            return value is not None
        with suppress(MalformedFragment):
            receiver.take(decode(self.ways[side].popleft()))
        while receiver.incoming.messages:
            self.read[1 - side].append(receiver.incoming.messages.popleft())
        return True

    def run(
        self,
        value_bytes: int,
        faults: tuple[Fault, Fault],
        *,
        reconnect_at: frozenset[int] = frozenset(),
    ) -> None:
        """Until nothing is left to say; a pause makes both sides send again, as their timers do."""
        quiet = 0
        for number in range(ROUNDS_MAX):
            if number in reconnect_at:
                self.connect()
            moved = [self.step(side, value_bytes, faults[side]) for side in (0, 1)]
            if any(moved):
                quiet = 0
                continue
            if all(not end.outgoing.outstanding and not end.outgoing.unsent for end in self.ends):
                return
            for end in self.ends:
                end.outgoing.rewind()
            quiet += 1
            assert quiet < 200, "no progress"
        raise AssertionError("no end")


def whole(value: bytes) -> list[bytes]:
    return [value]


NO_FAULTS = (whole, whole)


def faults(seed: int, kinds: str) -> Fault:
    """Faults of some kinds, one value in four: lost, doubled, held back, cut short."""
    rng = random.Random(seed)
    held: list[bytes] = []

    def fault(value: bytes) -> list[bytes]:
        before, held[:] = list(held), []
        kind = rng.choice(kinds) if rng.random() < 0.25 else ""
        match kind:
            case "l":
                return before
            case "d":
                return [value, value, *before]
            case "h":
                held.append(value)
                return before
            case "t":
                return [value[: rng.randrange(len(value))], *before]
            case _:
                return [value, *before]

    return fault


@given(messages, messages, sizes)
def test_messages_arrive_whole_and_in_order_at_any_mtu(
    there: list[bytes], back: list[bytes], value_bytes: int
) -> None:
    pair = Pair()
    for message in there:
        pair.ends[0].outgoing.put(message)
    for message in back:
        pair.ends[1].outgoing.put(message)
    pair.run(value_bytes, NO_FAULTS)
    assert pair.read == (back, there)


@pytest.mark.parametrize("value_bytes", [20, 61, 182, 244, 512])
def test_the_largest_message_passes_at_any_mtu(value_bytes: int) -> None:
    message = random.Random(value_bytes).randbytes(MESSAGE_BYTES_MAX)
    pair = Pair()
    pair.ends[0].outgoing.put(message)
    pair.run(value_bytes, NO_FAULTS)
    assert pair.read[1] == [message]


@settings(deadline=None)
@given(
    there=messages,
    back=messages,
    value_bytes=sizes,
    seed=st.integers(0, 2**32),
    kinds=st.sampled_from(["l", "d", "h", "t", "ldht"]),
    reconnect_at=st.frozensets(st.integers(0, 300), max_size=5),
)
def test_faults_and_broken_connections_change_nothing(
    *,
    there: list[bytes],
    back: list[bytes],
    value_bytes: int,
    seed: int,
    kinds: str,
    reconnect_at: frozenset[int],
) -> None:
    pair = Pair()
    for message in there:
        pair.ends[0].outgoing.put(message)
    for message in back:
        pair.ends[1].outgoing.put(message)
    pair.run(value_bytes, (faults(seed, kinds), faults(seed + 1, kinds)), reconnect_at=reconnect_at)
    assert pair.read == (back, there)


@pytest.mark.parametrize("cut", range(69))
def test_a_message_goes_on_where_it_broke_off(cut: int) -> None:
    message = random.Random(cut).randbytes(4_096)
    pair = Pair()
    pair.ends[0].outgoing.put(message)
    sent = 0
    for _ in range(cut):
        pair.step(0, 64, whole)
        pair.step(1, 64, whole)
    reached = pair.ends[1].incoming.received
    pair.connect()
    while (value := pair.ends[0].next_fragment(64)) is not None:
        sent += len(decode(value).data)  # type: ignore[union-attr]
        pair.ends[1].take(decode(value))
        while (answer := pair.ends[1].next_fragment(64)) is not None:
            pair.ends[0].take(decode(answer))
    assert pair.ends[1].incoming.messages == deque([message])
    assert sent == HEAD_BYTES + len(message) - reached, "nothing twice, nothing left out"


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=400), sizes, st.data())
def test_a_damaged_message_is_never_handed_up(
    message: bytes, value_bytes: int, data: st.DataObject
) -> None:
    """One changed bit anywhere in what is sent: the message itself arrives, or none."""
    pair = Pair()
    pair.ends[0].outgoing.put(message)
    values = []
    while (value := pair.ends[0].next_fragment(value_bytes)) is not None:
        values.append(value)
    number = data.draw(st.integers(0, len(values) - 1))
    bit = data.draw(st.integers(0, 8 * len(values[number]) - 1))
    damaged = bytearray(values[number])
    damaged[bit // 8] ^= 1 << bit % 8
    values[number] = bytes(damaged)
    receiver = pair.ends[1]
    try:
        for value in values:
            try:
                receiver.take(decode(value))
            except MalformedFragment:
                continue
    except StreamBroken:
        pass
    assert receiver.incoming.messages in (deque(), deque([message]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.builds(
                Data, st.integers(0, 3 * WINDOW_BYTES), st.binary(min_size=1, max_size=508)
            ).map(Data.encode),
            st.builds(Acknowledge, st.integers(0, 200)).map(Acknowledge.encode),
            st.builds(Gap, st.integers(0, 200)).map(Gap.encode),
        ),
        max_size=80,
    )
)
def test_hostile_fragments_break_the_session_or_mean_nothing(values: list[bytes]) -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=WINDOW_BYTES, received=0)
    stream.outgoing.put(b"ours")
    stream.next_fragment(VALUE_BYTES_LEAST)
    for value in values:
        try:
            stream.take(decode(value))
        except MalformedFragment:
            continue
        except StreamBroken:
            return
        answer = stream.next_fragment(VALUE_BYTES_LEAST)
        assert answer is None or len(answer) <= VALUE_BYTES_LEAST


def kept(stream: Stream) -> int:
    return len(stream.incoming._partial) + sum(map(len, stream.incoming.messages))


def test_who_sends_without_end_fills_a_window_and_no_more() -> None:
    """Nobody reads: only a few messages and one window are kept, and the sender is told so."""
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=WINDOW_BYTES, received=0)
    source = Stream(bytes_max=MESSAGE_BYTES_MAX)
    source.attach(window=10**6, received=0)  # heeds no window
    for _ in range(30):
        source.outgoing.put(bytes(MESSAGE_BYTES_MAX))
    while (value := source.next_fragment(VALUE_BYTES_MAX)) is not None:
        stream.take(decode(value))
        answer = stream.next_fragment(VALUE_BYTES_LEAST)
        if answer is not None:
            source.take(decode(answer))
    assert len(stream.incoming.messages) == UNREAD_MAX
    assert kept(stream) <= UNREAD_MAX * MESSAGE_BYTES_MAX + WINDOW_BYTES
    stream.incoming.messages.popleft()
    assert stream.next_fragment(VALUE_BYTES_LEAST) is not None, "goes on when somebody reads"


def test_an_honest_sender_never_has_more_than_a_window_on_its_way() -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=1_000, received=0)
    stream.outgoing.put(bytes(5_000))
    sent = 0
    while (value := stream.next_fragment(200)) is not None:
        sent += len(decode(value).data)  # type: ignore[union-attr]
    assert 1_000 - 200 < sent <= 1_000
    stream.take(Acknowledge(sent))
    assert stream.next_fragment(200) is not None


def test_a_window_smaller_than_a_value_still_lets_data_through() -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=5, received=0)
    stream.outgoing.put(b"twelve bytes")
    arrived = b""
    while (value := stream.next_fragment(200)) is not None:
        piece = decode(value)
        assert isinstance(piece, Data)
        assert len(piece.data) <= 5
        arrived += piece.data
        stream.take(Acknowledge(piece.position + len(piece.data)))
    assert arrived.endswith(b"twelve bytes")


def test_a_closed_window_lets_nothing_through() -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.outgoing.put(b"message")
    assert stream.next_fragment(200) is None


def test_a_gap_is_told_once_and_mended_from_there() -> None:
    pair = Pair()
    pair.ends[0].outgoing.put(bytes(600))
    values = [pair.ends[0].next_fragment(104) for _ in range(5)]
    answers = []
    for value in (values[0], values[2], values[3], values[4]):
        assert value is not None
        pair.ends[1].take(decode(value))
        answers.append(pair.ends[1].next_fragment(104))
    assert [decode(answer) for answer in answers if answer] == [Gap(100)]
    pair.ends[0].take(Gap(100))
    again = pair.ends[0].next_fragment(104)
    assert again == values[1]
    pair.run(104, NO_FAULTS)
    assert pair.read[1] == [bytes(600)]


@pytest.mark.parametrize("length", [MESSAGE_BYTES_MAX + 1, 0xFFFF])
def test_a_boast_of_a_longer_message_ends_the_session_at_once(length: int) -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    with pytest.raises(StreamBroken):
        stream.take(Data(0, length.to_bytes(2) + bytes(4)))


@pytest.mark.parametrize("kind", [Acknowledge, Gap])
def test_what_was_never_sent_cannot_be_acknowledged(kind: type[Acknowledge]) -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=WINDOW_BYTES, received=0)
    stream.outgoing.put(b"message")
    with pytest.raises(StreamBroken):
        stream.take(kind(1))


def test_another_connection_cannot_rewrite_the_past() -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=WINDOW_BYTES, received=0)
    stream.outgoing.put(b"message")
    stream.next_fragment(200)
    stream.take(Acknowledge(5))
    for received in (4, 14):
        with pytest.raises(StreamBroken):
            stream.attach(window=WINDOW_BYTES, received=received)


def test_a_session_ends_before_its_positions_do() -> None:
    stream = Stream(bytes_max=MESSAGE_BYTES_MAX)
    stream.attach(window=WINDOW_BYTES, received=0)
    each = HEAD_BYTES + 0xFFFF
    for _ in range(POSITION_MAX // each):
        stream.outgoing.put(bytes(0xFFFF))
    with pytest.raises(StreamBroken):
        stream.outgoing.put(bytes(0xFFFF))
