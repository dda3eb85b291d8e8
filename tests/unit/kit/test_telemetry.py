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


def test_an_error_is_written_without_the_values_of_its_variables(stream: io.StringIO) -> None:
    _fail_with_a_secret()
    assert "ValueError" in stream.getvalue()
    assert "s3cret-value" not in stream.getvalue()


def test_nothing_is_printed_where_nobody_configured_logging(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    _fail_with_a_secret()
    get_logger("tests").warning("event", password="s3cret-value")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(caplog.records) == 2
    assert "s3cret-value" not in printed.err + caplog.text


def _fail_with_a_secret() -> None:
    password = "s3cret" + "-value"
    try:
        int(password[:0])
    except ValueError as error:
        get_logger("tests").error("failed", exc_info=error)
