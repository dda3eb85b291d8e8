"""Whole messages over fragments that may be lost, doubled, reordered or cut short. No I/O.

Each direction is one run of bytes: every message with a head of its length (2 bytes) and its CRC-32
(4 bytes). Positions in it outlast the connection, so a message goes on where it broke off. The
receiver takes bytes in order only and says up to where it has them; the sender goes back to there
after a gap. So neither side keeps more than a window, one message being sent, one being received
and the few that nobody has read yet.

The checksum finds accidents. Forged bytes are found above, where the messages are encrypted.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from typing import Final

from client_sdk.transports.ble.fragments import (
    DATA_HEAD_BYTES,
    POSITION_MAX,
    Acknowledge,
    Data,
    Fragment,
    Gap,
)

LENGTH_BYTES: Final = 2
CHECK_BYTES: Final = 4
HEAD_BYTES: Final = LENGTH_BYTES + CHECK_BYTES
WINDOW_BYTES: Final = 4_096
"""What this side takes beyond what it has acknowledged."""
UNREAD_MAX: Final = 4
"""With so many messages waiting to be read nothing more is acknowledged."""


class StreamBroken(Exception):
    """The other side, or the way, has broken the rules; the session cannot go on."""


class Outgoing:
    """The bytes of this side: kept until they are acknowledged."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._acknowledged = 0
        self._next = 0
        self._sent = 0
        self.window = 0

    @property
    def end(self) -> int:
        """Position after the last byte there is."""
        return self._acknowledged + len(self._kept)

    @property
    def acknowledged(self) -> int:
        return self._acknowledged

    @property
    def unsent(self) -> bool:
        return self._next < self.end

    @property
    def outstanding(self) -> bool:
        """Whether bytes were sent and are not acknowledged."""
        return self._next > self._acknowledged

    def put(self, message: bytes) -> None:
        """Append a message.

        Raises:
            StreamBroken: the session has carried all that its positions can count.
        """
        if self.end + HEAD_BYTES + len(message) > POSITION_MAX:
            raise StreamBroken("the session is used up")
        self._kept += len(message).to_bytes(LENGTH_BYTES)
        self._kept += zlib.crc32(message).to_bytes(CHECK_BYTES)
        self._kept += message

    def take(self, bytes_max: int) -> Data | None:
        """The next piece to send, or None while there is none or the window is closed.

        A piece is as long as it may be, the last one excepted; it is not cut short to fill the
        rest of a window.
        """
        left = self.end - self._next
        room = self._acknowledged + self.window - self._next
        size = min(bytes_max, left, room)
        if size <= 0 or (size < min(bytes_max, left) and self.outstanding):
            return None
        start = self._next - self._acknowledged
        piece = Data(self._next, bytes(self._kept[start : start + size]))
        self._next += size
        self._sent = max(self._sent, self._next)
        return piece

    def acknowledge(self, position: int) -> None:
        """Let go of what has arrived. An older position than the last one says nothing new.

        Raises:
            StreamBroken: that far nothing was ever sent.
        """
        if position > self._sent:
            raise StreamBroken("bytes were acknowledged that were not sent")
        if position > self._acknowledged:
            del self._kept[: position - self._acknowledged]
            self._acknowledged = position
            self._next = max(self._next, position)

    def rewind(self) -> None:
        """Send again from what is acknowledged."""
        self._next = self._acknowledged


class Incoming:
    """The bytes of the other side, put together in order."""

    def __init__(self, *, bytes_max: int) -> None:
        """Take the length of the longest message."""
        self._bytes_max = bytes_max
        self._partial = bytearray()
        self._told = 0
        self._gap_told = -1
        self._owed: type[Acknowledge] | None = None
        self.received = 0
        self.messages: deque[bytes] = deque()

    def take(self, piece: Data) -> None:
        """Take what is new in a piece; completed messages are appended to `messages`.

        Raises:
            StreamBroken: a message is too long, or its checksum is wrong.
        """
        if piece.position > self.received:
            if self._gap_told != self.received:
                self._gap_told, self._owed = self.received, Gap
            return
        room = self._told + WINDOW_BYTES - self.received
        fresh = piece.data[self.received - piece.position :][:room]
        if not fresh:
            # Known already: an acknowledgement was lost. Or more than was allowed.
            self._owed = self._owed or Acknowledge
            return
        self.received += len(fresh)
        self._partial += fresh
        before = len(self.messages)
        self.messages.extend(self._completed())
        if len(self.messages) > before or self.received - self._told >= WINDOW_BYTES // 2:
            self._owed = self._owed or Acknowledge

    def owed(self) -> Acknowledge | None:
        """What to tell the sender now, if anything."""
        if self._owed is None or len(self.messages) >= UNREAD_MAX:
            return None
        kind, self._owed = self._owed, None
        self._told = self.received
        return kind(self.received)

    def told(self) -> int:
        """The position that a RESUME or WELCOME tells the sender."""
        self._owed, self._gap_told, self._told = None, -1, self.received
        return self.received

    def _completed(self) -> Iterator[bytes]:
        while len(self._partial) >= HEAD_BYTES:
            length = int.from_bytes(self._partial[:LENGTH_BYTES])
            if length > self._bytes_max:
                raise StreamBroken(f"a message of {length} bytes, at most {self._bytes_max}")
            end = HEAD_BYTES + length
            if len(self._partial) < end:
                return
            message = bytes(self._partial[HEAD_BYTES:end])
            if zlib.crc32(message).to_bytes(CHECK_BYTES) != self._partial[LENGTH_BYTES:HEAD_BYTES]:
                raise StreamBroken("a message was damaged on its way")
            del self._partial[:end]
            yield message


class Stream:
    """Both directions of a session, as one side sees them."""

    def __init__(self, *, bytes_max: int) -> None:
        """Take the length of the longest message."""
        self.outgoing = Outgoing()
        self.incoming = Incoming(bytes_max=bytes_max)

    def attach(self, *, window: int, received: int) -> None:
        """A connection is there, the first or a further one, and this is what the other side has.

        Raises:
            StreamBroken: it claims to have what was never sent, or to lack what it acknowledged.
        """
        if received < self.outgoing.acknowledged:
            raise StreamBroken("the other side has lost what it had acknowledged")
        self.outgoing.acknowledge(received)
        self.outgoing.rewind()
        self.outgoing.window = window

    def take(self, fragment: Fragment) -> None:
        """Take DATA, ACKNOWLEDGE or GAP; other kinds mean nothing here.

        Raises:
            StreamBroken: see `Incoming.take` and `Outgoing.acknowledge`.
        """
        match fragment:
            case Data():
                self.incoming.take(fragment)
            case Gap():
                self.outgoing.acknowledge(fragment.received)
                if fragment.received == self.outgoing.acknowledged:
                    self.outgoing.rewind()
            case Acknowledge():
                self.outgoing.acknowledge(fragment.received)
            case _:
                pass

    def next_fragment(self, value_bytes: int) -> bytes | None:
        """The next value to send, at most so long; None while there is nothing to say."""
        fragment = self.incoming.owed() or self.outgoing.take(value_bytes - DATA_HEAD_BYTES)
        return None if fragment is None else fragment.encode()
