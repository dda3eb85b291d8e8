"""A withdrawal as its owner sees it, with its steps in plain words."""

from datetime import datetime

from server.kit.money import Money
from server.payments.payouts.domain import WithdrawalState
from server.payments.payouts.models import WithdrawalRow
from server.payments.payouts.schemas import WithdrawalStep, WithdrawalView

_ENDINGS = {
    WithdrawalState.PAID: "The bank paid it out.",
    WithdrawalState.RETURNED: "The bank paid it out.",
    WithdrawalState.REFUSED: "The bank did not carry it out. Amount and fee are yours again.",
    WithdrawalState.CANCELLED: "You cancelled it. Amount and fee are yours again.",
}


def withdrawal_view(row: WithdrawalRow) -> WithdrawalView:
    state = WithdrawalState(row.state)
    return WithdrawalView(
        id=row.id,
        amount=row.amount,
        fee=row.fee,
        total=row.amount + row.fee,
        currency=row.currency,
        bank_account=row.bank_account,
        bank_account_label=row.bank_account_label,
        state=state.value,
        reason=row.reason,
        can_cancel=state is WithdrawalState.REQUESTED,
        needs_attention=row.stuck_at is not None and not state.is_final,
        created_at=row.created_at,
        settled_at=row.settled_at,
        steps=_steps(row, state),
    )


def _steps(row: WithdrawalRow, state: WithdrawalState) -> list[WithdrawalStep]:
    amount, fee = Money(row.amount, row.currency), Money(row.fee, row.currency)
    told: list[tuple[datetime | None, str]] = [
        (row.created_at, f"You asked for {amount}; it is set aside, with a fee of {fee}."),
        (row.sending_at, "We began to hand it to the bank. It can no longer be cancelled."),
        (row.sent_at, "The bank has it."),
        (
            None if state.is_final else row.stuck_at,
            "The bank gives no clear answer. Your money is safe, and a person is looking at it.",
        ),
        (row.settled_at, _ENDINGS.get(state, "")),
        (row.returned_at, "The bank sent it back. The amount is yours again, the fee is not."),
    ]
    return [WithdrawalStep(at=at, what=what) for at, what in told if at is not None]
