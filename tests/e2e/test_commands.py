"""The operator's commands, as an operator types them."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root
from server.settings import settings_table

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `tallystick` with a data folder of the test's own."""
    runner = CliRunner(env={"TALLYSTICK_DATA_DIR": str(tmp_path / "data")})

    def run(*arguments: str, status: int = 0, **environment: str) -> Result:
        result = runner.invoke(root, list(arguments), env=environment)
        assert result.exit_code == status, result.output
        return result

    return run


def _database(folder: Path) -> Path:
    return folder / "data" / "tallystick.sqlite"


def test_every_setting_is_listed(run: Run) -> None:
    printed = run("settings").output
    assert all(name in printed for name, _, _ in settings_table())


def test_a_wrong_setting_is_named_and_stops_the_command(run: Run) -> None:
    printed = run("migrate", status=1, TALLYSTICK_PROT="1").output
    assert "TALLYSTICK_PROT" in printed


@pytest.mark.parametrize("command", ["trial-balance", "offline-report"])
def test_a_report_without_a_database_says_what_to_do(run: Run, command: str) -> None:
    printed = run(command, status=1).output
    assert "tallystick serve" in printed


def test_a_fresh_installation_adds_up(run: Run) -> None:
    run("migrate")
    run("keys", "init", "--issuer", "Test Co-op")
    assert json.loads(run("keys", "show", "--json").output)["issuer"] == "Test Co-op"
    assert json.loads(run("trial-balance", "--json").output)["balanced"] is True
    assert json.loads(run("offline-report", "--json").output)["adds_up"] is True
    assert json.loads(run("verify-ledger", "--json").output)["sound"] is True


def test_keys_are_not_made_twice(run: Run) -> None:
    run("keys", "init")
    assert "not empty" in run("keys", "init", status=1).output


def test_migrating_twice_changes_nothing(run: Run, tmp_path: Path) -> None:
    run("migrate")
    with closing(sqlite3.connect(_database(tmp_path))) as connection, connection:
        before = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    run("migrate")
    with closing(sqlite3.connect(_database(tmp_path))) as connection, connection:
        after = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    assert before == after


def test_a_database_of_an_older_version_is_not_read(run: Run, tmp_path: Path) -> None:
    run("migrate")
    with closing(sqlite3.connect(_database(tmp_path))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002_ledger'")
    assert "tallystick migrate" in run("trial-balance", status=1).output


def test_a_role_needs_a_person_and_a_known_role(run: Run) -> None:
    run("migrate")
    assert "nobody" in run("role", "nobody_here", "merchant", status=1).output.lower()
    assert "Invalid value" in run("role", "nobody_here", "king", status=2).output


@pytest.mark.parametrize("head", ["x", "1", "1:zz", ":00"])
def test_a_kept_head_must_be_one(run: Run, head: str) -> None:
    run("migrate")
    run("keys", "init")
    assert "--head" in run("verify-ledger", "--head", head, status=1).output


def test_a_head_that_was_kept_must_still_be_there(run: Run) -> None:
    run("migrate")
    run("keys", "init")
    run("verify-ledger", "--head", "3:" + "ab" * 32, status=1)


def test_there_are_no_messages_before_somebody_registers(run: Run) -> None:
    assert "No message" in run("messages", status=1).output


@pytest.mark.parametrize(
    "command",
    ["serve", "migrate", "settings", "keys", "role", "messages", "verify-ledger", "demo", "wallet"],
)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    assert len(run(command, "--help").output) > 100
