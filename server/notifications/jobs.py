"""Work that this room leaves for later."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from server.kit.consumers import consume, forget_seen
from server.kit.event_log import number_events, remove_old_events
from server.kit.event_readers import read_by_all
from server.kit.unit_of_work import Tx, UnitOfWork
from server.notifications.deliveries import purge_deliveries, webhook_consumer

SEEN_KEPT: Final = timedelta(days=30)
"""Longer than any broker keeps a message."""
_BATCHES_A_ROUND: Final = 20


def event_jobs(
    uow: UnitOfWork, *, tenant: int, keep: timedelta
) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return what is done with events in each round, by name; ``keep`` is how long they stay."""
    webhooks = webhook_consumer()

    async def clean(tx: Tx) -> None:
        done = await read_by_all(tx, tenant)
        await remove_old_events(tx, tenant, keep=keep, read_by_all=done)
        await forget_seen(tx, tenant, keep=SEEN_KEPT)
        await purge_deliveries(tx, tenant)

    async def make_webhooks() -> None:
        for _ in range(_BATCHES_A_ROUND):
            if not await consume(uow, tenant, webhooks):
                return

    return {
        "number_events": lambda: number_events(uow, tenant),
        "make_webhooks": make_webhooks,
        "clean_events": lambda: uow.run(clean),
    }
