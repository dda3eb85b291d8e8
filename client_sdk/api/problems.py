"""Problem documents (RFC 9457) turned into typed errors."""

import json
from collections.abc import Mapping

import httpx

from client_sdk.errors import ServerRefused, ServerUnavailable, SignInNeeded, WalletError

RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
UNAUTHENTICATED = 401


def document_of(response: httpx.Response) -> dict[str, object]:
    """The JSON object of an answer, or an empty one when it is something else."""
    try:
        found = json.loads(response.content)
    except (ValueError, RecursionError):  # the latter: arrays in arrays in arrays
        return {}
    return found if isinstance(found, dict) else {}


def error_of(response: httpx.Response) -> WalletError:
    """The error that an unsuccessful answer stands for."""
    document = document_of(response)
    detail = _text(document, "detail") or _text(document, "title") or "The server refused."
    code = _text(document, "code")
    if response.status_code in RETRYABLE_STATUS or code is None or not response.is_client_error:
        return ServerUnavailable(
            f"The server answered {response.status_code}: {detail}",
            fix=_text(document, "fix"),
            code=code,
        )
    kind = SignInNeeded if response.status_code == UNAUTHENTICATED else ServerRefused
    return kind(
        detail,
        code=code,
        status=response.status_code,
        fix=_text(document, "fix"),
        correlation_id=_text(document, "correlation_id"),
    )


def _text(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None
