"""Errors in the form of the interface."""

from typing import Any


class ApiError(Exception):
    """What is answered instead. ``is_stored``: whether the idempotency key remembers it."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        is_stored: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.is_stored = is_stored
        body = {"type": kind, "message": message, "code": code, **more}
        self.body = {"error": {name: value for name, value in body.items() if value is not None}}


def invalid(message: str, *, code: str | None = None, param: str | None = None) -> ApiError:
    return ApiError(400, "invalid_request_error", message, code=code, param=param)


def missing(kind: str, identifier: str) -> ApiError:
    return ApiError(
        404,
        "invalid_request_error",
        f"No such {kind}: '{identifier}'",
        code="resource_missing",
        param="id",
    )


def refused(message: str, *, code: str) -> ApiError:
    """A no of the business, after the request began to be carried out."""
    return ApiError(400, "invalid_request_error", message, code=code, is_stored=True)
