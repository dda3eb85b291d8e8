"""Withdrawals as their owner uses them: ask, look, cancel while nothing was sent.

Asking checks terms and limits, writes the intention down and sets amount and fee aside, in one
transaction. From then on a workflow drives it (`server.payments.payouts.carrying`).
"""

from uuid import UUID

from sqlalchemy import select

from server.kit.auth import Caller
from server.kit.errors import InvalidRequest, NotFound
from server.kit.idempotency import fingerprint, once
from server.kit.schema import Page
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.kit.workflows import WorkflowsUnavailable
from server.payments.limits import LimitKind, LimitUse, use_limits
from server.payments.payouts.carrying import LOOK_FIRST, WORKFLOW, workflow_key
from server.payments.payouts.desk import PayoutDesk
from server.payments.payouts.domain import WithdrawalState
from server.payments.payouts.errors import WithdrawalSent, WithdrawalUnavailable
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.schemas import WithdrawalCreate, WithdrawalView
from server.payments.payouts.settlement import (
    end_unpaid,
    locked_withdrawal,
    movement_of,
    post_chain,
    tell_requested,
)
from server.payments.payouts.terms import terms_of
from server.payments.payouts.views import withdrawal_view

_LABEL_MAX = 64
_log = get_logger(__name__)


async def request_withdrawal(
    desk: PayoutDesk, caller: Caller, data: WithdrawalCreate, *, key: str
) -> WithdrawalView:
    """Set amount and fee aside and have them paid out, once for each key.

    Raises:
        WithdrawalTooSmall, WithdrawalTooLarge: the terms of the currency.
        WithdrawalUnavailable: nothing carries this currency to this account.
        LimitExceeded: a daily or monthly limit would be passed.
        InsufficientFunds: the available balance does not cover amount and fee.
        IdempotencyConflict: the key was used for another withdrawal.
        NotFound, TallyError: the bank account is not the caller's, or is not verified.
    """
    row = await desk.uow.run(lambda tx: _open(tx, desk, caller, data, key))
    if row.state == WithdrawalState.REQUESTED:
        try:
            await desk.book.start(WORKFLOW, workflow_key(row.tenant, row.id))
        except WorkflowsUnavailable as error:
            # The background job starts it as soon as that is possible.
            _log.warning("withdrawal_not_started", withdrawal=str(row.id), error=str(error))
    return withdrawal_view(row)


async def find_withdrawal(tx: Tx, caller: Caller, identifier: UUID) -> WithdrawalRow:
    """Return one of the caller's own withdrawals.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
    """
    row = await tx.session.get(WithdrawalRow, (caller.tenant, identifier))
    if row is None or row.user_id != caller.user_id:
        raise _not_yours()
    return row


async def own_withdrawals(
    tx: Tx, caller: Caller, *, cursor: str | None, limit: int
) -> Page[WithdrawalView]:
    """Return the caller's withdrawals, newest first.

    Raises:
        InvalidRequest: the cursor is not one that this list gave.
    """
    query = (
        select(WithdrawalRow)
        .where(WithdrawalRow.tenant == caller.tenant, WithdrawalRow.user_id == caller.user_id)
        .order_by(WithdrawalRow.id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        try:
            query = query.where(WithdrawalRow.id < UUID(cursor))
        except ValueError:
            raise InvalidRequest(
                "The cursor is not one that this list gave.",
                fix="Use next_cursor of the page before, or leave it out to begin.",
            ) from None
    rows = (await tx.session.scalars(query)).all()
    return Page(
        items=[withdrawal_view(row) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].id) if len(rows) > limit else None,
    )


async def cancel_withdrawal(tx: Tx, caller: Caller, identifier: UUID) -> WithdrawalView:
    """Give a withdrawal back that nobody began to send; cancelling it again changes nothing.

    Raises:
        NotFound: there is none with this id, or it is somebody else's.
        WithdrawalSent: it may be with the bank, or has ended.
    """
    row = await locked_withdrawal(tx, caller.tenant, identifier)
    if row.user_id != caller.user_id:
        raise _not_yours()
    if row.state == WithdrawalState.REQUESTED:
        await end_unpaid(tx, row, WithdrawalState.CANCELLED, "cancelled")
    elif row.state != WithdrawalState.CANCELLED:
        raise WithdrawalSent(
            f"This withdrawal is {row.state}, so it cannot be cancelled.",
            fix="Wait for the bank; what it does not pay comes back to you.",
            state=row.state,
        )
    return withdrawal_view(row)


async def _open(
    tx: Tx, desk: PayoutDesk, caller: Caller, data: WithdrawalCreate, key: str
) -> WithdrawalRow:
    async def insert() -> UUID:
        terms = await terms_of(tx, caller.tenant, data.currency)
        terms.check(data.amount)
        account = await desk.payable_account(tx, caller.tenant, caller.user_id, data.bank_account)
        if account.rail not in desk.rails or account.currency != data.currency:
            raise WithdrawalUnavailable(
                f"Nothing pays {data.currency} to this bank account.",
                fix="Choose another of your bank accounts, or its own currency.",
            )
        use = LimitUse(caller.user_id, LimitKind.WITHDRAWAL, data.currency, data.amount)
        (refusal,) = await use_limits(tx, caller.tenant, [use])
        if refusal is not None:
            raise refusal
        row = WithdrawalRow(
            tenant=caller.tenant,
            id=tx.ids.uuid(),
            user_id=caller.user_id,
            amount=data.amount,
            fee=terms.fee,
            currency=data.currency,
            bank_account=data.bank_account,
            bank_account_label=account.label[:_LABEL_MAX],
            rail=account.rail,
            destination=account.destination,
            source_kind=account.source.kind.value,
            source_owner=account.source.owner,
            state=WithdrawalState.REQUESTED.value,
            calls=0,
            look_at=tx.now + LOOK_FIRST,
            created_at=tx.now,
        )
        tx.session.add(row)
        await tx.session.flush()
        await post_chain(tx, movement_of(row).hold())
        await tell_requested(tx, row)
        return row.id

    identifier = await once(
        tx,
        tenant=caller.tenant,
        owner=caller.user_id,
        operation="withdrawal",
        key=key,
        digest=fingerprint(data),
        answer_type=UUID,
        work=insert,
    )
    return await tx.session.get_one(WithdrawalRow, (caller.tenant, identifier))


def _not_yours() -> NotFound:
    return NotFound("You have no withdrawal with this id.")
