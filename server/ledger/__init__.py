"""The ledger: double entry, append-only, guarded by the database itself.

Money moves by `post_many` alone. Amounts are whole minor units; inside, a credit adds.
"""

from server.ledger.chain import EntryProof, Seal, prove_entry, seal_once
from server.ledger.chart import AccountClass, AccountKind, AccountRef
from server.ledger.closing import close_account
from server.ledger.domain import EntryRequest, Operation, Outcome
from server.ledger.entries import BATCH_MAX, post_many
from server.ledger.errors import (
    AccountClosed,
    AccountInUse,
    BalanceOutOfRange,
    ChainFailed,
    EntryRefused,
    HoldDone,
    HoldExceeded,
    HoldExpired,
    HoldMismatch,
    HoldUnknown,
    InsufficientFunds,
    Refusal,
)
from server.ledger.holds import OpenHold, expire_holds, open_holds
from server.ledger.queries import (
    Balance,
    StatementLine,
    accounts_of,
    balance,
    balance_at,
    statement,
)
from server.ledger.trial_balance import TrialBalance, trial_balance
from server.ledger.verification import Break, LedgerReport, verify_ledger

__all__ = [
    "BATCH_MAX",
    "AccountClass",
    "AccountClosed",
    "AccountInUse",
    "AccountKind",
    "AccountRef",
    "Balance",
    "BalanceOutOfRange",
    "Break",
    "ChainFailed",
    "EntryProof",
    "EntryRefused",
    "EntryRequest",
    "HoldDone",
    "HoldExceeded",
    "HoldExpired",
    "HoldMismatch",
    "HoldUnknown",
    "InsufficientFunds",
    "LedgerReport",
    "OpenHold",
    "Operation",
    "Outcome",
    "Refusal",
    "Seal",
    "StatementLine",
    "TrialBalance",
    "accounts_of",
    "balance",
    "balance_at",
    "close_account",
    "expire_holds",
    "open_holds",
    "post_many",
    "prove_entry",
    "seal_once",
    "statement",
    "trial_balance",
    "verify_ledger",
]
