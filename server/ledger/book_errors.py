"""Refusals about the books: days, limits, outside facts, reconciliation."""

from server.kit.errors import Conflict, NotFound, TallyError


class DayNotOver(TallyError):
    code, title = "day_not_over", "The day is not over yet"


class DayNotClosed(NotFound):
    """Nothing closed the day that was asked about."""

    code, title = "day_not_closed", "The day is not closed"


class BooksUnbalanced(TallyError):
    """A day is not closed over balances that do not sum to zero."""

    code, status, title = "books_unbalanced", 500, "The books do not sum to zero"


class ExternalIdUsed(Conflict):
    """An outside fact is booked already, by another entry."""

    code, title = "external_id_used", "The outside fact is booked already"


class LimitUnfit(TallyError):
    code, title = "limit_unfit", "The account does not fit the limit"


class BalanceAboveCeiling(TallyError):
    """An account would go above the ceiling that was set for it. It may be tried again later."""

    code, title = "balance_above_ceiling", "The balance would become too high"


class StatementChanged(Conflict):
    """An outside statement came again under its name, with other lines."""

    code, title = "statement_changed", "The statement came before with other lines"


class BreakFinal(Conflict):
    code, title = "break_final", "The break cannot change in this way"


class NothingPublished(NotFound):
    code, title = "nothing_published", "No liabilities are published yet"


class NotSealedYet(Conflict):
    """The entry waits for the next seal, or is from before entries could be shown in parts."""

    code, title = "not_sealed_yet", "The entry is not sealed yet"
