"""Health: is the process alive, and could it serve (each dependency named)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from litestar import Controller, Response, get
from litestar.params import SkipValidation

from server.kit.auth import OPEN_ROUTE
from server.kit.schema import Schema
from server.kit.telemetry import get_logger

Check = Callable[[], Awaitable[None]]
"""Raises when the dependency cannot serve."""
_log = get_logger(__name__)


class Live(Schema):
    status: Literal["alive"] = "alive"


class Ready(Schema):
    status: Literal["ready", "not_ready"]
    dependencies: dict[str, Literal["up", "down"]]


class HealthController(Controller):
    path = "/health"
    tags = ["Health"]
    opt = {OPEN_ROUTE: True}

    @get("/live", summary="Is the process alive")
    async def live(self) -> Live:
        return Live()

    @get("/ready", summary="Can it serve: each dependency by name")
    async def ready(self, readiness: SkipValidation[Mapping[str, Check]]) -> Response[Ready]:
        dependencies: dict[str, Literal["up", "down"]] = {}
        for name, check in readiness.items():
            try:
                await check()
            except Exception as error:  # noqa: BLE001 - any failure means "down"
                _log.warning("dependency_down", dependency=name, error=type(error).__name__)
                dependencies[name] = "down"
            else:
                dependencies[name] = "up"
        ready = all(state == "up" for state in dependencies.values())
        return Response(
            Ready(status="ready" if ready else "not_ready", dependencies=dependencies),
            status_code=200 if ready else 503,
        )
