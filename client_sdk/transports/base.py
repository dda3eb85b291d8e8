"""What a two-way connection between two devices offers.

A code on a screen needs none of this: it is one message, shown until somebody reads it. A link
carries whole frames in order while it lasts. Its end, clean or not, says nothing about money.
"""

from typing import Protocol


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
