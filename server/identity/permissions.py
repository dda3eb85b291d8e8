"""The guard that asks the permission matrix."""

from typing import Final

from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from server.identity.domain import PERMISSIONS, Role
from server.kit.auth import Connection, caller_of
from server.kit.errors import Forbidden

_NOTHING: Final[frozenset[str]] = frozenset()


def may(permission: str) -> Guard:
    """Return a guard that lets in whose role has the permission; an unknown role has none."""
    assert any(permission in granted for granted in PERMISSIONS.values()), permission

    # Async, since Litestar runs any other guard in a thread of its own.
    async def guard(connection: Connection, _handler: BaseRouteHandler) -> None:
        role = caller_of(connection).role
        granted = PERMISSIONS[Role(role)] if role in set(Role) else _NOTHING
        if permission not in granted:
            raise Forbidden("Your role does not allow this.", needs=permission)

    return guard
