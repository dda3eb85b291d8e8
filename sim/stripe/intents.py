"""Payment intents and the charges that they make.

The payment method decides what the bank says. Besides the names below any other one is refused as
unknown, like at the real company.
"""

import secrets
from typing import Final

from sim.stripe import disputes, params
from sim.stripe.errors import ApiError, invalid, missing
from sim.stripe.forms import Params
from sim.stripe.money import charge_fee, post_line
from sim.stripe.store import Body, Store

_DECLINES: Final = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", "incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", "processing_error"),
}
_ACTIONS: Final = frozenset({"pm_card_authenticationRequired", "pm_card_threeDSecure2Required"})
_LATER: Final = frozenset({"pm_bank_processing"})
_GOOD: Final = frozenset(
    {
        "pm_card_visa",
        "pm_card_mastercard",
        "pm_card_createDispute",
        "pm_card_createDisputeInquiry",
        "pm_card_refundFail",
        "pm_card_pendingRefund",
    }
)
_MINIMUM: Final = 50
_OPEN: Final = (
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "requires_capture",
)


def create(store: Store, given: Params) -> Body:
    params.known(
        given,
        "amount",
        "currency",
        "payment_method",
        "payment_method_types",
        "confirm",
        "capture_method",
        "automatic_payment_methods",
        "metadata",
        "description",
        "customer",
        "off_session",
        "return_url",
        "use_stripe_sdk",
        "statement_descriptor_suffix",
    )
    method = given.get("payment_method")
    if params.truth(given, "confirm") and method is None:
        raise invalid("You must provide a payment method to confirm.", code="parameter_missing")
    amount = params.amount(given, minimum=_MINIMUM)
    currency = params.currency(given)
    if method is not None:
        _check_method(str(method))
    intent = store.new(
        "pi",
        "payment_intent",
        {
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "currency": currency,
            "capture_method": given.get("capture_method", "automatic_async"),
            "automatic_payment_methods": given.get("automatic_payment_methods"),
            "metadata": params.metadata(given),
            "description": given.get("description"),
            "payment_method": method,
            "latest_charge": None,
            "last_payment_error": None,
            "cancellation_reason": None,
            "canceled_at": None,
            "next_action": None,
            "client_secret": None,
            "status": "requires_payment_method" if method is None else "requires_confirmation",
        },
    )
    intent["client_secret"] = f"{intent['id']}_secret_{secrets.token_hex(12)}"
    store.save(intent)
    store.emit("payment_intent.created", intent)
    return _confirm(store, intent) if params.truth(given, "confirm") else intent


def confirm(store: Store, identifier: str, given: Params) -> Body:
    params.known(
        given, "payment_method", "client_secret", "return_url", "off_session", "use_stripe_sdk"
    )
    intent = find(store, identifier)
    secret = given.get("client_secret")
    if secret is not None and secret != intent["client_secret"]:
        raise invalid("The client_secret does not belong to this intent.", param="client_secret")
    if method := given.get("payment_method"):
        _check_method(str(method))
        intent["payment_method"] = method
    if intent["status"] not in {"requires_payment_method", "requires_confirmation"}:
        raise _unexpected(intent, "confirm")
    if intent["payment_method"] is None:
        raise invalid("There is no payment method.", code="parameter_missing")
    return _confirm(store, intent)


def capture(store: Store, identifier: str, given: Params) -> Body:
    params.known(given, "amount_to_capture")
    intent = find(store, identifier)
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "capture")
    amount = params.whole(given, "amount_to_capture", intent["amount_capturable"])
    if not 0 < amount <= intent["amount_capturable"]:
        raise invalid("The amount is more than can be captured.", param="amount_to_capture")
    return _succeed(store, intent, amount)


def cancel(store: Store, identifier: str, given: Params) -> Body:
    params.known(given, "cancellation_reason")
    intent = find(store, identifier)
    if intent["status"] not in _OPEN:
        raise _unexpected(intent, "cancel")
    intent |= {
        "status": "canceled",
        "canceled_at": store.now(),
        "cancellation_reason": given.get("cancellation_reason"),
        "next_action": None,
        "amount_capturable": 0,
    }
    store.save(intent)
    store.emit("payment_intent.canceled", intent)
    return intent


def find(store: Store, identifier: str) -> Body:
    intent = store.get("payment_intent", identifier)
    if intent is None:
        raise missing("payment_intent", identifier)
    return intent


def decide(store: Store, identifier: str, *, success: bool) -> Body:
    """Say what the payer's bank answers: to the payer's confirmation, or after days of waiting."""
    intent = find(store, identifier)
    if intent["status"] not in {"requires_action", "processing"}:
        raise _unexpected(intent, "decide")
    intent["next_action"] = None
    if success:
        return _authorised(store, intent)
    code = (
        "payment_intent_authentication_failure"
        if intent["status"] == "requires_action"
        else "payment_intent_payment_attempt_failed"
    )
    _decline(store, intent, code, None)
    return find(store, identifier)


def _confirm(store: Store, intent: Body) -> Body:
    method = intent["payment_method"]
    if method in _ACTIONS:
        intent |= {
            "status": "requires_action",
            "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {}},
        }
        store.save(intent)
        store.emit("payment_intent.requires_action", intent)
        return intent
    if method in _LATER:
        intent["status"] = "processing"
        store.save(intent)
        store.emit("payment_intent.processing", intent)
        return intent
    if method in _DECLINES:
        code, decline = _DECLINES[method]
        _decline(store, intent, code, decline)
        raise ApiError(
            402,
            "card_error",
            "Your card was declined.",
            code=code,
            decline_code=decline if code == "card_declined" else None,
            charge=intent["latest_charge"],
            payment_intent=intent,
            is_stored=True,
        )
    return _authorised(store, intent)


def _decline(store: Store, intent: Body, code: str, decline: str | None) -> None:
    charge = _charge(store, intent, "failed", intent["amount"])
    charge |= {"failure_code": code, "failure_message": "Declined."}
    store.save(charge)
    error = {"type": "card_error", "code": code, "message": "Your card was declined."}
    if decline is not None:
        error["decline_code"] = decline
    intent |= {
        "status": "requires_payment_method",
        "latest_charge": charge["id"],
        "last_payment_error": error,
        "payment_method": None,
    }
    store.save(intent)
    store.emit("charge.failed", charge)
    store.emit("payment_intent.payment_failed", intent)


def _authorised(store: Store, intent: Body) -> Body:
    if intent["capture_method"] != "manual":
        return _succeed(store, intent, intent["amount"])
    intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
    store.save(intent)
    store.emit("payment_intent.amount_capturable_updated", intent)
    return intent


def _succeed(store: Store, intent: Body, amount: int) -> Body:
    charge = _charge(store, intent, "succeeded", amount)
    line = post_line(
        store, "charge", amount, intent["currency"], charge["id"], fee=charge_fee(amount)
    )
    charge["balance_transaction"] = line["id"]
    store.save(charge)
    intent |= {
        "status": "succeeded",
        "amount_received": amount,
        "amount_capturable": 0,
        "latest_charge": charge["id"],
        "last_payment_error": None,
        "next_action": None,
    }
    store.save(intent)
    store.emit("charge.succeeded", charge)
    store.emit("payment_intent.succeeded", intent)
    if intent["payment_method"] in {"pm_card_createDispute", "pm_card_createDisputeInquiry"}:
        inquiry = intent["payment_method"] == "pm_card_createDisputeInquiry"
        disputes.create(store, charge, amount, "fraudulent", is_inquiry=inquiry)
    return intent


def _charge(store: Store, intent: Body, status: str, amount: int) -> Body:
    return store.new(
        "ch",
        "charge",
        {
            "amount": amount,
            "amount_captured": amount if status == "succeeded" else 0,
            "amount_refunded": 0,
            "balance_transaction": None,
            "captured": status == "succeeded",
            "currency": intent["currency"],
            "disputed": False,
            "failure_code": None,
            "failure_message": None,
            "metadata": dict(intent["metadata"]),
            "paid": status == "succeeded",
            "payment_intent": intent["id"],
            "payment_method": intent["payment_method"],
            "refunded": False,
            "status": status,
        },
    )


def _check_method(name: str) -> None:
    if name not in _GOOD | _ACTIONS | _LATER | _DECLINES.keys():
        raise invalid(
            f"No such PaymentMethod: '{name}'", code="resource_missing", param="payment_method"
        )


def _unexpected(intent: Body, verb: str) -> ApiError:
    return ApiError(
        400,
        "invalid_request_error",
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=intent,
        is_stored=True,
    )
