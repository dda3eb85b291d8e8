"""HTTP for officers: money without a known owner, and what banks said that does not fit."""

from typing import Annotated
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.crypto import Vault
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from server.kit.schema import PAGE_MAX
from server.kit.unit_of_work import Tx, UnitOfWork
from server.payments.banks import desk, suspense
from server.payments.banks.errors import BankAccountInvalid, DepositDecided, PayerUnknown
from server.payments.banks.models import BankBreakRow, BankDepositRow
from server.payments.banks.payees import mask_number
from server.payments.banks.schemas import (
    BankBreakView,
    BreakClosing,
    SuspendedDeposit,
    SuspenseDecision,
)
from server.settings import Settings

Limit = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]


@get(
    "/suspense",
    summary="Money without a known owner, the oldest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_suspense(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    caller: NamedDependency[Caller],
    limit: Limit = PAGE_MAX,
) -> list[SuspendedDeposit]:
    """List what waits for a decision."""
    rows = await uow.read(lambda tx: suspense.in_suspense(tx, caller.tenant, limit=limit))
    return [_deposit(vault, row) for row in rows]


@post(
    "/suspense/{deposit_id:uuid}/decision",
    summary="Give the money to a user, or send it back",
    status_code=HTTP_200_OK,
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        DepositDecided,
        PayerUnknown,
        BankAccountInvalid,
    ),
)
async def decide(
    uow: NamedDependency[UnitOfWork],
    vault: NamedDependency[Vault],
    settings: NamedDependency[Settings],
    caller: NamedDependency[Caller],
    deposit_id: FromPath[UUID],
    data: JSONBody[SuspenseDecision],
) -> SuspendedDeposit:
    """Decide. Where the server wants four eyes, a second officer has to decide the same."""
    if (data.action == "assign") != (data.user_id is not None):
        raise InvalidRequest("Assigning names a user, returning names none.", field="user_id")
    decision = suspense.Decision(data.action, data.reason, data.user_id)

    async def command(tx: Tx) -> BankDepositRow:
        return await suspense.decide(
            tx, vault, caller, deposit_id, decision, four_eyes=settings.suspense_four_eyes
        )

    return _deposit(vault, await uow.run(command))


@get(
    "/breaks",
    summary="What banks said that does not fit, the oldest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_breaks(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller], limit: Limit = PAGE_MAX
) -> list[BankBreakView]:
    """List what is open: conflicting announcements, currencies not agreed, orders contradicted."""
    rows = await uow.read(lambda tx: desk.open_breaks(tx, caller.tenant, limit=limit))
    return [_break(row) for row in rows]


@post(
    "/breaks/{break_id:uuid}/closing",
    summary="Close what was looked into",
    status_code=HTTP_200_OK,
    responses=refusals(*BODY_REFUSALS, Unauthenticated, Forbidden, NotFound),
)
async def close_break(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    break_id: FromPath[UUID],
    data: JSONBody[BreakClosing],
) -> BankBreakView:
    """Say what it was. This moves no money."""

    async def command(tx: Tx) -> BankBreakRow:
        by = await desk.officer_of(tx, caller)
        return await desk.close_break(tx, caller.tenant, by, break_id, note=data.note)

    return _break(await uow.run(command))


def _deposit(vault: Vault, row: BankDepositRow) -> SuspendedDeposit:
    payer = suspense.payer_of(vault, row)
    shown = None
    if payer is not None:
        shown = f"{payer.name}, {mask_number(payer.iban or payer.account_number or '')}"
    return SuspendedDeposit(
        id=row.id,
        bank_id=row.bank,
        transaction_id=row.transaction_id,
        amount=row.amount,
        currency=row.currency,
        taken_back=row.taken_back,
        booked_on=row.booked_on,
        reference=row.reference,
        payer=shown,
        cause=row.cause,
        received_at=row.received_at,
        proposed=None if row.proposal is None else str(row.proposal["action"]),
        state=row.state,
    )


def _break(row: BankBreakRow) -> BankBreakView:
    return BankBreakView(
        id=row.id,
        bank_id=row.bank,
        kind=row.kind,
        subject=row.subject,
        detail=row.detail,
        state=row.state,
        note=row.note,
        at=row.at,
    )


BANK_DESK_ROUTES = [
    Router(
        "/v1/bank-desk",
        route_handlers=[list_suspense, decide, list_breaks, close_break],
        guards=[may("bank_desk")],
        tags=["Banks"],
    )
]
