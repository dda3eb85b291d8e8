"""Reading the server's answers: a field that is missing or of another type is a clear error."""

from uuid import UUID

from client_sdk.api.encoding import to_bytes
from client_sdk.errors import ServerUnavailable

Document = dict[str, object]
"""A JSON object."""


def text_of(document: Document, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise unreadable(name)
    return value


def uuid_of(document: Document, name: str) -> UUID:
    try:
        return UUID(text_of(document, name))
    except ValueError:
        raise unreadable(name) from None


def number_of(document: Document, name: str) -> int:
    value = document.get(name)
    if type(value) is not int:
        raise unreadable(name)
    return value


def bytes_of(document: Document, name: str) -> bytes:
    """Bytes that travel as unpadded base64url."""
    return decoded(text_of(document, name), name)


def optional_bytes(document: Document, name: str) -> bytes | None:
    return None if document.get(name) is None else bytes_of(document, name)


def list_of(document: Document, name: str) -> list[object]:
    value = document.get(name)
    if not isinstance(value, list):
        raise unreadable(name)
    return value


def documents_of(document: Document, name: str) -> list[dict[str, object]]:
    found = [item for item in list_of(document, name) if isinstance(item, dict)]
    if len(found) != len(list_of(document, name)):
        raise unreadable(name)
    return found


def decoded(text: object, name: str) -> bytes:
    if not isinstance(text, str):
        raise unreadable(name)
    try:
        return to_bytes(text)
    except ValueError:
        raise unreadable(name) from None


def unreadable(name: str) -> ServerUnavailable:
    """The error for a field that is missing or not what it should be."""
    return ServerUnavailable(
        f"The server's answer cannot be read: {name!r} is missing or has another type.",
        code="answer_unreadable",
        fix="Check the server's address and that client and server are of the same release.",
    )
