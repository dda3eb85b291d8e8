"""Frames: one message between two devices, in bytes, as text for QR codes, and in a stream.

A frame is a version byte, a kind byte and the body. As text it is `TALLY1:` and base45 (RFC 9285),
whose alphabet is the alphanumeric mode of QR codes; what is too long for one code travels as parts
(`offline_protocol.fountain`). In a stream each frame follows its length in four bytes.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from offline_protocol import cbor
from offline_protocol.base45 import decode_base45, encode_base45
from offline_protocol.constants import FRAME_BYTES_MAX, NAME_BYTES_MAX
from offline_protocol.errors import MalformedFrame, ProtocolError
from offline_protocol.fields import Fields, check_text, check_uint

_VERSION = 1
_HEAD_BYTES = 2
TEXT_PREFIX: Final = "TALLY1:"
_LENGTH_BYTES = 4


class FrameKind(IntEnum):
    """What the body is."""

    REQUEST = 1
    """Envelope of a `PaymentRequest`."""
    PAYMENT = 2
    """A `Payment`."""
    RECEIPT = 3
    """Envelope of a `Receipt`."""
    RETURN = 4
    """A `Payment` whose chains end in returns."""
    FRAUD_PROOF = 5
    """A `FraudProof`."""
    CLONE_ALARM = 6
    """A `CloneAlarm`."""
    REFUSAL = 7
    """A `Refusal`."""
    NEWS = 8
    """A `News`; this and what follows is `gossip.py`."""
    REVOCATION = 9
    """Envelope of a `RevocationDelta` or a `RevocationList`."""
    TAGS = 10
    """Tags of transfers that the sender has seen."""
    WANT = 11
    """Tags whose transfers the sender asks for."""
    RECORDS = 12
    """Transfers that were asked for, each with what names its signer."""
    KEY_SET = 13
    """Envelope of a `KeySet`."""
    POLICY = 14
    """Envelope of an `AcceptancePolicy`."""


def pack(kind: FrameKind, body: bytes) -> bytes:
    """Make a frame.

    Raises:
        MalformedFrame: the body is too large for any reader.
    """
    frame = bytes([_VERSION, kind]) + body
    if len(frame) > FRAME_BYTES_MAX:
        raise MalformedFrame(f"a frame of {len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    return frame


def unpack(frame: bytes) -> tuple[FrameKind, bytes]:
    """Take a frame apart.

    Raises:
        MalformedFrame: another version, an unknown kind, or too large.
    """
    if not _HEAD_BYTES <= len(frame) <= FRAME_BYTES_MAX:
        raise MalformedFrame(f"a frame of {len(frame)} bytes")
    if frame[0] != _VERSION:
        raise MalformedFrame(f"frame version {frame[0]}, this build speaks {_VERSION}")
    try:
        kind = FrameKind(frame[1])
    except ValueError as error:
        raise MalformedFrame(f"frame kind {frame[1]} is not known") from error
    return kind, frame[_HEAD_BYTES:]


@dataclass(frozen=True)
class Refusal:
    """Body of a REFUSAL frame: why the other side did not take what it was given.

    It is not signed, so it may be shown to a person but decides nothing about money.
    """

    number: int
    code: str

    def __post_init__(self) -> None:
        check_uint("number", self.number)
        check_text("code", self.code, bytes_max=NAME_BYTES_MAX)

    @classmethod
    def of(cls, error: ProtocolError) -> Self:
        return cls(error.number, error.code)

    def encode(self) -> bytes:
        return cbor.encode({1: self.number, 2: self.code})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a refusal.

        Raises:
            ProtocolError: not a refusal.
        """
        fields = Fields("refusal", data, type_number=None)
        refusal = cls(fields.uint(1), fields.text(2))
        fields.end()
        return refusal


def to_text(frame: bytes) -> str:
    """A frame for one QR code, in characters of the alphanumeric mode."""
    return TEXT_PREFIX + encode_base45(frame)


def from_text(text: str) -> bytes:
    """Read what `to_text` wrote.

    Raises:
        MalformedFrame: another prefix, no base45, or too long.
    """
    if not text.startswith(TEXT_PREFIX):
        raise MalformedFrame(f"the text does not start with {TEXT_PREFIX}")
    if len(text) > 2 * FRAME_BYTES_MAX:
        raise MalformedFrame("the text is longer than any frame")
    return decode_base45(text[len(TEXT_PREFIX) :])


def to_stream(frame: bytes) -> bytes:
    """A frame with its length before it, for TCP and other streams."""
    return len(frame).to_bytes(_LENGTH_BYTES, "big") + frame


class StreamReader:
    """Cuts a stream of bytes into frames. Holds at most one unfinished frame."""

    def __init__(self, *, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; give the frames that are complete.

        Raises:
            MalformedFrame: a frame announces more than `bytes_max`. Close the connection.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= _LENGTH_BYTES:
            size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
            if size > self._bytes_max:
                raise MalformedFrame(f"a frame of {size} bytes, at most {self._bytes_max}")
            end = _LENGTH_BYTES + size
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[_LENGTH_BYTES:end]))
            del self._buffer[:end]
        return frames
