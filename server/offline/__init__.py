"""Offline money: issuing it, taking it back, and who bears the loss when it was spent twice."""

from server.offline.certificate_log import log_head
from server.offline.domain import DEFAULT_POLICY, CurrencyLimits, OfflinePolicy
from server.offline.errors import CeremonyRefused, IssuerKeysExist, IssuerKeysMissing
from server.offline.issuer_keys import (
    IssuerKeys,
    describe_issuer_keys,
    load_issuer_keys,
    make_issuer_keys,
)
from server.offline.issuer_revocation import revoke_issuer_key
from server.offline.jobs import check_books_daily, close_due_roots, collect_debts
from server.offline.queries import has_issued
from server.offline.report import OfflineReport, offline_report, positions_digest
from server.offline.revocation import keep_revocations
from server.offline.sync import synchronise
from server.offline.vouchers import issue_vouchers

__all__ = [
    "DEFAULT_POLICY",
    "CeremonyRefused",
    "CurrencyLimits",
    "IssuerKeys",
    "IssuerKeysExist",
    "IssuerKeysMissing",
    "OfflinePolicy",
    "OfflineReport",
    "check_books_daily",
    "close_due_roots",
    "collect_debts",
    "describe_issuer_keys",
    "has_issued",
    "issue_vouchers",
    "keep_revocations",
    "load_issuer_keys",
    "log_head",
    "make_issuer_keys",
    "offline_report",
    "positions_digest",
    "revoke_issuer_key",
    "synchronise",
]
