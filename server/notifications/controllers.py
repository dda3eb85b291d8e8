"""HTTP of this room."""

from server.notifications.event_controllers import EVENT_ROUTES
from server.notifications.webhook_controllers import WEBHOOK_ROUTES

__all__ = ["EVENT_ROUTES", "WEBHOOK_ROUTES"]
