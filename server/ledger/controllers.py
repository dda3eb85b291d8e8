"""HTTP of the ledger: what users read about their own money."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from server.identity import may
from server.kit.auth import OPEN_ROUTE, Caller
from server.kit.documentation import refusals
from server.kit.errors import Forbidden, NotFound, Unauthenticated
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX
from server.kit.unit_of_work import UnitOfWork
from server.ledger import views
from server.ledger.book_errors import NothingPublished, NotSealedYet
from server.ledger.entry_proofs import prove_own_entry
from server.ledger.liabilities import liability_roots, prove_liability
from server.ledger.officer_controllers import OFFICER_ROUTES
from server.ledger.schemas import (
    CheckpointView,
    EntryProofView,
    LiabilityProofView,
    LiabilityRoots,
    StatementView,
)
from server.settings import Settings

Currency = Annotated[str, QueryParameter(pattern="^[A-Z][A-Z0-9]{2,9}$")]
_OWN = [may("own_money")]


@get(
    "/statements",
    summary="What an account of yours did in a period",
    guards=_OWN,
    responses=refusals(Unauthenticated, Forbidden, UnknownCurrency),
)
async def show_statement(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    currency: Currency,
    account: FromQuery[Literal["available", "emergency", "collateral"]] = "available",
    begin: FromQuery[datetime | None] = None,
    end: FromQuery[datetime | None] = None,
    cursor: Annotated[str | None, QueryParameter(max_length=18)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 50,
) -> StatementView:
    """List movements with the balance before, after each of them, and at the end.

    The period is in the time at which movements were recorded; it is the last thirty days when
    left out. A period that is over never changes.
    """
    return await uow.read(
        lambda tx: views.own_statement(
            tx,
            caller,
            currency=currency,
            account=account,
            begin=begin,
            end=end,
            cursor=cursor,
            limit=limit,
        )
    )


@get("/ledger/checkpoint", summary="The present end of the books", opt={OPEN_ROUTE: True})
async def show_checkpoint(
    uow: NamedDependency[UnitOfWork], settings: NamedDependency[Settings]
) -> CheckpointView:
    """Return the last seal and the last closed day, signed.

    Whoever keeps them can tell later whether anything before was changed.
    """
    return await uow.read(lambda tx: views.checkpoint(tx, settings.tenant))


@get("/liabilities", summary="What we owe all users", opt={OPEN_ROUTE: True})
async def show_liabilities(
    uow: NamedDependency[UnitOfWork], settings: NamedDependency[Settings]
) -> LiabilityRoots:
    """Return the last published root of each currency: the sum over what all users had."""
    roots = await uow.read(lambda tx: liability_roots(tx, settings.tenant))
    return LiabilityRoots(items=[views.root_view(root) for root in roots])


@get(
    "/liabilities/proof",
    summary="The proof that your money is part of it",
    guards=_OWN,
    responses=refusals(Unauthenticated, Forbidden, NothingPublished),
)
async def show_liability_proof(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    currency: Currency,
    round_number: Annotated[int | None, QueryParameter(name="round", ge=1, le=2**62)] = None,
) -> LiabilityProofView:
    """Return your leaf and the way to the published root, for `tallystick check-liabilities`."""
    proof = await uow.read(
        lambda tx: prove_liability(tx, caller.tenant, caller.user_id, currency, number=round_number)
    )
    return views.proof_view(proof)


@get(
    "/entries/{entry_id:uuid}/proof",
    summary="The proof that a movement of yours is sealed",
    guards=_OWN,
    responses=refusals(Unauthenticated, Forbidden, NotFound, NotSealedYet),
)
async def show_entry_proof(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], entry_id: FromPath[UUID]
) -> EntryProofView:
    """Return the way from one of your movements to a signed seal.

    It shows the movement and your own balance after it; of the other side only a hash.
    """
    own = await uow.read(lambda tx: prove_own_entry(tx, caller.tenant, caller.user_id, entry_id))
    return views.entry_proof_view(entry_id, own)


LEDGER_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            show_statement,
            show_entry_proof,
            show_checkpoint,
            show_liabilities,
            show_liability_proof,
        ],
        tags=["Ledger"],
    ),
    *OFFICER_ROUTES,
]
