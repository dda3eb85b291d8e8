"""Refusals: what the caller sees when the answer is no.

Every refusal becomes a problem document (RFC 9457) with a stable ``code``. The text says what is
wrong; ``fix`` says what to do about it. Neither ever holds a secret.
"""

from typing import ClassVar


class TallyError(Exception):
    """A refusal with a stable code and an HTTP status."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 422
    title: ClassVar[str] = "The request was refused"

    def __init__(self, detail: str, *, fix: str | None = None, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fix = fix
        self.members = members

    def problem(self, correlation_id: str) -> dict[str, object]:
        """Return the problem document (RFC 9457 section 3)."""
        document: dict[str, object] = {
            "type": f"urn:tallystick:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "correlation_id": correlation_id,
        }
        if self.fix is not None:
            document["fix"] = self.fix
        return document | self.members


class InvalidRequest(TallyError):
    code, status, title = "invalid_request", 400, "The request is malformed"


class Unauthenticated(TallyError):
    code, status, title = "unauthenticated", 401, "Nobody is signed in"


class Forbidden(TallyError):
    code, status, title = "forbidden", 403, "This is not allowed"


class NotFound(TallyError):
    code, status, title = "not_found", 404, "There is no such thing"


class MethodNotAllowed(TallyError):
    code, status, title = "method_not_allowed", 405, "This address does not take that method"


class Conflict(TallyError):
    code, status, title = "conflict", 409, "The request contradicts the present state"


class IdempotencyConflict(Conflict):
    """A known idempotency key came back with another request."""

    code, title = "idempotency_conflict", "The idempotency key was used for another request"


class BodyTooLarge(TallyError):
    code, status, title = "body_too_large", 413, "The request is too large"


class UnsupportedMediaType(TallyError):
    code, status, title = "unsupported_media_type", 415, "The body has the wrong media type"


class TooManyRequests(TallyError):
    code, status, title = "too_many_requests", 429, "Too many requests"


class InternalError(TallyError):
    code, status, title = "internal_error", 500, "Something went wrong on our side"


class Unavailable(TallyError):
    code, status, title = "unavailable", 503, "The service cannot answer at the moment"


def all_refusals(base: type[TallyError] = TallyError) -> list[type[TallyError]]:
    """Return every refusal with a code of its own that has been imported, ordered by code."""
    found: set[type[TallyError]] = set()
    for kind in base.__subclasses__():
        if "code" in vars(kind):
            found.add(kind)
        found.update(all_refusals(kind))
    return sorted(found, key=lambda kind: kind.code)
