"""Banks at the command line, as an operator types it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from server import cli
from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import UnitOfWork
from server.master_key import load_vault
from server.payments.banks.orders import BankOrder, Purpose, place_order
from server.payments.banks.payees import Payee
from server.settings import Settings
from sim.bank import statements
from sim.bank.files import render_answer, take_file
from sim.bank.payouts import Payouts
from sim.bank.store import Store, today

IBAN = "DE89370400440532013000"
ADD = ("add", "First Bank", "--country", "DE", "--holder", "Tallystick Ltd")
Run = Callable[..., Result]
COMMANDS = {
    "banks": cli.banks,
    "bank-files": cli.bank_files,
    "bank-statement": cli.bank_statement,
    "migrate": cli.migrate,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TALLYSTICK_DATA_DIR", str(tmp_path / "data"))

    def call(name: str, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(COMMANDS[name], arguments)
        assert result.exit_code == status, result.output
        return result

    call("migrate")
    return call


def test_a_bank_is_added_listed_suspended_and_gets_new_secrets(run: Run) -> None:
    assert "no bank yet" in run("banks", "list").output
    api = ("--account", f"EUR={IBAN}", "--api", "https://bank.example/v1/")
    made = json.loads(run("banks", *ADD, *api, "--json").output)
    assert made["webhook"] == f"/v1/webhooks/banks/{made['id']}"
    assert made["secret"].startswith("tsb_")
    assert "already" in run("banks", *ADD, *api, status=1).output
    [row] = json.loads(run("banks", "list", "--json").output)
    assert made["secret"] not in json.dumps(row)
    assert (row["api"], row["status"]) == ("https://bank.example/v1", "active")

    rotated = run("banks", "rotate-secret", "First Bank").output
    assert "tsb_" in rotated
    assert made["secret"] not in rotated
    assert "Two secrets" in run("banks", "rotate-secret", "First Bank", status=1).output
    run("banks", "rotate-secret", made["id"], "--overlap-hours", "0")

    assert "is suspended" in run("banks", "suspend", "First Bank", "--reason", "incident").output
    assert "suspended" in run("banks", "list").output
    assert "is active" in run("banks", "resume", "First Bank", "--reason", "over").output
    assert "No bank is called" in run("banks", "resume", "X", "--reason", "y", status=1).output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--account", "EUR=DE00370400440532013000"), "IBAN is not valid"),
        (("--account", f"XXX={IBAN}"), "not a currency"),
        (("--account", "EUR"), "CURRENCY=ACCOUNT"),
        (("--account", "EUR=1234", "--account", "EUR=5678"), "came before"),
        (("--account", "EUR=1234", "--api", "http://bank.example"), "https"),
        (("--account", "EUR=1234", "--api", "file:///etc/passwd"), "https"),
    ],
)
def test_what_is_no_bank_is_refused(run: Run, options: tuple[str, ...], said: str) -> None:
    assert said in run("banks", *ADD, *options, status=1).output


def test_files_go_to_the_bank_and_its_statement_settles_them(run: Run, tmp_path: Path) -> None:
    made = json.loads(run("banks", *ADD, "--account", f"EUR={IBAN}", "--json").output)
    assert "No order waits" in run("bank-files", "make", "First Bank").output
    asyncio.run(_place_orders(tmp_path / "data", UUID(made["id"])))
    file_id = run("bank-files", "make", "First Bank").output.split()[0]
    path = tmp_path / "orders.xml"
    run("bank-files", "write", file_id, str(path))
    assert path.stat().st_mode & 0o077 == 0
    assert "handed over" in run("bank-files", "handed-over", file_id).output
    assert "2 orders  3.00 EUR  handed over" in run("bank-files", "list", "First Bank").output

    store = Store(tmp_path / "bank.sqlite")
    store.do("INSERT INTO account VALUES ('EUR', ?)", IBAN)
    store.set("modes", '["immediate", "refused"]')
    take_file(Payouts(store), path.read_bytes())
    answer = tmp_path / "answer.xml"
    answer.write_bytes(render_answer(store, UUID(file_id).hex))
    said = run("bank-files", "answer", str(answer), "--bank", "First Bank").output
    assert "1 orders were refused" in said
    paper = tmp_path / "statement.xml"
    paper.write_bytes(statements.render(store, "EUR", today()))
    first = run("bank-statement", "import", str(paper), "--bank", "First Bank").output
    assert "1 lines, 1 match, 1 orders settled" in first
    again = run("bank-statement", "import", str(paper), "--bank", made["id"]).output
    assert "0 orders settled" in again
    assert "imported before" in again
    paper.write_bytes(b"<html>")
    assert (
        "well-formed"
        in run("bank-statement", "import", str(paper), "--bank", "First Bank", status=1).output
    )


async def _place_orders(data: Path, bank: UUID) -> None:
    settings, clock = Settings(data_dir=data), SystemClock()
    engine = create_engine(settings.resolved_database_url)
    uow = UnitOfWork(engine, clock=clock, ids=SystemIds(clock))
    vault = load_vault(settings)
    payee = Payee(name="Ada", iban="DE75512108001245126199")
    for number in (1, 2):
        order = BankOrder(
            tenant=1,
            id=UUID(int=number),
            bank=bank,
            purpose=Purpose.VERIFICATION,
            subject=UUID(int=number),
            amount=100 * number,
            currency="EUR",
            reference="CODE",
            payee=payee,
        )
        await uow.run(lambda tx, order=order: place_order(tx, vault, order))  # type: ignore[misc]
    await engine.dispose()
