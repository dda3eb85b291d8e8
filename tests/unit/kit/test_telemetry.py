import io
import json
import logging
from collections.abc import Iterator

import pytest

from server.kit.telemetry import (
    accept_correlation_id,
    configure_logging,
    correlation_id,
    get_logger,
)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("info", stream)
    yield stream
    root.handlers, root.level = handlers, level


def test_each_line_is_json_with_the_correlation_id(stream: io.StringIO) -> None:
    token = correlation_id.set("request-12345")
    get_logger("tests").info("paid", amount=5)
    logging.getLogger("somebody.else").warning("hello %s", "there")
    correlation_id.reset(token)
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["amount"], ours["level"]) == ("paid", 5, "info")
    assert theirs["event"] == "hello there"
    assert ours["correlation_id"] == theirs["correlation_id"] == "request-12345"


@pytest.mark.parametrize(
    "name", ["password", "access_token", "Authorization", "sms_code", "phone", "email", "pin"]
)
def test_a_value_with_a_secret_name_is_not_written(stream: io.StringIO, name: str) -> None:
    get_logger("tests").info("event", **{name: "s3cret-value"})
    assert "s3cret-value" not in stream.getvalue()


@pytest.mark.parametrize(
    "offered", [None, "", "short", "x" * 65, 'a"b:12345678', "line\nbreak-123"]
)
def test_an_offered_correlation_id_that_could_do_harm_is_replaced(offered: str | None) -> None:
    assert accept_correlation_id(offered, "fresh") == "fresh"


def test_a_harmless_correlation_id_is_kept() -> None:
    assert accept_correlation_id("till-7:2026-03-02", "fresh") == "till-7:2026-03-02"
