"""What an answer from outside does to a withdrawal and its money, exactly once.

All of it runs under the lock of the withdrawal's row, in the transaction that posts. Whoever hears
first may settle: the workflow that asked, a webhook, a line of a bank's statement.
"""

from typing import Any, Final
from uuid import UUID

from server.kit.errors import NotFound
from server.kit.outbox import Event, emit
from server.kit.telemetry import get_logger
from server.kit.unit_of_work import Tx
from server.ledger import AccountKind, AccountRef, EntryRequest, Refusal, post_many
from server.payments.limits import LimitKind, LimitUse, PastUse, give_back
from server.payments.payouts import events
from server.payments.payouts.domain import WithdrawalState
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.postings import Movement
from server.payments.payouts.rail import PayoutAnswer, PayoutStatus

_REASON_MAX: Final = 64
_log = get_logger(__name__)


async def locked_withdrawal(tx: Tx, tenant: int, identifier: UUID) -> WithdrawalRow:
    """Return a withdrawal, locked until the transaction ends.

    Raises:
        NotFound: there is none with this id.
    """
    row = await tx.session.get(
        WithdrawalRow, (tenant, identifier), with_for_update=True, populate_existing=True
    )
    if row is None:
        raise NotFound("There is no withdrawal with this id.")
    return row


async def apply_answer(
    tx: Tx, tenant: int, identifier: UUID, answer: PayoutAnswer
) -> WithdrawalState:
    """Note what the outside says of an order; a final answer moves the money.

    The same answer again changes nothing. One that contradicts a final state changes nothing
    either and is logged: reconciliation shows it as well.

    Raises:
        NotFound: no withdrawal has this id.
    """
    row = await locked_withdrawal(tx, tenant, identifier)
    state = WithdrawalState(row.state)
    if state.is_final:
        _report_contradiction(row, answer)
        return state
    if answer.external_id is not None:
        row.external_id = answer.external_id
    if answer.status is PayoutStatus.PAID:
        await _paid(tx, row)
    elif answer.status is PayoutStatus.REFUSED:
        await end_unpaid(tx, row, WithdrawalState.REFUSED, answer.reason)
    elif answer.status is PayoutStatus.ACCEPTED and state is not WithdrawalState.SENT:
        row.state, row.sent_at = WithdrawalState.SENT.value, tx.now
        await emit(tx, events.WithdrawalSent(**_facts(row)), tenant=tenant)
    await tx.session.flush()
    return WithdrawalState(row.state)


async def book_return(
    tx: Tx, tenant: int, identifier: UUID, *, external_id: str | None, reason: str | None
) -> WithdrawalState:
    """Credit a paid withdrawal again that the bank sent back; the same again changes nothing.

    One that was not known to be paid yet is captured first, so that the books tell both movements.
    The fee stays.

    Raises:
        NotFound: no withdrawal has this id.
    """
    row = await locked_withdrawal(tx, tenant, identifier)
    if not WithdrawalState(row.state).is_final:
        await _paid(tx, row)
    if row.state != WithdrawalState.PAID:
        if row.state != WithdrawalState.RETURNED:
            _log.error("return_of_unpaid_withdrawal", withdrawal=str(row.id), state=row.state)
        return WithdrawalState(row.state)
    row.state, row.returned_at = WithdrawalState.RETURNED.value, tx.now
    row.reason = _short(reason)
    await tx.session.flush()
    await give_back(tx, tenant, [_past_use(row)])
    await post_chain(tx, movement_of(row).come_back(external_id))
    await emit(tx, events.WithdrawalReturned(**_facts(row), reason=row.reason), tenant=tenant)
    return WithdrawalState.RETURNED


async def end_unpaid(
    tx: Tx, row: WithdrawalRow, state: WithdrawalState, reason: str | None
) -> None:
    """Give amount and fee back; the row is locked and still open."""
    row.state, row.settled_at, row.reason = state.value, tx.now, _short(reason)
    row.stuck_at = row.stuck_reason = None
    await tx.session.flush()
    await give_back(tx, row.tenant, [_past_use(row)])
    await post_chain(tx, movement_of(row).release())
    told: Event = (
        events.WithdrawalCancelled(**_facts(row))
        if state is WithdrawalState.CANCELLED
        else events.WithdrawalRefused(**_facts(row), reason=row.reason)
    )
    await emit(tx, told, tenant=row.tenant)


def movement_of(row: WithdrawalRow) -> Movement:
    return Movement(
        tenant=row.tenant,
        withdrawal=row.id,
        user=row.user_id,
        source=AccountRef(AccountKind(row.source_kind), row.currency, row.source_owner, row.tenant),
        amount=row.amount,
        fee=row.fee,
    )


async def tell_requested(tx: Tx, row: WithdrawalRow) -> None:
    await emit(tx, events.WithdrawalRequested(**_facts(row)), tenant=row.tenant)


async def _paid(tx: Tx, row: WithdrawalRow) -> None:
    row.state, row.settled_at = WithdrawalState.PAID.value, tx.now
    row.sent_at = row.sent_at or tx.now
    row.stuck_at = row.stuck_reason = None
    await tx.session.flush()
    await post_chain(tx, movement_of(row).capture(row.external_id))
    await emit(tx, events.WithdrawalPaid(**_facts(row)), tenant=row.tenant)


async def post_chain(tx: Tx, entries: list[EntryRequest]) -> None:
    """Post entries that belong together.

    Raises:
        EntryRefused: why the ledger refused the one of them that it refused by itself.
    """
    outcomes = await post_many(tx, entries)
    for outcome in sorted(outcomes, key=lambda one: one.reason is Refusal.CHAIN_FAILED):
        outcome.raise_for_refusal()


def _report_contradiction(row: WithdrawalRow, answer: PayoutAnswer) -> None:
    paid = row.state in {WithdrawalState.PAID, WithdrawalState.RETURNED}
    says_paid = answer.status is PayoutStatus.PAID
    if answer.status.is_final and paid is not says_paid:
        _log.error(
            "payout_contradicted", withdrawal=str(row.id), known=row.state, told=answer.status.value
        )


def _facts(row: WithdrawalRow) -> dict[str, Any]:
    return {
        "user_id": row.user_id,
        "withdrawal": row.id,
        "amount": row.amount,
        "fee": row.fee,
        "currency": row.currency,
    }


def _past_use(row: WithdrawalRow) -> PastUse:
    use = LimitUse(row.user_id, LimitKind.WITHDRAWAL, row.currency, row.amount)
    return PastUse(use, row.created_at)


def _short(reason: str | None) -> str | None:
    return None if reason is None else reason[:_REASON_MAX]
