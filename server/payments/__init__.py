"""Money in, and what became of it. Other rooms and the application use what is named here."""

from server.payments.adapters.sandbox_gateway import SandboxGateway
from server.payments.adapters.stripe_gateway import StripeGateway
from server.payments.adapters.stripe_payout_rail import StripePayoutRail
from server.payments.cards import (
    card_jobs,
    card_payable_account,
    resume_top_ups,
    top_up,
)
from server.payments.gateway import (
    CardGateway,
    GatewayPayment,
    GatewayUnavailable,
    PaymentStatus,
)

__all__ = [
    "CardGateway",
    "GatewayPayment",
    "GatewayUnavailable",
    "PaymentStatus",
    "SandboxGateway",
    "StripeGateway",
    "StripePayoutRail",
    "card_jobs",
    "card_payable_account",
    "resume_top_ups",
    "top_up",
]
