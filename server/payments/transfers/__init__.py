"""Transfers between people: sending, requests for money, schedules, refunds."""

from server.payments.transfers.desk import TransferDesk
from server.payments.transfers.domain import TransferPolicy
from server.payments.transfers.explaining import TransferExplainer
from server.payments.transfers.jobs import transfer_jobs
from server.payments.transfers.pending import contact_confirmed
from server.payments.transfers.service import Transfers
from server.payments.transfers.views import transfer_views

__all__ = [
    "TransferDesk",
    "TransferExplainer",
    "TransferPolicy",
    "Transfers",
    "contact_confirmed",
    "transfer_jobs",
    "transfer_views",
]
