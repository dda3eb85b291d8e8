"""Refusals of this room."""

from server.kit.errors import TallyError


class WebhookAddressRefused(TallyError):
    """Webhooks are not sent to this address."""

    code, title = "webhook_address_refused", "Webhooks are not sent to this address"


class TooManyWebhooks(TallyError):
    code, title = "too_many_webhooks", "There are as many webhook addresses as allowed"


class WebhookDisabled(TallyError):
    code, status, title = "webhook_disabled", 409, "The webhook address is switched off"


class UnknownEventType(TallyError):
    code, title = "unknown_event_type", "There is no event of this type"
