"""The operator's commands about rates, terms of exchange and limits, as an operator types them."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root
from tests.factories.rates import rate_file, serving, whole

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `tallystick` on a fresh database of the test's own."""
    runner = CliRunner(env={"TALLYSTICK_DATA_DIR": str(tmp_path / "data")})

    def run(*arguments: str, status: int = 0) -> Result:
        result = runner.invoke(root, list(arguments))
        assert result.exit_code == status, result.output
        return result

    run("migrate")
    return run


@pytest.fixture
def today() -> date:
    return datetime.now(UTC).date()  # noqa: TID251 - the commands have the machine's clock


def _changed(shown: str, path: Path, **changes: Any) -> Path:
    path.write_text(json.dumps(json.loads(shown) | changes), encoding="ascii")
    return path


def test_rates_are_loaded_from_a_file_and_from_an_address(
    run: Run, tmp_path: Path, today: date
) -> None:
    file = tmp_path / "rates.xml"
    file.write_bytes(rate_file(today - timedelta(days=30), USD="1.25", JPY="160"))
    assert run("rates", "load", str(file)).output == "New rates: JPY, USD.\n"
    assert run("rates", "load", str(file)).output == "New rates: none.\n"
    with serving(whole(rate_file(today, USD="1.26"))) as url:
        assert run("rates", "load", url).output == "New rates: USD.\n"
    lines = run("rates", "show").output.splitlines()
    assert [line.split()[:2] for line in lines] == [["EUR", "1"], ["JPY", "160"], ["USD", "1.26"]]
    assert ["STALE" in line for line in lines] == [False, True, False]


def test_a_source_that_has_no_rates_ends_the_command(run: Run, tmp_path: Path) -> None:
    assert "TALLYSTICK_FX_RATES_SOURCE" in run("rates", "load", status=1).output
    assert "No such file" in run("rates", "load", str(tmp_path / "no.xml"), status=1).output
    (tmp_path / "bad.xml").write_text("<a/>", encoding="ascii")
    assert "envelope" in run("rates", "load", str(tmp_path / "bad.xml"), status=1).output


def test_an_officer_sets_a_rate(run: Run, today: date) -> None:
    run("rates", "set", "KES", "150.25", "--reason", "board")
    [line] = [line for line in run("rates", "show").output.splitlines() if "KES" in line]
    assert ("150.25" in line, "officer" in line, str(today) in line) == (True, True, True)
    assert "decimal" in run("rates", "set", "KES", "a", "--reason", "x", status=1).output
    assert "currency" in run("rates", "set", "XAU", "1", "--reason", "x", status=1).output


def test_terms_are_shown_and_set(run: Run, tmp_path: Path) -> None:
    shown = run("fx-terms", "show").output
    file = _changed(shown, tmp_path / "terms.json", spread_bps=25)
    said = run("fx-terms", "set", str(file), "--reason", "a try").output
    assert said.startswith("Version 1 holds from ")
    assert json.loads(run("fx-terms", "show").output)["spread_bps"] == 25
    bad = _changed(shown, tmp_path / "bad.json", spread_bps=-1)
    assert "does not fit" in run("fx-terms", "set", str(bad), "--reason", "x", status=1).output


def test_the_report_of_a_fresh_installation_is_empty_and_adds_up(run: Run) -> None:
    assert json.loads(run("fx-report", "--json").output) == {"adds_up": True, "currencies": []}
    assert "position" in run("fx-report").output


def test_limits_are_shown_and_set(run: Run, tmp_path: Path, today: date) -> None:
    shown = run("limits", "show").output
    file = _changed(shown, tmp_path / "limits.json", level_default=1)
    later = str(today + timedelta(days=2))
    run("limits", "set", str(file), "--reason", "later", "--at", later)
    assert json.loads(run("limits", "show").output)["level_default"] == 2
    run("limits", "set", str(file), "--reason", "now")
    assert json.loads(run("limits", "show").output)["level_default"] == 1
    bad = _changed(shown, tmp_path / "bad.json", limits=[])
    assert "no rule" in run("limits", "set", str(bad), "--reason", "x", status=1).output
    said = run("limits", "level", "nobody", "3", "--reason", "x", status=1).output
    assert "Nobody has this username." in said
