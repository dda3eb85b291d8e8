"""Refusals of the ledger. Each is the stored, final outcome of an entry."""

from enum import StrEnum
from uuid import UUID

from server.kit.errors import TallyError


class Refusal(StrEnum):
    """Why an entry was not applied. The value is the error code on the wire."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_OUT_OF_RANGE = "balance_out_of_range"
    ACCOUNT_CLOSED = "account_closed"
    HOLD_UNKNOWN = "hold_unknown"
    HOLD_MISMATCH = "hold_mismatch"
    HOLD_DONE = "hold_done"
    HOLD_EXPIRED = "hold_expired"
    HOLD_EXCEEDED = "hold_exceeded"
    CHAIN_FAILED = "chain_failed"


class EntryRefused(TallyError):
    """The ledger did not apply an entry, and never will under the same id."""

    code, title = "entry_refused", "The movement was refused"


class InsufficientFunds(EntryRefused):
    """The account's available balance does not cover the amount."""

    code, title = "insufficient_funds", "The available balance is too low"


class BalanceOutOfRange(EntryRefused):
    """A balance would leave what 64-bit minor units can hold."""

    code, title = "balance_out_of_range", "The balance would become too large"


class AccountClosed(EntryRefused):
    """One of the two accounts was closed."""

    code, title = "account_closed", "The account is closed"


class HoldUnknown(EntryRefused):
    """No hold has this id, or placing it was refused."""

    code, title = "hold_unknown", "There is no such hold"


class HoldMismatch(EntryRefused):
    """A capture or release named other accounts than the hold."""

    code, title = "hold_mismatch", "The hold is for other accounts"


class HoldDone(EntryRefused):
    """The hold was captured in full or released before."""

    code, title = "hold_done", "Nothing is left of the hold"


class HoldExpired(EntryRefused):
    """The hold's time ran out; what was left went back."""

    code, title = "hold_expired", "The hold has expired"


class HoldExceeded(EntryRefused):
    """A capture asked for more than is left of the hold."""

    code, title = "hold_exceeded", "The hold does not cover the amount"


class ChainFailed(EntryRefused):
    """Another entry of the same chain was refused, so none was applied."""

    code, title = "chain_failed", "Another part of the same movement was refused"


class AccountInUse(TallyError):
    """An account that holds money, or has open holds, cannot be closed."""

    code, status, title = "account_in_use", 409, "The account cannot be closed yet"


_DETAILS: dict[Refusal, tuple[type[EntryRefused], str, str]] = {
    Refusal.INSUFFICIENT_FUNDS: (
        InsufficientFunds,
        "The available balance does not cover the amount.",
        "Add money or choose a smaller amount, and send it as a new request.",
    ),
    Refusal.BALANCE_OUT_OF_RANGE: (
        BalanceOutOfRange,
        "The balance would become larger than the ledger can count.",
        "Choose a smaller amount.",
    ),
    Refusal.ACCOUNT_CLOSED: (
        AccountClosed,
        "One of the two accounts is closed.",
        "Use an account that is open.",
    ),
    Refusal.HOLD_UNKNOWN: (
        HoldUnknown,
        "No hold has this id.",
        "Name the id under which the hold was placed.",
    ),
    Refusal.HOLD_MISMATCH: (
        HoldMismatch,
        "The hold was placed for other accounts.",
        "Name the same debit and credit account as the hold.",
    ),
    Refusal.HOLD_DONE: (
        HoldDone,
        "The hold was captured in full or released before.",
        "Place a new hold.",
    ),
    Refusal.HOLD_EXPIRED: (
        HoldExpired,
        "The hold has expired and its money is available again.",
        "Place a new hold.",
    ),
    Refusal.HOLD_EXCEEDED: (
        HoldExceeded,
        "The amount is more than is left of the hold.",
        "Capture at most what is left.",
    ),
    Refusal.CHAIN_FAILED: (
        ChainFailed,
        "Another entry of the same chain was refused, so none was applied.",
        "Look at the outcome of the other entries.",
    ),
}


def refused(reason: Refusal, entry: UUID) -> EntryRefused:
    """Return the error that tells a caller about a refusal."""
    kind, detail, fix = _DETAILS[reason]
    return kind(detail, fix=fix, entry=str(entry))
