"""Who is calling, and what a route asks of them. Deny by default."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from litestar.connection import ASGIConnection, Request
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from server.kit.errors import Forbidden, Unauthenticated

Connection = ASGIConnection[Any, Any, Any, Any]
OPEN_ROUTE = "open_route"
"""Key of a route's ``opt`` that lets anybody in."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user, by one session, perhaps on an enrolled device."""

    tenant: int
    user_id: UUID
    session_id: UUID
    role: str
    device_id: UUID | None = None
    device_key: bytes | None = None
    """The device's public key as a COSE_Key, when the session is bound to one."""


@runtime_checkable
class Authenticator(Protocol):
    async def authenticate(self, connection: Connection, body: bytes) -> Caller | None:
        """Return the caller, or None when no credentials were shown.

        Raises:
            Unauthenticated: credentials were shown and are not good.
        """
        ...


def caller_of(connection: Connection) -> Caller:
    """Return the caller of a request.

    Raises:
        Unauthenticated: nobody is signed in.
    """
    caller = connection.scope.get("user")
    if not isinstance(caller, Caller):
        raise Unauthenticated(
            "This address needs an access token.",
            fix="Sign in with POST /v1/sessions and send the token in the Authorization header.",
        )
    return caller


def signed_in(authenticator: Authenticator) -> Guard:
    """Return the application's own guard: a route that does not say otherwise needs a caller.

    It runs before every other guard.
    """

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        if handler.opt.get(OPEN_ROUTE, False):
            return
        body = await connection.body() if isinstance(connection, Request) else b""
        connection.scope["user"] = await authenticator.authenticate(connection, body)
        caller_of(connection)

    return guard


async def device_bound(connection: Connection, _handler: BaseRouteHandler) -> None:
    """Guard: the session must be bound to an enrolled device."""
    if caller_of(connection).device_id is None:
        raise Forbidden(
            "Offline money needs an enrolled device.",
            fix="Enrol the device with POST /v1/devices and use the tokens of that answer.",
            needs="device",
        )


def requires_role(*roles: str) -> Guard:
    """Return a guard that lets only these roles in."""

    async def guard(connection: Connection, _handler: BaseRouteHandler) -> None:
        if caller_of(connection).role not in roles:
            raise Forbidden("Your role does not allow this.", needs=sorted(roles))

    return guard
