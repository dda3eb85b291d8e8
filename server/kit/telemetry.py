"""Logs: one JSON object a line, each with the correlation id, none with a secret."""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, TextIO

import structlog

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
CORRELATION_HEADER = "X-Correlation-Id"
_CORRELATION_FORM = re.compile(r"[A-Za-z0-9_.:-]{8,64}")
_SECRET_NAMES = re.compile(
    r"password|passphrase|secret|token|code|authorization|cookie|dpop|proof|seed|private|card|phone|email|pin$",
    re.IGNORECASE,
)
REDACTED = "[redacted]"


def accept_correlation_id(offered: str | None, fresh: str) -> str:
    """Return the id a client offered when its form is harmless, else the fresh one."""
    return offered if offered and _CORRELATION_FORM.fullmatch(offered) else fresh


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send our own lines and those of the libraries as JSON lines to one stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(sort_keys=True),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "alembic", "litestar"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True
    for name in ("aiosqlite", "alembic.runtime.plugins", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger whose lines are redacted, also where nobody configured logging.

    structlog's own default would print them to stdout, an error with the values of its variables.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return logger


def _shared() -> list[structlog.types.Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_correlation_id,
        redact,
    ]


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace values whose name says that they are secret or personal."""
    return {
        name: REDACTED if _SECRET_NAMES.search(name) and not isinstance(value, int) else value
        for name, value in event.items()
    }


def _add_correlation_id(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if identifier := correlation_id.get():
        event["correlation_id"] = identifier
    return event
