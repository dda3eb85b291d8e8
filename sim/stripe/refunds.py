"""Refunds. A card named for it makes them wait, or come back."""

from sim.stripe import intents, params
from sim.stripe.errors import invalid, missing, refused
from sim.stripe.forms import Params
from sim.stripe.money import post_line
from sim.stripe.store import Body, Store


def create(store: Store, given: Params) -> Body:
    params.known(
        given, "amount", "charge", "payment_intent", "metadata", "reason", "instructions_email"
    )
    charge = _charge_of(store, given)
    rest = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.amount(given, default=rest or 1)
    if charge["disputed"] and _is_contested(store, charge):
        raise refused("This charge is disputed.", code="charge_disputed")
    if rest == 0:
        raise refused(f"Charge {charge['id']} was refunded.", code="charge_already_refunded")
    if amount > rest:
        raise refused(f"Refund amount is greater than {rest}.", code="amount_too_large")
    refund = store.new(
        "re",
        "refund",
        {
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "currency": charge["currency"],
            "failure_balance_transaction": None,
            "failure_reason": None,
            "metadata": params.metadata(given),
            "payment_intent": charge["payment_intent"],
            "reason": given.get("reason"),
            "status": "pending"
            if charge["payment_method"] == "pm_card_pendingRefund"
            else "succeeded",
        },
    )
    line = post_line(store, "refund", -amount, charge["currency"], refund["id"])
    refund["balance_transaction"] = line["id"]
    store.save(refund)
    _give_back(store, charge, amount)
    store.emit("refund.created", refund)
    store.emit("charge.refunded", store.any(charge["id"]) or charge)
    return refund


def decide(store: Store, identifier: str, status: str) -> Body:
    """Say what became of a refund: ``succeeded``, or ``failed``, also after that."""
    refund = find(store, identifier)
    if refund["status"] == "failed" or (refund["status"], status) == ("succeeded", "succeeded"):
        raise invalid("This refund is decided.")
    refund["status"] = status
    if status == "failed":
        refund["failure_reason"] = "lost_or_stolen_card"
        line = post_line(
            store, "refund_failure", refund["amount"], refund["currency"], refund["id"]
        )
        refund["failure_balance_transaction"] = line["id"]
        charge = store.get("charge", refund["charge"])
        assert charge is not None
        _give_back(store, charge, -refund["amount"])
    store.save(refund)
    store.emit("refund.failed" if status == "failed" else "refund.updated", refund)
    return refund


def find(store: Store, identifier: str) -> Body:
    refund = store.get("refund", identifier)
    if refund is None:
        raise missing("refund", identifier)
    return refund


def _give_back(store: Store, charge: Body, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    store.save(charge)


def _is_contested(store: Store, charge: Body) -> bool:
    return any(
        dispute["charge"] == charge["id"]
        and not dispute["is_charge_refundable"]
        and dispute["status"] != "won"
        for dispute in store.all("dispute")
    )


def _charge_of(store: Store, given: Params) -> Body:
    identifier = given.get("charge")
    if identifier is None:
        intent = intents.find(store, str(params.required(given, "payment_intent")))
        identifier = intent["latest_charge"]
    charge = store.get("charge", str(identifier))
    if charge is None:
        raise missing("charge", str(identifier))
    if charge["status"] != "succeeded":
        raise invalid("This charge has not succeeded.", param="charge")
    return charge
