"""The books at the command line, as an operator and a user type them."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from client_sdk.cli import check_liabilities
from client_sdk.command import SUMMARIES
from server import cli
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.ledger import (
    AccountKind,
    AccountRef,
    EntryRequest,
    LiabilityProof,
    NothingPublished,
    OutsideLine,
    post_many,
    prove_liability,
    reconcile,
)
from tests.fakes.clock import ManualClock

Run = Callable[..., Result]
LONG_AGO = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ANNA = AccountRef(AccountKind.USER_AVAILABLE, "EUR", UUID(int=1))
GATEWAY = AccountRef(AccountKind.HOUSE_CARD_GATEWAY, "EUR")
COMMANDS = {
    "migrate": cli.migrate,
    "keys": cli.keys,
    "trial-balance": cli.trial_balance,
    "verify-ledger": cli.verify_ledger,
    "close-day": cli.close_day,
    "liabilities": cli.liabilities,
    "checkpoints": cli.checkpoints,
    "reconcile": cli.reconcile,
    "account": cli.account,
    "check-liabilities": check_liabilities,
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command with a data folder of the test's own, which has books from long ago."""
    runner = CliRunner(env={"TALLYSTICK_DATA_DIR": str(tmp_path / "data")})

    def run(name: str, *arguments: str, status: int = 0) -> Result:
        result = runner.invoke(COMMANDS[name], list(arguments))
        assert result.exit_code == status, result.output
        return result

    run("migrate")
    run("keys", "init")
    return run


def _work(tmp_path: Path) -> LiabilityProof | None:
    """Give Anna 25.00 EUR in March, and return her proof if there is one."""

    async def work() -> LiabilityProof | None:
        engine = create_engine(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'tallystick.sqlite'}")
        clock = ManualClock(LONG_AGO)
        uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
        memo = {"external_id": "pay_1"}
        request = EntryRequest(UUID(int=9), "test", GATEWAY, ANNA, 2_500, memo=memo)
        lines = [OutsideLine("pay_1", 2_500, "EUR", LONG_AGO.date(), "paid")]
        try:
            await uow.run(lambda tx: post_many(tx, [request]))
            await uow.run(lambda tx: reconcile(tx, GATEWAY, "s1", lines, closing_balance=2_500))
            assert ANNA.owner is not None
            owner = ANNA.owner
            return await uow.read(lambda tx: prove_liability(tx, 1, owner, "EUR"))
        except NothingPublished:
            return None
        finally:
            await engine.dispose()

    return asyncio.run(work())


def test_a_day_is_closed_published_and_checked(run: Run, tmp_path: Path) -> None:
    assert _work(tmp_path) is None
    printed = run("close-day", "--day", "2026-03-02").output
    assert "2026-03-02 is closed: 2 postings on 2 accounts" in printed
    assert "closed before" in run("close-day", "--day", "2026-03-02").output
    trial = json.loads(run("trial-balance", "--day", "2026-03-02", "--json").output)
    assert {line["kind"]: line["amount"] for line in trial["lines"]} == {
        "user_available": 2_500,
        "house_card_gateway": 2_500,
    }
    assert "25.00 EUR to 1 people" in run("liabilities", "publish").output
    root, proof = tmp_path / "root.json", tmp_path / "proof.json"
    root.write_text(run("liabilities", "show", "--currency", "EUR").output)
    found = _work(tmp_path)
    assert found is not None
    proof.write_text(json.dumps(found.as_json()))
    arguments = (str(proof), "--root", str(root))
    assert "Good: 2500" in run("check-liabilities", *arguments).output
    key = found.root.public_key.hex()
    said = run(
        "check-liabilities", *arguments, "--key", key, "--user", str(ANNA.owner), "--json"
    ).output
    assert json.loads(said)["good"] is True
    for wrong in (("--balance", "2499"), ("--key", "00"), ("--user", str(UUID(int=2)))):
        assert "NOT GOOD" in run("check-liabilities", *arguments, *wrong, status=1).output
    proof.write_text(proof.read_text().replace('"2500"', '"2501"', 1))
    wrong_proof = run("check-liabilities", *arguments, "--json", status=1).output
    assert json.loads(wrong_proof)["good"] is False
    report = json.loads(run("verify-ledger", "--json").output)
    assert report["closed_days"]["1"]["day"] == "2026-03-02"


def test_a_day_that_is_not_over_is_not_closed(run: Run) -> None:
    ahead = date.today() + timedelta(days=3)  # noqa: DTZ011 - any day to come
    assert "midnight" in run("close-day", "--day", str(ahead), status=1).output
    assert "close-day" in run("liabilities", "publish", status=1).output
    assert (
        "Nothing is published" in run("liabilities", "show", "--currency", "EUR", status=1).output
    )
    assert json.loads(run("liabilities", "show").output) == []
    assert "not closed" in run("trial-balance", "--day", "2026-03-02", status=1).output
    both = run("trial-balance", "--day", "2026-03-02", "--at", "2026-03-02T09:00", status=1)
    assert "not both" in both.output


def test_checkpoints_are_kept_and_compared(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    _work(tmp_path)
    run("close-day", "--day", "2026-03-02")
    run("checkpoints", "export", str(file))
    run("close-day", "--day", "2026-03-03")
    run("checkpoints", "export", str(file))
    assert len(file.read_text().splitlines()) == 2
    assert json.loads(run("checkpoints", "verify", str(file), "--json").output)["sound"] is True
    first = file.read_text().splitlines()[0]
    kept = json.loads(first)
    kept["day"]["hash"] = "00" * 32
    file.write_text(json.dumps(kept))
    assert "BROKEN" in run("checkpoints", "verify", str(file), status=1).output
    file.write_text("something else")
    assert "something else" in run("checkpoints", "verify", str(file), status=1).output
    run("checkpoints", "export", str(tmp_path / "no" / "folder"), status=1)


def test_reconciliation_is_shown_with_the_offline_float(run: Run, tmp_path: Path) -> None:
    assert "No account mirrors" in run("reconcile").output
    _work(tmp_path)
    printed = run("reconcile").output
    assert "house_card_gateway EUR: 25.00 EUR here on 2026-03-02, statement s1" in printed
    assert "Offline: the float" in printed
    document = json.loads(run("reconcile", "--json").output)
    assert document["sound"] is True
    assert document["mirrors"][0]["unexplained"] == 0


def test_accounts_are_shown_limited_and_closed(run: Run, tmp_path: Path) -> None:
    _work(tmp_path)
    name = f"user_available/EUR/{ANNA.owner}"
    assert "25.00 EUR" in run("account", "show", name).output
    assert "25.00 EUR" in run("account", "show", str(ANNA.id)).output
    limit = ("account", "limit", name, "--reason", "agreed", "--")
    assert "never below -500" in run(*limit, "-500").output
    assert "Error" in run(*limit, "2501", status=1).output
    assert "whole number" in run(*limit, "5.00", status=1).output
    assert "still holds money" in run("account", "close", name, status=1).output
    for wrong in ("nothing", "house_fees/XXX", "house_fees", "user_available/EUR", "a/b/c/d"):
        run("account", "show", wrong, status=1)


def test_every_new_command_is_listed_and_shows_an_example(run: Run) -> None:
    for name in COMMANDS:
        assert name in SUMMARIES
    examples = ["close-day", "reconcile", "check-liabilities", "trial-balance"]
    assert all("Example" in run(name, "--help").output for name in examples)
    for group, name in (
        ("account", "limit"),
        ("account", "close"),
        ("checkpoints", "export"),
        ("checkpoints", "verify"),
        ("liabilities", "publish"),
    ):
        assert "Example" in run(group, name, "--help").output
