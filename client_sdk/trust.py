"""Reading messages of others: protocol errors become the wallet's own, with a way out."""

from collections.abc import Iterator
from contextlib import contextmanager

from client_sdk.book import Book
from client_sdk.errors import UnreadableMessage, WalletError
from offline_protocol import frames
from offline_protocol.errors import ProtocolError
from offline_protocol.frames import FrameKind
from offline_protocol.rules import TrustContext


def trust(book: Book) -> TrustContext:
    """What this wallet judges others by, at this moment.

    Raises:
        NotEnrolled: the wallet does not know its issuer yet.
    """
    return TrustContext(
        key_set=book.key_set(),
        now=book.now(),
        time_floor=book.time_floor,
        revoked=book.revoked(),
    )


@contextmanager
def refusing(kind: type[WalletError], fix: str | None = None) -> Iterator[None]:
    """Turn a broken rule into a refusal of this kind, keeping the rule's code."""
    try:
        yield
    except ProtocolError as error:
        raise kind(_sentence(error.message), code=error.code, fix=fix) from error


def read_message(message: bytes | str) -> tuple[FrameKind, bytes]:
    """Kind and body of a frame in bytes or in text form.

    Raises:
        UnreadableMessage: it is neither.
    """
    with refusing(UnreadableMessage, "Scan or paste the whole code again."):
        frame = frames.from_text(message.strip()) if isinstance(message, str) else message
        return frames.unpack(frame)


def expect(message: bytes | str, kind: FrameKind) -> bytes:
    """The body of a frame of this kind.

    Raises:
        UnreadableMessage: it is another kind, or no frame.
    """
    found, body = read_message(message)
    if found is not kind:
        raise UnreadableMessage(f"This is a {found.name.lower()}, not a {kind.name.lower()}.")
    return body


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."
