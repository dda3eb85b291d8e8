"""Refusals of withdrawals, each with a stable code."""

from server.kit.errors import Conflict, Forbidden, TallyError


class WithdrawalTooSmall(TallyError):
    code, title = "withdrawal_too_small", "The amount is too small for a withdrawal"


class WithdrawalTooLarge(TallyError):
    code, title = "withdrawal_too_large", "The amount is too large for one withdrawal"


class WithdrawalUnavailable(TallyError):
    """Nothing carries this currency to this bank account."""

    code, title = "withdrawal_unavailable", "Money cannot be withdrawn this way"


class WithdrawalSent(Conflict):
    """It may be with the bank, so it can no longer be cancelled."""

    code, title = "withdrawal_sent", "The withdrawal is on its way"


class WithdrawalDone(Conflict):
    """It has ended, so there is nothing left to give up."""

    code, title = "withdrawal_done", "The withdrawal has ended"


class PayoutUnderWay(Conflict):
    """The bank has the order, or somebody may be sending it, so its money cannot be given back."""

    code, title = "payout_under_way", "The payout may still be carried out"


class SecondPersonNeeded(Forbidden):
    """Whoever proposed it cannot confirm it."""

    code, title = "second_person_needed", "Another person has to confirm this"
