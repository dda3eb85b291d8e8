"""Frames as bytes, as text in QR codes, and in a stream."""

import pytest

from offline_protocol.base45 import decode_base45, encode_base45
from offline_protocol.constants import FRAME_BYTES_MAX, PAYMENT_BYTES_MAX
from offline_protocol.errors import ChainRefused, MalformedFrame, MalformedObject
from offline_protocol.frames import (
    FrameKind,
    Refusal,
    StreamReader,
    from_text,
    pack,
    to_stream,
    to_text,
    unpack,
)
from tests.factories.protocol import entropy

QR_ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


@pytest.mark.parametrize(
    ("data", "text"),
    [  # RFC 9285 section 4.3 and 4.4
        (b"AB", "BB8"),
        (b"Hello!!", "%69 VD92EX0"),
        (b"base-45", "UJCLQE7W581"),
        (b"ietf!", "QED8WEX0"),
        (b"", ""),
    ],
)
def test_base45_is_that_of_rfc_9285(data: bytes, text: str) -> None:
    assert encode_base45(data) == text
    assert decode_base45(text) == data


@pytest.mark.parametrize("text", ["GGW", ":::", "::", "A", "AAAA", "ab8", "B\u00c48", "BB8\n"])
def test_what_no_bytes_give_is_not_base45(text: str) -> None:
    with pytest.raises(MalformedFrame):
        decode_base45(text)


@pytest.mark.parametrize("kind", FrameKind)
def test_a_frame_survives_bytes_and_text(kind: FrameKind) -> None:
    body = entropy(kind, size=77)
    frame = pack(kind, body)
    assert unpack(frame) == (kind, body)
    text = to_text(frame)
    assert text.startswith("TALLY1:")
    assert set(text) <= QR_ALPHANUMERIC
    assert from_text(text) == frame


def test_the_largest_payment_still_fits_a_frame() -> None:
    frame = pack(FrameKind.PAYMENT, bytes(PAYMENT_BYTES_MAX))
    assert len(frame) == FRAME_BYTES_MAX
    assert from_text(to_text(frame)) == frame
    with pytest.raises(MalformedFrame):
        pack(FrameKind.PAYMENT, bytes(PAYMENT_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "frame", [b"", b"\x01", b"\x00\x01", b"\x02\x01x", b"\x01\x00", b"\x01\x0f", bytes(40_000)]
)
def test_bytes_that_are_no_frame_are_refused(frame: bytes) -> None:
    with pytest.raises(MalformedFrame):
        unpack(frame)


@pytest.mark.parametrize("text", ["", "BB8", "tally1:BB8", "TALLY2:BB8", "TALLY1:" + "0" * 70_000])
def test_text_that_is_no_frame_is_refused(text: str) -> None:
    with pytest.raises(MalformedFrame):
        from_text(text)


@pytest.mark.parametrize("step", [1, 3, 7, 10_000])
def test_a_stream_is_cut_into_its_frames_however_it_arrives(step: int) -> None:
    frames = [pack(FrameKind.PAYMENT, entropy(n, size=n)) for n in (0, 1, 300)]
    stream = b"".join(map(to_stream, frames))
    reader = StreamReader()
    got = [f for at in range(0, len(stream), step) for f in reader.feed(stream[at : at + step])]
    assert got == frames


def test_a_stream_that_announces_too_much_is_cut_off_at_once() -> None:
    with pytest.raises(MalformedFrame):
        StreamReader().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(MalformedFrame):
        StreamReader(bytes_max=10).feed(to_stream(bytes(11)))
    assert StreamReader(bytes_max=10).feed(to_stream(bytes(10))) == [bytes(10)]


def test_a_refusal_carries_number_and_code() -> None:
    error = ChainRefused("no", number=411, code="transfer_hangs_together")
    refusal = Refusal.of(error)
    assert Refusal.decode(refusal.encode()) == Refusal(411, "transfer_hangs_together")
    for data in (b"\xa1\x01\x01", b"\x80", Refusal(1, "x").encode()[:-1] + b"\n"):
        with pytest.raises(MalformedObject):
            Refusal.decode(data)
