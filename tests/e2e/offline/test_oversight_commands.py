"""The operator's commands about policy and fund, as an operator types them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root

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


def _policy(run: Run, path: Path, **changes: Any) -> Path:
    document = json.loads(run("offline-policy", "show").output) | changes
    path.write_text(json.dumps(document), encoding="ascii")
    return path


def test_a_policy_is_shown_set_and_listed(run: Run, tmp_path: Path) -> None:
    assert "built-in" in run("offline-policy", "show", "--versions").output
    file = _policy(run, tmp_path / "policy.json", hops_max=3)
    said = run("offline-policy", "set", str(file), "--reason", "a try").output
    assert said.startswith("Version 1 holds from ")
    assert json.loads(run("offline-policy", "show").output)["hops_max"] == 3
    assert "1 (in force)" in run("offline-policy", "show", "--versions").output


def test_a_policy_may_begin_later(run: Run, tmp_path: Path) -> None:
    file = _policy(run, tmp_path / "policy.json", hops_max=3)
    day = f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%d}"  # noqa: TID251 - the commands have the machine's clock
    run("offline-policy", "set", str(file), "--reason", "later", "--at", day)
    assert json.loads(run("offline-policy", "show").output)["hops_max"] == 4
    assert day in run("offline-policy", "show", "--versions").output


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "does not fit"),
        ('{"hops_max": 3}', "missing required field"),
        ('{"hops_max": 3, "hops_max": 4}', "does not fit"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(
    run: Run, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(content, encoding="ascii")
    assert says in run("offline-policy", "set", str(file), "--reason", "a try", status=1).output


def test_a_policy_that_contradicts_itself_says_where(run: Run, tmp_path: Path) -> None:
    file = _policy(run, tmp_path / "policy.json", renew_below_s=2_000_000)
    printed = run("offline-policy", "set", str(file), "--reason", "a try", status=1).output
    assert "renew_below_s" in printed
    file = _policy(run, tmp_path / "policy.json")
    assert "reason" in run("offline-policy", "set", str(file), "--reason", " ", status=1).output


def _endow(run: Run, amount: str, *, key: str = "one", status: int = 0) -> str:
    command = ("offline-fund", "endow", amount, "EUR", "--reason", "a try", "--key", key)
    return run(*command, status=status).output


def test_the_fund_is_endowed_once_for_each_key(run: Run) -> None:
    assert "never used" in run("offline-fund", "show").output
    assert (
        _endow(run, "12.50")
        == _endow(run, "12.50")
        == ("The guarantee fund holds 12.50 EUR now.\n")
    )
    assert "used before" in _endow(run, "13", status=1)
    assert "25.50 EUR" in _endow(run, "13", key="two")
    (row,) = json.loads(run("offline-fund", "show", "--json").output)
    assert (row["balance"], row["free"], row["room"]) == (2_550, 2_550, None)
    report = json.loads(run("offline-report", "--json").output)
    assert [each["guarantee_fund"] for each in report["currencies"]] == [2_550]
    assert report["adds_up"] is True


@pytest.mark.parametrize("amount", ["0", "-5", "1.5", "1.555", "1e3", "a lot", "", "9" * 17])
def test_what_is_no_amount_moves_nothing(run: Run, amount: str) -> None:
    command = ("offline-fund", "endow", "--reason", "a try", "--key", "k", "--", amount, "EUR")
    assert "no amount" in run(*command, status=1).output
    assert "never used" in run("offline-fund", "show").output


def test_no_more_is_taken_out_than_is_free(run: Run) -> None:
    _endow(run, "10")
    take = ("offline-fund", "withdraw", "--reason", "a try", "--key", "out")
    assert "1000 minor units" in run(*take, "10.01", "EUR", status=1).output
    assert "XXX" in run(*take, "1", "XXX", status=1).output
    assert "0.00 EUR" in run(*take, "10", "EUR").output
