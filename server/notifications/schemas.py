"""What is said over HTTP about webhooks."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType, field

from server.kit.schema import Schema

_TYPES = Meta(
    max_length=50,
    description="Types of events, see docs/reference/events; none means all",
    examples=[["transfer.sent", "withdrawal.paid"]],
)
_URL = Meta(max_length=500, description="https only", examples=["https://shop.example/hooks"])
_Type = Annotated[str, Meta(max_length=64, examples=["transfer.sent"])]
_About = Annotated[str, Meta(max_length=200, examples=["Orders of the shop"])]


class WebhookCreate(Schema):
    url: Annotated[str, _URL]
    types: Annotated[list[_Type], _TYPES] = []
    description: _About = ""


class WebhookChange(Schema):
    """What is left out stays as it is; switching on forgets earlier failures."""

    url: Annotated[str, _URL] | UnsetType = UNSET
    types: Annotated[list[_Type], _TYPES] | UnsetType = UNSET
    description: _About | UnsetType = UNSET
    state: Annotated[Literal["active", "disabled"], Meta(examples=["active"])] | UnsetType = UNSET


class WebhookView(Schema):
    id: UUID
    url: str
    description: str
    types: list[str]
    state: Literal["active", "disabled"]
    failing_since: datetime | None
    created_at: datetime


class WebhookMade(WebhookView):
    """The only answer that shows the secret."""

    secret: str


class WebhookSecret(Schema):
    """The new secret, shown once. Messages are signed with both until the old one ends."""

    secret: str
    old_secret_until: datetime


class DeliveryView(Schema):
    """``waiting`` for its next attempt, ``delivered``, given up (``failed``), or ``held``.

    Messages are held while their address is switched off.
    """

    id: UUID
    event_id: UUID
    type: str
    state: Literal["waiting", "delivered", "failed", "held"]
    attempts: int
    due_at: datetime
    created_at: datetime
    done_at: datetime | None


class AttemptView(Schema):
    at: datetime
    status: int | None
    latency_ms: int
    answer: Annotated[str, Meta(description="The first bytes of the answer")]
    error: str | None


class DeliveryDetail(DeliveryView):
    body: str
    log: list[AttemptView]


class WebhookReplay(Schema):
    """Which messages to send again: those made in a span of time, of some states."""

    since: Annotated[datetime, Meta(tz=True, examples=["2026-03-01T00:00:00Z"])]
    until: Annotated[datetime, Meta(tz=True, examples=["2026-03-02T00:00:00Z"])]
    states: Annotated[
        list[Literal["delivered", "failed", "held"]],
        Meta(min_length=1, max_length=3, examples=[["failed", "held"]]),
    ] = field(default_factory=lambda: ["failed", "held"])


class WebhookReplayed(Schema):
    count: int
