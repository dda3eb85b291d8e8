"""How refusals are shown on the API page."""

from typing import Final

from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

from server.kit.errors import BodyTooLarge, InvalidRequest, TallyError, UnsupportedMediaType
from server.kit.http import PROBLEM_MEDIA_TYPE

BODY_REFUSALS: Final = (BodyTooLarge, UnsupportedMediaType)
"""What every route that takes a body may answer, beside `InvalidRequest`."""


class Problem(Struct):
    """Why the answer is no (RFC 9457). ``code`` is stable; ``fix`` says the way out."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    correlation_id: str
    fix: str | None = None


def refusals(*kinds: type[TallyError]) -> dict[int, ResponseSpec]:
    """Return the documentation of a route's refusals: by status, with their codes."""
    distinct: dict[type[TallyError], None] = dict.fromkeys([InvalidRequest, *kinds])
    by_status: dict[int, list[type[TallyError]]] = {}
    for kind in distinct:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: ResponseSpec(
            data_container=Problem,
            generate_examples=False,
            media_type=PROBLEM_MEDIA_TYPE,
            description="; ".join(
                f"`{kind.code}`: {kind.title}" for kind in _sorted_by_code(group)
            ),
        )
        for status, group in by_status.items()
    }


def _sorted_by_code(kinds: list[type[TallyError]]) -> list[type[TallyError]]:
    return sorted(kinds, key=lambda kind: kind.code)
