"""Refusals of the limits, each with a stable code."""

from server.kit.errors import InvalidRequest, TallyError


class LimitExceeded(TallyError):
    """A daily or monthly limit would be passed; members say which, what is left, and until when."""

    code, title = "limit_exceeded", "A daily or monthly limit would be passed"


class LimitRateUnknown(LimitExceeded):
    """No rate tells what the amount counts in the currency of the limits."""

    code, title = "limit_rate_unknown", "No rate is known to count this against your limits"


class LimitsInvalid(InvalidRequest):
    code, title = "limits_invalid", "The limits contradict each other"
