"""Refusals of the exchange of currencies, each with a stable code."""

from server.kit.errors import Conflict, InvalidRequest, NotFound, TallyError, Unavailable


class RateMissing(Unavailable):
    code, title = "fx_rate_missing", "There is no rate for this currency"


class RateStale(Unavailable):
    code, title = "fx_rate_stale", "The rates are too old to exchange money by them"


class RateInvalid(InvalidRequest):
    code, title = "fx_rate_invalid", "The rate cannot be stored"


class TermsInvalid(InvalidRequest):
    code, title = "fx_terms_invalid", "The terms of exchange contradict each other"


class AmountTooSmall(TallyError):
    """Nothing would be left of it after charge and rounding."""

    code, title = "fx_amount_too_small", "The amount is too small to be exchanged"


class AmountTooLarge(TallyError):
    code, title = "fx_amount_too_large", "The amount is too large to be exchanged at once"


class QuoteUnknown(NotFound):
    """No such quote, or somebody else's."""

    code, title = "fx_quote_unknown", "There is no such quote of yours"


class QuoteExpired(Conflict):
    code, title = "fx_quote_expired", "The quote is not good any more"


class QuoteTaken(Conflict):
    code, title = "fx_quote_taken", "The quote was used already"


class QuoteMismatch(Conflict):
    """It was made for paying somebody else, or for one's own exchange."""

    code, title = "fx_quote_mismatch", "The quote was made for something else"
