"""What a two-way connection between two devices offers.

A code on a screen needs none of this: it is one message, shown until somebody reads it. A `Link`
carries whole frames in order while it lasts. Its end, clean or not, says nothing about money. A
`Wire` is what a carrier (a network, a radio) provides below it: whole messages, not encrypted.
"""

from typing import Final, Protocol

from client_sdk.errors import WalletError
from offline_protocol.constants import FRAME_BYTES_MAX

TAG_BYTES: Final = 16
MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX + TAG_BYTES
"""The largest message of a session: the largest frame, encrypted. Every wire carries it."""
EVIDENCE_BYTES: Final = {"nfc": 2_048, "ble": 8_192, "lan": 32_768, "memory": 32_768}
"""What each carrier gives to evidence, by scheme."""
SILENCE_SECONDS: Final = 30.0
"""How long a wire waits for a message, or for room to send one, unless told otherwise."""


class InvalidAddress(WalletError):
    """A text that is no address of its scheme, or an address that cannot be listened on."""

    code = "invalid_address"


class Link(Protocol):
    async def send(self, frame: bytes) -> None:
        """Hand one frame over.

        Raises:
            LinkClosed: the connection has ended; whether the frame arrived is unknown.
        """
        ...

    async def receive(self) -> bytes:
        """The next frame.

        Raises:
            LinkClosed: the connection has ended, was silent for too long, or brought bytes that
                are not from the device that was met at its start.
        """
        ...

    async def close(self) -> None: ...


class Wire(Protocol):
    """A pipe for whole messages in both directions, over any carrier, not encrypted.

    Framing, fragmentation and reassembly are the carrier's business; so is a limit on what it
    keeps for a peer that never finishes a message.

    Attributes:
        bytes_max: the largest message that it carries, at least `MESSAGE_BYTES_MAX`.
        evidence_bytes: how much evidence each side may send after a payment without keeping people
            waiting; 0 for none.
    """

    @property
    def bytes_max(self) -> int: ...

    @property
    def evidence_bytes(self) -> int: ...

    async def write(self, message: bytes) -> None:
        """Hand one message over; returns when the carrier has taken it.

        Raises:
            LinkClosed: the connection has ended, or the message is larger than `bytes_max`.
        """
        ...

    async def read(self, *, seconds: float = SILENCE_SECONDS) -> bytes:
        """The next whole message.

        Args:
            seconds: for the whole of it, so that a trickle of bytes does not prolong the wait.

        Raises:
            LinkClosed: the connection has ended, broken the framing, or time is up. The wire is
                of no use after that.
        """
        ...

    def abort(self) -> None:
        """End the connection at once, without a word; harmless when it has ended."""
        ...

    async def close(self) -> None:
        """End the connection after what was written has left; harmless when it has ended."""
        ...
