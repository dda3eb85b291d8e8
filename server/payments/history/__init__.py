"""What changed a user's available balance: pages, days, and tables to take away."""

from server.payments.history.details import Detail, Subject, subject_of
from server.payments.history.entries import HistoryQuery, page

__all__ = ["Detail", "HistoryQuery", "Subject", "page", "subject_of"]
