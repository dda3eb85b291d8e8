"""HTTP of disputes: contesting a conflict, looking at the evidence, deciding."""

from typing import Annotated, Literal

from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, NotFound, Unauthenticated, Unavailable
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import Tx, UnitOfWork
from server.offline import cases, disputes
from server.offline.domain import OfflinePolicy
from server.offline.errors import (
    DisputeDecided,
    DisputeExists,
    DisputeTooLate,
    FundTooLow,
    OwnCase,
    SettlementUnsound,
)
from server.offline.issuer_keys import IssuerKeys
from server.offline.oversight_schemas import (
    CaseView,
    DisputeCreate,
    DisputeDecision,
    DisputeItem,
    DisputeView,
)
from server.offline.own_controllers import built_in_policy
from server.offline.queries import conflict_key
from server.offline.settlement import run_settling

ConflictId = Annotated[str, PathParameter(max_length=64)]
State = Literal["open", "proposed", "upheld", "overturned"]


@post(
    "/offline/conflicts/{conflict_id:str}/dispute",
    summary="Contest a conflict of your device",
    guards=[may("own_money")],
    status_code=HTTP_200_OK,
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        DisputeExists,
        DisputeTooLate,
        Unavailable,
    ),
)
async def open_dispute(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    policy: NamedDependency[OfflinePolicy],
    conflict_id: ConflictId,
    data: JSONBody[DisputeCreate],
) -> DisputeView:
    """Say why you should not bear the cost; saying the same again changes nothing.

    It needs no enrolled device, since the accused one is blocked.
    """
    conflict = conflict_key(conflict_id)

    async def command(tx: Tx) -> DisputeView:
        await disputes.open_dispute(tx, caller, policy, conflict=conflict, statement=data.statement)
        return await cases.dispute_view(tx, caller, conflict)

    return await run_settling(uow, caller.tenant, command)


@get(
    "/offline/conflicts/{conflict_id:str}/dispute",
    summary="Where a dispute stands",
    guards=[may("own_money")],
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_dispute(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], conflict_id: ConflictId
) -> DisputeView:
    """Return the steps of a dispute to the accused and to the victims of its conflict."""
    conflict = conflict_key(conflict_id)
    return await uow.read(lambda tx: cases.dispute_view(tx, caller, conflict))


@get(
    "/offline/disputes",
    summary="Disputes to decide, the oldest first",
    guards=[may("oversee_offline")],
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_disputes(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    dispute_state: Annotated[State, QueryParameter(name="state")] = "open",
    cursor: Annotated[str | None, QueryParameter(max_length=512)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 50,
) -> Page[DisputeItem]:
    """List disputes of one state."""
    return await uow.read(
        lambda tx: cases.list_disputes(
            tx, caller.tenant, state=dispute_state, cursor=cursor, limit=limit
        )
    )


@get(
    "/offline/conflicts/{conflict_id:str}/case",
    summary="The evidence of a conflict, and all that came of it",
    guards=[may("oversee_offline")],
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_case(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    issuer_keys: NamedDependency[IssuerKeys],
    policy: NamedDependency[OfflinePolicy],
    conflict_id: ConflictId,
) -> CaseView:
    """Return both transfers as they were signed, the parties, what was paid, and every step."""
    conflict = conflict_key(conflict_id)
    key_set = issuer_keys.key_set.body
    return await uow.read(
        lambda tx: cases.case_view(tx, caller, conflict, key_set=key_set, policy=policy)
    )


@post(
    "/offline/conflicts/{conflict_id:str}/dispute/decision",
    summary="Decide a dispute",
    guards=[may("decide_disputes")],
    status_code=HTTP_200_OK,
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        OwnCase,
        NotFound,
        DisputeDecided,
        FundTooLow,
        Unavailable,
        SettlementUnsound,
    ),
)
async def decide_dispute(
    *,
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    issuer_keys: NamedDependency[IssuerKeys],
    policy: NamedDependency[OfflinePolicy],
    conflict_id: ConflictId,
    data: JSONBody[DisputeDecision],
) -> CaseView:
    """Uphold it, or overturn it and say who bears the cost in place of the accused.

    Above the policy's amount the state is ``proposed`` until another officer decides the same.
    """
    conflict = conflict_key(conflict_id)
    key_set = issuer_keys.key_set.body

    async def command(tx: Tx) -> CaseView:
        await disputes.decide(tx, caller, policy, conflict=conflict, decision=data)
        return await cases.case_view(tx, caller, conflict, key_set=key_set, policy=policy)

    return await run_settling(uow, caller.tenant, command)


DISPUTE_ROUTES = [
    Router(
        "/v1",
        route_handlers=[open_dispute, show_dispute, list_disputes, show_case, decide_dispute],
        dependencies={"policy": Provide(built_in_policy, sync_to_thread=False)},
        tags=["Disputes"],
    )
]
