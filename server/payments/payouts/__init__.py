"""Withdrawals: money out to a bank account, each a durable workflow.

Another slice implements a rail (`server.payments.payouts.rail`), and may tell what it hears of an
order by `apply_answer` and `book_return`, which are safe to repeat.
"""

from server.payments.payouts.carrying import keep_withdrawals, withdrawal_workflow
from server.payments.payouts.desk import PayableAccount, PayoutDesk
from server.payments.payouts.rail import (
    PayoutAnswer,
    PayoutOrder,
    PayoutRail,
    PayoutStatus,
    RailUnavailable,
)
from server.payments.payouts.settlement import apply_answer, book_return

__all__ = [
    "PayableAccount",
    "PayoutAnswer",
    "PayoutDesk",
    "PayoutOrder",
    "PayoutRail",
    "PayoutStatus",
    "RailUnavailable",
    "apply_answer",
    "book_return",
    "keep_withdrawals",
    "withdrawal_workflow",
]
