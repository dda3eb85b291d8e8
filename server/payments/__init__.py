"""Money in, and what became of it. Other rooms and the application use what is named here."""

from server.payments.adapters.sandbox_gateway import SandboxGateway
from server.payments.gateway import (
    CardGateway,
    GatewayPayment,
    GatewayUnavailable,
    PaymentStatus,
)
from server.payments.top_ups import resume_top_ups, top_up

__all__ = [
    "CardGateway",
    "GatewayPayment",
    "GatewayUnavailable",
    "PaymentStatus",
    "SandboxGateway",
    "resume_top_ups",
    "top_up",
]
