"""What operators do at the command line: workflows that failed, terms of withdrawals. Texts."""

from datetime import datetime

from server.kit.money import Money
from server.kit.unit_of_work import Tx
from server.payments.payouts.desk import PayoutDesk
from server.payments.payouts.domain import Terms
from server.payments.payouts.operating import (
    COMMAND_LINE,
    DeadLetter,
    give_up,
    replay_workflow,
    show_workflow,
    stuck_withdrawals,
)
from server.payments.payouts.terms import all_terms
from server.payments.payouts.views import withdrawal_view

_SHOWN_MAX = 200
_OUTCOMES = {
    "paid": "The bank says that it was paid, so it is booked as paid.",
    "given_back": "Nothing was paid. Amount and fee are the user's again.",
    "proposed": "The bank cannot say. Another person has to give it up as well: "
    "POST /v1/workflows/{workflow}/{key}/give-up.",
}


async def dead_letter_lines(desk: PayoutDesk) -> list[str]:
    """Return one line for each workflow that failed, and for each withdrawal that is stuck."""
    lines = [
        f"{one.workflow} {one.key}  failed {_at(one.changed_at)}  {one.reason}"
        for one in await desk.book.dead_letters(limit=_SHOWN_MAX)
    ]
    for row in await desk.uow.read(lambda tx: stuck_withdrawals(tx, desk.tenant)):
        amount = Money(row.amount, row.currency)
        lines.append(f"  holds {amount} of withdrawal {row.id}: {row.stuck_reason}")
    return lines or ["No workflow waits for a person."]


async def workflow_lines(desk: PayoutDesk, workflow: str, key: str) -> list[str]:
    """Return what is known of a workflow, its steps, and its withdrawal.

    Raises:
        NotFound: it was never started.
    """
    return _lines(await show_workflow(desk, workflow, key))


async def replay_line(desk: PayoutDesk, workflow: str, key: str) -> str:
    """Run a dead workflow again; a server that is running takes it up.

    Raises:
        NotFound, WorkflowRunning: there is nothing to replay.
    """
    await replay_workflow(desk, workflow, key, by=COMMAND_LINE)
    return "It begins again as soon as a server takes it up."


async def give_up_line(desk: PayoutDesk, workflow: str, key: str, reason: str) -> str:
    """Stop trying to pay a stuck withdrawal.

    Raises:
        TallyError: it cannot be given up; the text says why.
    """
    outcome, _ = await give_up(desk, workflow, key, by=COMMAND_LINE, reason=reason)
    return _OUTCOMES[outcome].format(workflow=workflow, key=key)


async def terms_lines(tx: Tx, tenant: int) -> list[str]:
    """Return one line for each currency."""
    return [_terms_line(terms) for terms in (await all_terms(tx, tenant)).values()]


def _terms_line(terms: Terms) -> str:
    least, most, fee = (
        Money(amount, terms.currency) for amount in (terms.minimum, terms.maximum, terms.fee)
    )
    return f"{terms.currency}: from {least} to {most}, fee {fee}"


def _lines(found: DeadLetter) -> list[str]:
    run = found.run
    lines = [
        f"{run.workflow} {run.key}: {run.state.value}",
        f"started {_at(run.started_at)}, changed {_at(run.changed_at)}",
        f"taken up {run.attempts} times, last by {run.executor or 'nobody'}",
    ]
    if run.reason is not None:
        lines.append(f"reason: {run.reason}")
    lines += [
        f"  {step.number:>3} {step.name:<8} {_at(step.began_at)}"
        + ("  FAILED" if step.failed else "")
        for step in found.steps[-_SHOWN_MAX:]
    ]
    if found.withdrawal is not None:
        view = withdrawal_view(found.withdrawal)
        amount = Money(view.amount, view.currency)
        lines.append(f"withdrawal of {amount} to {view.bank_account_label}: {view.state}")
        lines += [f"  {_at(step.at)} {step.what}" for step in view.steps]
    return lines


def _at(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
