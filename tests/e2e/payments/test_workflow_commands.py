"""The operator's commands about workflows and terms of withdrawals, as an operator types them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from client_sdk.command import root
from server.kit.clock import SystemClock
from server.kit.db import create_engine
from server.kit.ids import SystemIds
from server.kit.unit_of_work import Tx, UnitOfWork
from server.kit.workflow_engine import WorkflowEngine
from server.kit.workflows import RunState, WorkflowBook, WorkflowPlace
from server.ledger import AccountKind, AccountRef
from server.payments.payouts import (
    PayableAccount,
    PayoutAnswer,
    PayoutDesk,
    PayoutOrder,
    RailUnavailable,
    withdrawal_workflow,
)
from server.payments.payouts.carrying import WORKFLOW, workflow_key
from server.payments.payouts.withdrawals import request_withdrawal
from tests.integration.payments.payouts.people import BANK, FAST, rich, wish

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


async def payable(tx: Tx, tenant: int, user_id: UUID, account: UUID) -> PayableAccount:  # noqa: ARG001
    source = AccountRef(AccountKind.BANK_MONEY, "EUR", BANK, tenant)
    return PayableAccount("EUR", "DE••3000", "gone", str(account), source)


class Gone:
    """A rail that takes a wish and is not there when it is carried out."""

    name = "gone"

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        raise RailUnavailable(str(order.id))

    find = send


async def strand(path: Path) -> str:
    """Leave a dead workflow behind; return its key."""
    url = f"sqlite+aiosqlite:///{path}"
    place, clock, database = WorkflowPlace.beside(url), SystemClock(), create_engine(url)
    uow = UnitOfWork(database, clock=clock, ids=SystemIds(clock))
    book = WorkflowBook(place)
    asking = PayoutDesk(uow, book, payable, {"gone": Gone()}, FAST)
    carrying = PayoutDesk(uow, book, payable, {}, FAST)
    engine = WorkflowEngine(uow, place, [withdrawal_workflow(carrying)], executor="one")
    await engine.open()
    await engine.opened()
    view = await request_withdrawal(asking, await rich(uow), wish(), key="k")
    key = workflow_key(1, view.id)
    while (found := await book.find(WORKFLOW, key)) is None or found.state is not RunState.DEAD:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await book.close()
    await engine.close()
    await database.dispose()
    return key


def test_a_dead_letter_is_listed_shown_replayed_and_given_up(run: Run, tmp_path: Path) -> None:
    assert run("workflows", "list").output == "No workflow waits for a person.\n"
    key = asyncio.run(strand(tmp_path / "data" / "tallystick.sqlite"))
    listed = run("workflows", "list").output
    assert f"withdrawal {key}" in listed
    assert "holds 25.00 EUR" in listed
    shown = run("workflows", "show", "withdrawal", key).output
    assert "reason: no rail is called gone" in shown
    assert "call     " in shown
    assert "withdrawal of 25.00 EUR to DE••3000: sending" in shown
    assert "a person is looking at it" in shown
    early = run("workflows", "give-up", "withdrawal", key, "--reason", "so", status=1)
    assert "may still be under way" in early.output
    assert "takes it up" in run("workflows", "replay", "withdrawal", key).output
    assert run("workflows", "replay", "withdrawal", key, status=1).output.startswith("Error: This")
    assert f"withdrawal {key}" not in run("workflows", "list").output
    for wrong in (("show", "withdrawal", "1.x"), ("replay", "nothing", "1.x")):
        assert "Error: There is no" in run("workflows", *wrong, status=1).output


def test_terms_are_shown_and_set(run: Run) -> None:
    assert (
        "TRY: from 100.00 TRY to 50000.00 TRY, fee 5.00 TRY"
        in run("withdrawal-terms", "show").output
    )
    figures = ("--minimum", "5000", "--maximum", "900000", "--fee", "0")
    run("withdrawal-terms", "set", "TRY", *figures)
    assert (
        "TRY: from 50.00 TRY to 9000.00 TRY, fee 0.00 TRY" in run("withdrawal-terms", "show").output
    )
    assert "not a currency" in run("withdrawal-terms", "set", "XXX", *figures, status=1).output
    bad = ("--minimum", "5000", "--maximum", "1", "--fee", "0")
    assert "minimum" in run("withdrawal-terms", "set", "TRY", *bad, status=1).output
