"""HTTP of withdrawals: asking, looking, cancelling."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK

from server.identity import may
from server.kit.auth import Caller
from server.kit.documentation import BODY_REFUSALS, refusals
from server.kit.errors import Forbidden, IdempotencyConflict, NotFound, Unauthenticated
from server.kit.idempotency import check_key
from server.kit.money import UnknownCurrency
from server.kit.schema import PAGE_MAX, Page
from server.kit.unit_of_work import UnitOfWork
from server.ledger import InsufficientFunds
from server.payments.limits import LimitExceeded
from server.payments.payouts import withdrawals
from server.payments.payouts.desk import PayoutDesk
from server.payments.payouts.errors import (
    WithdrawalSent,
    WithdrawalTooLarge,
    WithdrawalTooSmall,
    WithdrawalUnavailable,
)
from server.payments.payouts.schemas import (
    TermsList,
    TermsView,
    WithdrawalCreate,
    WithdrawalView,
)
from server.payments.payouts.terms import all_terms
from server.payments.payouts.views import withdrawal_view

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key", max_length=128)]


@post(
    "/withdrawals",
    summary="Pay money out to your bank account",
    responses=refusals(
        *BODY_REFUSALS,
        Unauthenticated,
        Forbidden,
        NotFound,
        IdempotencyConflict,
        InsufficientFunds,
        LimitExceeded,
        UnknownCurrency,
        WithdrawalTooLarge,
        WithdrawalTooSmall,
        WithdrawalUnavailable,
    ),
)
async def create_withdrawal(
    payouts: NamedDependency[PayoutDesk],
    caller: NamedDependency[Caller],
    data: JSONBody[WithdrawalCreate],
    idempotency_key: IdempotencyKey = None,
) -> WithdrawalView:
    """Set the amount and its fee aside, and hand it to the bank, once for each Idempotency-Key.

    The account must be yours and verified. Look the withdrawal up to see how far it is.
    """
    key = check_key(idempotency_key)
    return await withdrawals.request_withdrawal(payouts, caller, data, key=key)


@get(
    "/withdrawals",
    summary="Your withdrawals, newest first",
    responses=refusals(Unauthenticated, Forbidden),
)
async def list_withdrawals(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    cursor: Annotated[str | None, QueryParameter(max_length=64)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 20,
) -> Page[WithdrawalView]:
    """List your withdrawals; ``next_cursor`` fetches the ones before."""
    return await uow.read(
        lambda tx: withdrawals.own_withdrawals(tx, caller, cursor=cursor, limit=limit)
    )


@get(
    "/withdrawals/terms",
    summary="Minimum, maximum and fee by currency",
    responses=refusals(Unauthenticated, Forbidden),
)
async def show_terms(
    uow: NamedDependency[UnitOfWork], caller: NamedDependency[Caller]
) -> TermsList:
    """Say what a withdrawal in each currency has to be and what it costs, in minor units."""
    terms = await uow.read(lambda tx: all_terms(tx, caller.tenant))
    return TermsList(
        terms=[msgspec.convert(one, TermsView, from_attributes=True) for one in terms.values()]
    )


@get(
    "/withdrawals/{withdrawal_id:uuid}",
    summary="Look up a withdrawal",
    responses=refusals(Unauthenticated, Forbidden, NotFound),
)
async def show_withdrawal(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    withdrawal_id: FromPath[UUID],
) -> WithdrawalView:
    """Say how far one of your withdrawals is, step by step."""
    row = await uow.read(lambda tx: withdrawals.find_withdrawal(tx, caller, withdrawal_id))
    return withdrawal_view(row)


@post(
    "/withdrawals/{withdrawal_id:uuid}/cancel",
    summary="Cancel a withdrawal that was not sent yet",
    status_code=HTTP_200_OK,
    responses=refusals(Unauthenticated, Forbidden, NotFound, WithdrawalSent),
)
async def cancel_withdrawal(
    uow: NamedDependency[UnitOfWork],
    caller: NamedDependency[Caller],
    withdrawal_id: FromPath[UUID],
) -> WithdrawalView:
    """Give amount and fee back to yourself, as long as nothing was handed to the bank.

    Cancelling it again changes nothing, so no Idempotency-Key is needed.
    """
    return await uow.run(lambda tx: withdrawals.cancel_withdrawal(tx, caller, withdrawal_id))


WITHDRAWAL_ROUTES = [
    Router(
        "/v1",
        route_handlers=[
            create_withdrawal,
            list_withdrawals,
            show_terms,
            show_withdrawal,
            cancel_withdrawal,
        ],
        guards=[may("own_money")],
        tags=["Withdrawals"],
    )
]
