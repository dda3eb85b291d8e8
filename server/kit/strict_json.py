"""Bodies are read strictly: ``"3"`` is no integer, ``1.0`` is none either, nothing is said twice.

Litestar converts leniently and a JSON reader keeps the last of two equal keys; on a money route
both would let a sender and a signer read different things. So each body is checked here, before
Litestar sees it, against the very type that the handler declares.
"""

import json
import re
from collections import Counter
from typing import Any

import msgspec
from litestar import Request

from server.kit.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType

BODY_BYTES_MAX = 2_000_000
DEPTH_MAX = 32
_SHOWN_MAX = 200
_BRACKETS = bytes(range(256)).translate(None, b"[]{}")
_OPENING = b"[{"
# Ends at the end of the body too: a text that is not closed must not be looked through once more
# from each quotation mark in it.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


async def check_body(request: Request[Any, Any, Any]) -> None:
    """Refuse a JSON body that is not exactly what the route's handler declares.

    Raises:
        BodyTooLarge: it has more than ``BODY_BYTES_MAX`` bytes.
        UnsupportedMediaType: it does not call itself JSON.
        InvalidRequest: it is malformed, ambiguous, too deep, or of another shape.
    """
    field = request.route_handler.parsed_data_field
    if field is None:
        return
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType(
            "The body must be JSON.", fix="Send the header Content-Type: application/json."
        )
    decode(await request.body(), field.annotation)


def decode(body: bytes, annotation: Any) -> Any:
    """Return the body as a value of exactly this type. Raises as `check_body` does."""
    if len(body) > BODY_BYTES_MAX:
        raise BodyTooLarge(f"A body has at most {BODY_BYTES_MAX} bytes.")
    if nesting(body) > DEPTH_MAX:
        raise InvalidRequest(f"The body is nested more than {DEPTH_MAX} deep.")
    try:
        # The shape first, which costs little: the search for duplicates is slow Python, and then
        # has no more objects to look at than the shape allows.
        value = msgspec.json.decode(body, type=annotation, strict=True)
        json.loads(body, object_pairs_hook=_no_duplicates)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"The body does not fit: {_shown(error)}.",
            fix="The API page lists the fields and their limits.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InvalidRequest(
            f"The body is not JSON that can be read in one way: {_shown(error)}."
        ) from error
    return value


def nesting(body: bytes) -> int:
    """Return how deep brackets are nested, without recursion and without parsing.

    Stops counting above ``DEPTH_MAX``.
    """
    # Without a backslash every quotation mark begins or ends a text.
    bare = _TEXT.sub(b"", body) if b"\\" in body else b"".join(body.split(b'"')[::2])
    brackets = bare.translate(None, _BRACKETS)
    # Long lists of flat objects: equals side by side are as deep as one of them.
    while (shorter := brackets.replace(b"{}{}", b"{}")) != brackets:
        brackets = shorter
    depth = deepest = 0
    for bracket in brackets:
        if bracket in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
            if deepest > DEPTH_MAX:
                break
        else:
            depth -= 1
    return deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the field {twice!r} stands there twice")
    return result


def _shown(error: Exception) -> str:
    """Return what a reader says, without repeating much of what was sent."""
    text = str(error)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
