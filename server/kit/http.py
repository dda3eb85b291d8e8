"""The edge: correlation ids, and refusals as problem documents."""

import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from server.kit.errors import (
    BodyTooLarge,
    Forbidden,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    TallyError,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)
from server.kit.ids import Ids
from server.kit.telemetry import (
    CORRELATION_HEADER,
    accept_correlation_id,
    correlation_id,
    get_logger,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"
_log = get_logger(__name__)
_AnyRequest = Request[Any, Any, Any]
_BY_STATUS: Mapping[int, type[TallyError]] = {
    error.status: error
    for error in (
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        BodyTooLarge,
        UnsupportedMediaType,
        TooManyRequests,
    )
}


_SAFE_HEADERS: Mapping[bytes, bytes] = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


async def add_safe_headers(message: Message, _scope: Scope) -> None:
    """Close what a browser or a cache might make of an answer, where the route opens nothing."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        given = {name.lower() for name, _ in headers}
        headers += [(name, value) for name, value in _SAFE_HEADERS.items() if name not in given]
        message["headers"] = headers


class CorrelationMiddleware(ASGIMiddleware):
    """Gives each request an id that its log lines, its errors and its answer carry."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        offered = Request[Any, Any, Any](scope).headers.get(CORRELATION_HEADER)
        identifier = accept_correlation_id(offered, str(self._ids.uuid()))
        token = correlation_id.set(identifier)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message["headers"])
                headers.append((CORRELATION_HEADER.lower().encode(), identifier.encode()))
                message["headers"] = headers
            await send(message)

        try:
            _refuse_two_lengths(scope)
            await next_app(scope, receive, send_with_id)
        finally:
            duration_ms = round((time.perf_counter() - started) * 1000, 1)
            _log.info(
                "request",
                method=cast("Any", scope)["method"],
                # The template of the path, so that no id or value reaches the log.
                route=scope.get("path_template", ""),
                status=status,
                duration_ms=duration_ms,
            )
            correlation_id.reset(token)


def _refuse_two_lengths(scope: Scope) -> None:
    """Refuse a body whose end two readers could see in two places (RFC 9112 section 6.1)."""
    names = {name for name, _ in scope["headers"]}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise InvalidRequest(
            "The request has both Content-Length and Transfer-Encoding.", fix="Send one of them."
        )


def refuse(_request: _AnyRequest, error: TallyError) -> Response[bytes]:
    """Answer with the refusal's problem document (RFC 9457)."""
    headers = {}
    identifier = correlation_id.get()
    if not identifier:
        # No route matched, so no middleware ran either.
        identifier = headers[CORRELATION_HEADER] = secrets.token_hex(16)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer, DPoP"
    if "retry_after_s" in error.members:
        headers["Retry-After"] = str(error.members["retry_after_s"])
    return Response(
        msgspec.json.encode(error.problem(identifier)),
        status_code=error.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers=headers,
    )


def refuse_http(request: _AnyRequest, error: HTTPException) -> Response[bytes]:
    """Put a refusal of the framework into our own form."""
    if isinstance(error, ValidationException):
        parts = error.extra if isinstance(error.extra, list) else []
        where = "; ".join(f"{part.get('key', '?')}: {part.get('message', '?')}" for part in parts)
        return refuse(
            request, InvalidRequest(f"The request does not fit: {where or 'see the API page'}.")
        )
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        return fail(request, error)
    phrase = HTTPStatus(error.status_code).phrase
    return refuse(request, kind(f"{phrase}.", fix="The API page lists every address and method."))


def fail(request: _AnyRequest, error: Exception) -> Response[bytes]:
    """Answer for a fault of ours: the log has the cause, the caller has the id to quote."""
    _log.error("request_failed", exc_info=error)
    return refuse(
        request,
        InternalError(
            "The request failed; nothing that was not confirmed has happened.",
            fix="Try again with the same Idempotency-Key; if it stays, quote the correlation id.",
        ),
    )


EXCEPTION_HANDLERS: dict[int | type[Exception], Any] = {
    TallyError: refuse,
    HTTPException: refuse_http,
    Exception: fail,
}
