"""Card money: top-ups, refunds, disputes, and what is owed after them."""

from server.payments.cards.debts import collect_card_debts
from server.payments.cards.jobs import card_jobs
from server.payments.cards.payees import card_payable_account
from server.payments.cards.refunds import refund_top_up, resume_refunds
from server.payments.cards.settlement import follow_payments, settle_facts
from server.payments.cards.top_ups import resume_top_ups, top_up
from server.payments.cards.webhooks import poll_events, process_events, take_webhook

__all__ = [
    "card_jobs",
    "card_payable_account",
    "collect_card_debts",
    "follow_payments",
    "poll_events",
    "process_events",
    "refund_top_up",
    "resume_refunds",
    "resume_top_ups",
    "settle_facts",
    "take_webhook",
    "top_up",
]
