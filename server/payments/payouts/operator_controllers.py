"""HTTP for operators: workflows that failed beyond their retries."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, NotFound, Unauthenticated
from server.kit.schema import PAGE_MAX, Page
from server.kit.workflows import WorkflowRunning, WorkflowsUnavailable
from server.payments.payouts import operating
from server.payments.payouts.desk import PayoutDesk
from server.payments.payouts.errors import PayoutUnderWay, SecondPersonNeeded, WithdrawalDone
from server.payments.payouts.schemas import GivenUp, GiveUp, StuckItem, StuckView, WorkflowStep
from server.payments.payouts.views import withdrawal_view

Name = Annotated[str, PathParameter(max_length=64)]
Key = Annotated[str, PathParameter(max_length=128)]
Offset = Annotated[int | None, QueryParameter(ge=0, le=10_000)]


@get(
    "/workflows/dead-letters",
    summary="Workflows that failed beyond their retries, newest first",
    responses=refusals(Unauthenticated, Forbidden, WorkflowsUnavailable),
)
async def list_dead_letters(
    payouts: NamedDependency[PayoutDesk],
    cursor: Offset = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 50,
) -> Page[StuckItem]:
    """List what waits for a person; empty is how it should be."""
    begin = cursor or 0
    found = await payouts.book.dead_letters(limit=limit + 1, offset=begin)
    return Page(
        items=[
            StuckItem(
                workflow=one.workflow,
                key=one.key,
                reason=one.reason,
                started_at=one.started_at,
                failed_at=one.changed_at,
                times_taken_up=one.attempts,
            )
            for one in found[:limit]
        ],
        next_cursor=str(begin + limit) if len(found) > limit else None,
    )


@get(
    "/workflows/{workflow:str}/{key:str}",
    summary="A workflow and its steps",
    responses=refusals(Unauthenticated, Forbidden, NotFound, WorkflowsUnavailable),
)
async def show_workflow(
    payouts: NamedDependency[PayoutDesk], workflow: Name, key: Key
) -> StuckView:
    """Show how far a workflow came; what its steps returned is not shown."""
    return _view(await operating.show_workflow(payouts, workflow, key))


@post(
    "/workflows/{workflow:str}/{key:str}/replay",
    summary="Run a dead workflow again",
    status_code=HTTP_200_OK,
    responses=refusals(Unauthenticated, Forbidden, NotFound, WorkflowRunning, WorkflowsUnavailable),
)
async def replay_workflow(
    payouts: NamedDependency[PayoutDesk],
    caller: NamedDependency[Caller],
    workflow: Name,
    key: Key,
) -> StuckView:
    """Begin it again at its first step. No step has its effect twice."""
    await operating.replay_workflow(payouts, workflow, key, by=caller.user_id)
    return _view(await operating.show_workflow(payouts, workflow, key))


@post(
    "/workflows/{workflow:str}/{key:str}/give-up",
    summary="Stop trying to pay a stuck withdrawal",
    status_code=HTTP_200_OK,
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        PayoutUnderWay,
        SecondPersonNeeded,
        WithdrawalDone,
        WorkflowRunning,
        WorkflowsUnavailable,
    ),
)
async def give_up(
    payouts: NamedDependency[PayoutDesk],
    caller: NamedDependency[Caller],
    workflow: Name,
    key: Key,
    data: JSONBody[GiveUp],
) -> GivenUp:
    """Ask the bank once more, and give the money back if it paid nothing.

    If the bank cannot say, the answer is ``proposed``, and another person has to send the same.
    """
    outcome, row = await operating.give_up(
        payouts, workflow, key, by=caller.user_id, reason=data.reason
    )
    return GivenUp(outcome=outcome, withdrawal=withdrawal_view(row))


def _view(found: operating.DeadLetter) -> StuckView:
    run = found.run
    return StuckView(
        workflow=run.workflow,
        key=run.key,
        state=run.state.value,
        reason=run.reason,
        executor=run.executor,
        started_at=run.started_at,
        changed_at=run.changed_at,
        times_taken_up=run.attempts,
        steps=[
            WorkflowStep(
                number=step.number,
                name=step.name,
                failed=step.failed,
                began_at=step.began_at,
                ended_at=step.ended_at,
            )
            for step in found.steps
        ],
        withdrawal=None if found.withdrawal is None else withdrawal_view(found.withdrawal),
    )


WORKFLOW_ROUTES = [
    Router(
        "/v1",
        route_handlers=[list_dead_letters, show_workflow, replay_workflow, give_up],
        guards=[may("operate_payouts")],
        tags=["Operators"],
    )
]
