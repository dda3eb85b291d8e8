"""Disputes: money withheld until a bank has decided."""

from sim.stripe import params
from sim.stripe.errors import invalid, missing
from sim.stripe.forms import Params
from sim.stripe.money import DISPUTE_FEE, post_line
from sim.stripe.store import Body, Store

_WEEK_S = 7 * 86_400


def create(
    store: Store, charge: Body, amount: int, reason: str, *, is_inquiry: bool = False
) -> Body:
    """A card's owner contests a charge; unless it is only a question, money is withheld."""
    dispute = store.new(
        "dp",
        "dispute",
        {
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "evidence": {},
            "evidence_details": {
                "due_by": store.now() + _WEEK_S,
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": is_inquiry,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "warning_needs_response" if is_inquiry else "needs_response",
        },
    )
    charge["disputed"] = True
    store.save(charge)
    store.emit("charge.dispute.created", dispute)
    if not is_inquiry:
        _move(store, dispute, -amount, DISPUTE_FEE, "dispute")
        store.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def update(store: Store, identifier: str, given: Params) -> Body:
    params.known(given, "evidence", "submit", "metadata")
    dispute = find(store, identifier)
    if dispute["status"] not in {"needs_response", "warning_needs_response"}:
        raise invalid("This dispute takes no evidence any more.")
    if isinstance(given.get("evidence"), dict):
        dispute["evidence"] |= given["evidence"]
        dispute["evidence_details"]["has_evidence"] = True
    if params.truth(given, "submit"):
        dispute["evidence_details"]["submission_count"] += 1
        dispute["status"] = dispute["status"].replace("needs_response", "under_review")
    store.save(dispute)
    store.emit("charge.dispute.updated", dispute)
    return dispute


def close(store: Store, identifier: str) -> Body:
    """Accept a dispute: it is lost."""
    return decide(store, identifier, "lost")


def decide(store: Store, identifier: str, result: str) -> Body:
    """Say what the bank decides: ``won``, ``lost``, or ``warning_closed`` for a question."""
    dispute = find(store, identifier)
    ended = {"won", "warning_closed", "prevented"}
    if dispute["status"] in ended or (dispute["status"] == "lost" and result == "lost"):
        raise invalid("This dispute is decided.")
    dispute["status"] = result
    store.save(dispute)
    store.emit("charge.dispute.closed", dispute)
    if result == "won" and dispute["balance_transactions"]:
        _move(store, dispute, dispute["amount"], 0, "dispute_reversal")
        store.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def find(store: Store, identifier: str) -> Body:
    dispute = store.get("dispute", identifier)
    if dispute is None:
        raise missing("dispute", identifier)
    return dispute


def _move(store: Store, dispute: Body, amount: int, fee: int, category: str) -> None:
    line = post_line(
        store,
        "adjustment",
        amount,
        dispute["currency"],
        dispute["id"],
        fee=fee,
        category=category,
    )
    dispute["balance_transactions"].append(line)
    store.save(dispute)
