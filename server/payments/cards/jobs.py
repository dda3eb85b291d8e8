"""Later work of the card slice. Each job is safe to run in several processes at once."""

from collections.abc import Awaitable, Callable

from server.kit.unit_of_work import UnitOfWork
from server.payments.cards.debts import collect_card_debts
from server.payments.cards.reconciliation import reconcile_cards
from server.payments.cards.refunds import resume_refunds
from server.payments.cards.settlement import follow_payments
from server.payments.cards.top_ups import resume_top_ups
from server.payments.cards.webhooks import poll_events, process_events
from server.payments.gateway import CardGateway


def card_jobs(
    uow: UnitOfWork, gateway: CardGateway, *, tenant: int
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return the jobs of one tenant by name, in the order in which they help each other."""
    return {
        "poll_card_events": lambda: poll_events(uow, gateway, tenant=tenant),
        "process_card_events": lambda: process_events(uow, tenant=tenant),
        "resume_top_ups": lambda: resume_top_ups(uow, gateway, tenant=tenant),
        "resume_refunds": lambda: resume_refunds(uow, gateway, tenant=tenant),
        "follow_payments": lambda: follow_payments(uow, gateway, tenant=tenant),
        "reconcile_cards": lambda: reconcile_cards(uow, gateway, tenant=tenant),
        "collect_card_debts": lambda: collect_card_debts(uow, tenant=tenant),
    }
