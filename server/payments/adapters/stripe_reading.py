"""What Stripe's objects mean in our words. Pure: objects in, facts out."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from server.kit.strict_json import DEPTH_MAX, nesting
from server.ledger import OutsideLine
from server.payments.adapters.stripe_amounts import from_stripe
from server.payments.gateway import (
    DisputeStatus,
    GatewayDispute,
    GatewayEvent,
    GatewayMovement,
    GatewayPayment,
    GatewayRefund,
    MovementKind,
    PaymentStatus,
    RefundStatus,
)

KEY = "tallystick_key"
"""Name of the metadata that carries our key."""
_DISPUTES = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.CLOSED,
    "prevented": DisputeStatus.CLOSED,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "lost": DisputeStatus.LOST,
    # The money is gone while an appeal runs; it comes back if it is won.
    "appeal_needs_response": DisputeStatus.LOST,
    "appeal_under_review": DisputeStatus.LOST,
    "won": DisputeStatus.WON,
}
_REFUNDS = {
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
_OF_PAYMENTS = ("payment_intent", "charge", "refund", "dispute")
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[!-~]*$")]
_END_OF_TIME_S = 253_402_300_799


class _Named(msgspec.Struct):
    id: _Name


class _Subject(msgspec.Struct):
    object: _Name
    id: _Name | None = None
    payment_intent: _Name | _Named | None = None


class _Data(msgspec.Struct):
    object: _Subject


class _Event(msgspec.Struct):
    """What counts of an event; all else in it is passed over."""

    object: Literal["event"]
    id: _Name
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[!-~]*$")]
    created: Annotated[int, msgspec.Meta(ge=0, le=_END_OF_TIME_S)]
    data: _Data


def payment_of(intent: Any) -> GatewayPayment:
    """Return a payment intent as it stands.

    One that was declined waits for another card: it asks for action until it is cancelled.
    """
    status = intent["status"]
    charge = intent.get("latest_charge")
    if status == "succeeded":
        return GatewayPayment(intent["id"], PaymentStatus.SUCCEEDED, charge=id_of(charge))
    if status == "canceled":
        return GatewayPayment(intent["id"], PaymentStatus.DECLINED, decline_of(intent))
    if status in {"processing", "requires_capture"}:
        return GatewayPayment(intent["id"], PaymentStatus.PENDING)
    return GatewayPayment(
        intent["id"],
        PaymentStatus.REQUIRES_ACTION,
        reason=_error_code(intent),
        client_secret=intent.get("client_secret"),
    )


def decline_of(intent: Any) -> str:
    """Return a stable word for why a payment intent came to nothing."""
    return _error_code(intent) or "canceled"


def refund_of(refund: Any, currency: str) -> GatewayRefund:
    return GatewayRefund(
        refund["id"],
        from_stripe(refund["amount"], currency),
        _REFUNDS.get(refund["status"], RefundStatus.PENDING),
        reason=refund.get("failure_reason"),
        key=(refund.get("metadata") or {}).get(KEY),
    )


def dispute_of(dispute: Any, currency: str) -> GatewayDispute:
    due_by = (dispute.get("evidence_details") or {}).get("due_by")
    return GatewayDispute(
        dispute["id"],
        from_stripe(dispute["amount"], currency),
        # An unknown word is taken for the one that sets money aside.
        _DISPUTES.get(dispute["status"], DisputeStatus.OPEN),
        reason=dispute["reason"],
        evidence_due_by=None if due_by is None else moment(due_by),
    )


def movements_of(
    charge: Any, refunds: Iterable[Any], disputes: Iterable[Any], currency: str
) -> Iterator[GatewayMovement]:
    """Return the lines of the statement that a payment has led to, as far as they are known."""
    if charge is not None and charge["status"] == "succeeded":
        yield from _movement(
            MovementKind.CHARGE,
            charge["id"],
            charge["amount_captured"],
            charge.get("balance_transaction"),
            currency,
        )
    for refund in refunds:
        amount = refund["amount"]
        gone, back = refund.get("balance_transaction"), refund.get("failure_balance_transaction")
        yield from _movement(MovementKind.REFUND, refund["id"], -amount, gone, currency)
        name = f"{refund['id']}/returned"
        yield from _movement(MovementKind.REFUND_RETURNED, name, amount, back, currency)
    for dispute in disputes:
        for line in dispute.get("balance_transactions") or ():
            amount = dispute["amount"] if line["amount"] > 0 else -dispute["amount"]
            presented = line["amount"] if line["currency"] == currency.lower() else amount
            yield from _movement(MovementKind.DISPUTE, line["id"], presented, line, currency)


_CONVERTED = frozenset({"charge", "payment", "refund", "payment_refund", "refund_failure"})
_RETURNS = frozenset({"refund_failure", "payout_failure", "payout_cancel"})


def lines_of(line: Any) -> Iterator[OutsideLine]:
    """Return what one balance transaction, with its source expanded, is in our books.

    The fee has a line of its own. What was converted is in the books of the payment's currency too,
    where it came and went.
    """
    source, kept = line.get("source"), line["currency"].upper()
    on = moment(line["created"]).date()
    name = id_of(source) or line["id"]
    if line["type"] in _RETURNS:
        name += "/returned"
    is_dispute = not isinstance(source, str) and (source or {}).get("object") == "dispute"
    if is_dispute:
        # A dispute has several lines, so they go by their own names.
        name = line["id"]
    amount = from_stripe(line["amount"], kept)
    paid_in = kept
    if not isinstance(source, str) and (is_dispute or line["type"] in _CONVERTED):
        paid_in = source["currency"].upper()
    if paid_in != kept:
        presented = from_stripe(source["amount"], paid_in) * (1 if amount > 0 else -1)
        yield OutsideLine(name, presented, paid_in, on, line["type"])
        name += "/converted"
        yield OutsideLine(name, -presented, paid_in, on, line["type"])
        yield OutsideLine(name, amount, kept, on, line["type"])
    elif amount:
        yield OutsideLine(name, amount, kept, on, line["type"])
    if line["fee"]:
        fee = from_stripe(line["fee"], kept)
        base = name.removesuffix("/converted")
        yield OutsideLine(f"{base}/fee", -fee, kept, on, f"{line['type']} fee")


def read_event(body: bytes) -> GatewayEvent:
    """Return the hint in the JSON of an event.

    Raises:
        ValueError: it is not JSON, or not built like an event.
    """
    if nesting(body) > DEPTH_MAX:
        raise ValueError("the event is nested too deep")
    # As text: a reader that skips what it does not need would let broken bytes pass.
    return _hint(msgspec.json.decode(body.decode(), type=_Event))


def event_of(event: object) -> GatewayEvent:
    """Return the hint in an event of the list. Raises as `read_event` does."""
    return _hint(msgspec.convert(event, _Event))


def id_of(value: Any) -> str | None:
    """Return the id of something that is named by it or there as a whole."""
    if value is None or isinstance(value, str):
        return value
    identifier = value["id"]
    assert isinstance(identifier, str)
    return identifier


def moment(seconds: int) -> datetime:
    """Return a time of Stripe's, which is seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def _movement(
    kind: MovementKind, name: str, presented: int, line: Any, currency: str
) -> Iterator[GatewayMovement]:
    if line is None or isinstance(line, str):
        return
    kept = line["currency"].upper()
    yield GatewayMovement(
        external_id=name,
        kind=kind,
        presented=from_stripe(presented, currency),
        amount=from_stripe(line["amount"], kept),
        currency=kept,
        fee=from_stripe(line["fee"], kept),
    )


def _error_code(intent: Any) -> str | None:
    error = intent.get("last_payment_error") or {}
    code = error.get("decline_code") or error.get("code")
    return str(code)[:64] if code else None


def _hint(event: _Event) -> GatewayEvent:
    subject = event.data.object
    payment = subject.payment_intent
    if isinstance(payment, _Named):
        payment = payment.id
    if subject.object == "payment_intent":
        payment = subject.id
    return GatewayEvent(
        id=event.id,
        type=event.type,
        created_at=moment(event.created),
        object_id=subject.id,
        payment=payment if subject.object in _OF_PAYMENTS else None,
    )
