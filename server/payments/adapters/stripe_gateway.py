"""Cards through Stripe, with its official library.

Our key goes along twice: as the idempotency key, under which Stripe gives the first answer again
for a day, and in the metadata, by which a payment is found after that. The library itself tries
nothing again: what has no usable answer is `GatewayUnavailable`, and our own jobs ask again.

A payment that is declined at once is cancelled before it is called declined, so that nobody can
finish it later with a client secret.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import stripe

from server.kit.money import asset
from server.kit.telemetry import get_logger
from server.ledger import OutsideLine
from server.payments.adapters.stripe_amounts import from_stripe, to_stripe
from server.payments.adapters.stripe_calls import (
    PAGE,
    StripeLine,
    definite,
    reason_of,
    seen,
    whole_list,
)
from server.payments.adapters.stripe_reading import (
    KEY,
    decline_of,
    dispute_of,
    event_of,
    lines_of,
    movements_of,
    payment_of,
    read_event,
    refund_of,
)
from server.payments.gateway import (
    GatewayEvent,
    GatewayPayment,
    GatewayRefund,
    GatewayRefused,
    GatewayUnavailable,
    PaymentFacts,
    PaymentStatus,
    WebhookRefused,
)

TOLERANCE = timedelta(minutes=5)
_SKEW = timedelta(hours=1)
_TYPES = [
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.canceled",
    "charge.updated",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
]
_log = get_logger(__name__)


class StripeGateway:
    """One Stripe account.

    ``webhook_secrets`` are all that are in force: two while one takes the other's place. ``url`` is
    another address of the interface, for tests. ``methods`` are the kinds of payment to offer; when
    empty, those that are chosen at Stripe.
    """

    name = "stripe"

    def __init__(
        self,
        key: str,
        *,
        webhook_secrets: Sequence[str] = (),
        url: str | None = None,
        methods: Sequence[str] = (),
    ) -> None:
        self._secrets = tuple(webhook_secrets)
        self._methods = list(methods)
        self._line = StripeLine(key, url)
        self._api = self._line.api

    async def close(self) -> None:
        await self._line.close()

    async def create_payment(
        self, *, amount: int, currency: str, card: str | None, idempotency_key: str
    ) -> GatewayPayment:
        wish: dict[str, Any] = {
            "amount": to_stripe(amount, currency),
            "currency": currency.lower(),
            "metadata": {KEY: idempotency_key},
        }
        if self._methods:
            wish["payment_method_types"] = self._methods
        else:
            # A card that is charged by us can send its owner nowhere else.
            redirects = {} if card is None else {"allow_redirects": "never"}
            wish["automatic_payment_methods"] = {"enabled": True, **redirects}
        if card is not None:
            wish |= {"payment_method": card, "confirm": True}
        try:
            intent = await definite(
                self._api.payment_intents.create_async(
                    wish,  # type: ignore[arg-type]
                    {"idempotency_key": idempotency_key},
                )
            )
        except stripe.CardError as error:
            return await self._declined(error)
        except stripe.IdempotencyError as error:
            # Another version of this program asked in other words; the payment itself is there.
            _log.error("stripe_key_reused", top_up=idempotency_key)
            found = await self.find_payment(idempotency_key)
            if found is None:
                raise GatewayUnavailable("the key was used for another request") from error
            return found
        except stripe.InvalidRequestError as error:
            raise GatewayRefused(reason_of(error)) from error
        return payment_of(intent)

    async def find_payment(
        self, idempotency_key: str, *, gateway_id: str | None = None, since: datetime | None = None
    ) -> GatewayPayment | None:
        if gateway_id is not None:
            intent = await self._intent(gateway_id)
            return None if intent is None else payment_of(intent)
        bounds = {"created": {"gte": int((since - _SKEW).timestamp())}} if since else {}
        query: dict[str, Any] = {"limit": PAGE, **bounds}
        listed = await seen(self._api.payment_intents.list_async(query))  # type: ignore[arg-type]
        for intent in await whole_list(listed):
            if (intent.get("metadata") or {}).get(KEY) == idempotency_key:
                return payment_of(intent)
        return None

    async def cancel_payment(self, gateway_id: str) -> GatewayPayment:
        try:
            intent = await definite(
                self._api.payment_intents.cancel_async(
                    gateway_id, {}, {"idempotency_key": f"cancel/{gateway_id}"}
                )
            )
        except stripe.InvalidRequestError as error:
            # It was finished, or cancelled, or is with the bank: all of that can be seen.
            intent = await self._intent(gateway_id)
            if intent is None:
                raise GatewayUnavailable("Stripe knows no such payment") from error
        return payment_of(intent)

    async def refund_payment(
        self, gateway_id: str, *, amount: int, currency: str, idempotency_key: str
    ) -> GatewayRefund:
        try:
            refund = await definite(
                self._api.refunds.create_async(
                    {
                        "payment_intent": gateway_id,
                        "amount": to_stripe(amount, currency),
                        "metadata": {KEY: idempotency_key},
                    },
                    {"idempotency_key": idempotency_key},
                )
            )
        except stripe.IdempotencyError as error:
            raise GatewayUnavailable("the key was used for another request") from error
        except (stripe.InvalidRequestError, stripe.CardError) as error:
            raise GatewayRefused(reason_of(error)) from error
        return refund_of(refund, currency)

    async def payment_facts(self, gateway_id: str) -> PaymentFacts | None:
        intent = await self._intent(gateway_id, expand=["latest_charge.balance_transaction"])
        if intent is None:
            return None
        currency = intent["currency"].upper()
        key = (intent.get("metadata") or {}).get(KEY)
        payment = payment_of(intent)
        amount = from_stripe(intent["amount"], currency)
        if payment.status is not PaymentStatus.SUCCEEDED:
            return PaymentFacts(payment, key, amount, currency)
        asset(currency)
        lines = ["data.balance_transaction", "data.failure_balance_transaction"]
        refunds = await whole_list(
            await seen(
                self._api.refunds.list_async(
                    {"payment_intent": gateway_id, "limit": PAGE, "expand": lines}
                )
            )
        )
        disputes = await whole_list(
            await seen(self._api.disputes.list_async({"payment_intent": gateway_id, "limit": PAGE}))
        )
        return PaymentFacts(
            payment,
            key,
            amount,
            currency,
            refunds=[refund_of(refund, currency) for refund in reversed(refunds)],
            disputes=[dispute_of(dispute, currency) for dispute in reversed(disputes)],
            movements=list(movements_of(intent["latest_charge"], refunds, disputes, currency)),
        )

    async def recent_events(
        self, since: datetime, until: datetime | None = None
    ) -> Sequence[GatewayEvent]:
        bounds = {"gte": int(since.timestamp())}
        if until is not None:
            bounds["lt"] = int(until.timestamp())
        query: dict[str, Any] = {"created": bounds, "types": _TYPES, "limit": PAGE}
        listed = await seen(self._api.events.list_async(query))  # type: ignore[arg-type]
        return [event_of(event) for event in await whole_list(listed)]

    async def statement_lines(self, begin: datetime, end: datetime) -> Sequence[OutsideLine]:
        query: dict[str, Any] = {
            "created": {"gte": int(begin.timestamp()), "lt": int(end.timestamp())},
            "limit": PAGE,
            "expand": ["data.source"],
        }
        listed = await seen(self._api.balance_transactions.list_async(query))  # type: ignore[arg-type]
        return [line for each in reversed(await whole_list(listed)) for line in lines_of(each)]

    def read_webhook(self, body: bytes, signature: str | None, now: datetime) -> GatewayEvent:
        if not self._secrets:
            raise WebhookRefused("This server has no signing secret to check a webhook with")
        if not signature or not signature.isascii():
            raise WebhookRefused("The Stripe-Signature header is missing, or no ASCII")
        if not any(_is_signed(body, signature, secret) for secret in self._secrets):
            raise WebhookRefused("The signature is not one of Stripe's for this body")
        # The library would go by the clock of the machine, and lets the future pass.
        sent_at = int(
            next(part.split("=", 2)[1] for part in signature.split(",") if part.startswith("t="))
        )
        if abs(int(now.timestamp()) - sent_at) > TOLERANCE.total_seconds():
            raise WebhookRefused("The signature is more than five minutes away from now")
        try:
            return read_event(body)
        except (ValueError, RecursionError) as error:
            raise WebhookRefused("The body is no event") from error

    async def _intent(self, gateway_id: str, *, expand: Sequence[str] = ()) -> Any | None:
        try:
            found = await definite(
                self._api.payment_intents.retrieve_async(
                    gateway_id, {"expand": list(expand)} if expand else {}
                )
            )
        except stripe.InvalidRequestError as error:
            if error.http_status == 404:  # noqa: PLR2004 - HTTP
                return None
            raise GatewayUnavailable(reason_of(error)) from error
        return found

    async def _declined(self, error: stripe.CardError) -> GatewayPayment:
        """Cancel what was declined; it may have been finished by its owner meanwhile."""
        body: Any = error.json_body or {}
        details = body.get("error", {})
        reason = str(details.get("decline_code") or details.get("code") or "card_declined")[:64]
        intent = details.get("payment_intent")
        if intent is None:
            return GatewayPayment("", PaymentStatus.DECLINED, reason)
        payment = await self.cancel_payment(intent["id"])
        if payment.status is not PaymentStatus.DECLINED:
            return payment
        return GatewayPayment(payment.id, PaymentStatus.DECLINED, decline_of(intent) or reason)


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        # Its tolerance is left out: time is given, not taken.
        return bool(stripe.WebhookSignature.verify_header(body, signature, secret, None))
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
