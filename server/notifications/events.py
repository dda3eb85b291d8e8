"""Facts of this room that others are told."""

from typing import ClassVar
from uuid import UUID

from server.kit.outbox import Event


class WebhookSwitchedOff(Event, frozen=True, kw_only=True):
    """A customer's server failed for days, or asked not to be told any more."""

    topic: ClassVar[str] = "users"
    type: ClassVar[str] = "webhook.switched_off"
    endpoint_id: UUID
    user_id: UUID
    reason: str
    """``failing`` or ``gone``."""

    def key(self) -> str:
        return str(self.user_id)
