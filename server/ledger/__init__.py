"""The ledger: double entry, append-only, guarded by the database itself.

Money moves by `post_many` alone. Amounts are whole minor units; inside, a credit adds.
"""

from server.ledger.account_books import (
    AccountLimit,
    AccountNote,
    booked_as,
    entries_by_external_ids,
    limit_account,
    limits_of,
    note_account,
    notes_of,
)
from server.ledger.book_errors import (
    BooksUnbalanced,
    BreakFinal,
    DayNotClosed,
    DayNotOver,
    ExternalIdUsed,
    LimitUnfit,
    NothingPublished,
    StatementChanged,
)
from server.ledger.breaks import Break as ReconciliationBreak
from server.ledger.breaks import (
    BreakKind,
    BreakState,
    decide_break,
    events_of,
    list_breaks,
    unsettled,
)
from server.ledger.chain import EntryProof, Seal, prove_entry, seal_once
from server.ledger.chart import AccountClass, AccountKind, AccountRef
from server.ledger.closing import close_account
from server.ledger.day_closing import close_days, close_due_days
from server.ledger.days import ClosedDay, last_closed
from server.ledger.domain import EntryRequest, Operation, Outcome
from server.ledger.entries import BATCH_MAX, post_groups, post_many
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
from server.ledger.kind_totals import totals_by_kind
from server.ledger.liabilities import (
    LiabilityProof,
    LiabilityRoot,
    liability_roots,
    prove_liability,
)
from server.ledger.liability_rounds import publish_due_liabilities, publish_liabilities
from server.ledger.lines import find_line, lines_around
from server.ledger.outside_lines import OutsideLine
from server.ledger.past import (
    AccountStatement,
    Times,
    account_by_id,
    account_statement,
    balance_effective,
    balances_at,
    held_at,
)
from server.ledger.poster import Poster
from server.ledger.queries import (
    Balance,
    StatementLine,
    accounts_of,
    balance,
    balance_at,
    point_at,
    statement,
)
from server.ledger.reconciliation import ReconciliationReport, last_report, recheck, reconcile
from server.ledger.trial_balance import TrialBalance, closed_trial_balance, trial_balance
from server.ledger.turnover import Turnover, turnover
from server.ledger.verification import Break, LedgerReport, verify_ledger

__all__ = [
    "BATCH_MAX",
    "AccountClass",
    "AccountClosed",
    "AccountInUse",
    "AccountKind",
    "AccountLimit",
    "AccountNote",
    "AccountRef",
    "AccountStatement",
    "Balance",
    "BalanceOutOfRange",
    "BooksUnbalanced",
    "Break",
    "BreakFinal",
    "BreakKind",
    "BreakState",
    "ChainFailed",
    "ClosedDay",
    "DayNotClosed",
    "DayNotOver",
    "EntryProof",
    "EntryRefused",
    "EntryRequest",
    "ExternalIdUsed",
    "HoldDone",
    "HoldExceeded",
    "HoldExpired",
    "HoldMismatch",
    "HoldUnknown",
    "InsufficientFunds",
    "LedgerReport",
    "LiabilityProof",
    "LiabilityRoot",
    "LimitUnfit",
    "NothingPublished",
    "OpenHold",
    "Operation",
    "Outcome",
    "OutsideLine",
    "Poster",
    "ReconciliationBreak",
    "ReconciliationReport",
    "Refusal",
    "Seal",
    "StatementChanged",
    "StatementLine",
    "Times",
    "TrialBalance",
    "Turnover",
    "account_by_id",
    "account_statement",
    "accounts_of",
    "balance",
    "balance_at",
    "balance_effective",
    "balances_at",
    "booked_as",
    "close_account",
    "close_days",
    "close_due_days",
    "closed_trial_balance",
    "decide_break",
    "entries_by_external_ids",
    "events_of",
    "expire_holds",
    "find_line",
    "held_at",
    "last_closed",
    "last_report",
    "liability_roots",
    "limit_account",
    "limits_of",
    "lines_around",
    "list_breaks",
    "note_account",
    "notes_of",
    "open_holds",
    "point_at",
    "post_groups",
    "post_many",
    "prove_entry",
    "prove_liability",
    "publish_due_liabilities",
    "publish_liabilities",
    "recheck",
    "reconcile",
    "seal_once",
    "statement",
    "totals_by_kind",
    "trial_balance",
    "turnover",
    "unsettled",
    "verify_ledger",
]
