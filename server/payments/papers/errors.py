"""Refusals of papers."""

from server.kit.errors import TallyError


class PeriodTooLong(TallyError):
    code, title = "period_too_long", "The period has too many lines for one paper"
