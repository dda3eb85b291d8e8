"""Refusals of the card slice, each with a stable code."""

from server.kit.errors import Conflict, TallyError, Unauthenticated


class TopUpTooLarge(TallyError):
    code, title = "top_up_too_large", "The amount is too large for one top-up"


class AmountNotPayable(TallyError):
    """The card company takes this currency in coarser steps, or not at all."""

    code, title = "amount_not_payable", "The card company cannot take this amount"


class TopUpUnsettled(Conflict):
    """Only what succeeded can be given back."""

    code, title = "top_up_unsettled", "The top-up has not succeeded"


class RefundTooLarge(TallyError):
    """Refunds and disputes of a top-up together never exceed it."""

    code, title = "refund_too_large", "More than is left of the top-up"


class WebhookUnsigned(Unauthenticated):
    code, status, title = "webhook_unsigned", 400, "The webhook is not what the gateway signed"


class PayeeTaken(Conflict):
    """A connected account stands for one user."""

    code, title = "card_payee_taken", "The connected account stands for somebody already"
