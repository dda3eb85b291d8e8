"""What people and their servers are told.

So far the signed webhooks of customers. An inbox or a WebSocket is another consumer of the same
events (`webhook_consumer` shows how): a table of its own, made in the transaction that moves its
position.
"""

from server.notifications.deliveries import webhook_consumer
from server.notifications.destinations import Courier, Resolver, SystemResolver
from server.notifications.jobs import event_jobs
from server.notifications.sending import send_webhooks
from server.notifications.work import EventWork

__all__ = [
    "Courier",
    "EventWork",
    "Resolver",
    "SystemResolver",
    "event_jobs",
    "send_webhooks",
    "webhook_consumer",
]
