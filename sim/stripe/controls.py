"""What time, banks and people decide, and what the network does: calls below ``/_control``."""

from collections.abc import Callable

from sim.stripe import disputes, intents, payouts, refunds
from sim.stripe.errors import ApiError, missing
from sim.stripe.money import post_line
from sim.stripe.store import Body, Store

FAULTS = frozenset({"lose_answer", "error_500", "before_500", "conflict", "rate_limit", "drop"})


def control(store: Store, name: str, wish: Body) -> Body:
    """Carry out one call and return what it changed.

    Raises:
        ApiError: there is no such call, or it does not fit what it is about.
    """
    if name not in _CONTROLS:
        raise ApiError(404, "invalid_request_error", f"No control {name}.")
    try:
        return _CONTROLS[name](store, wish)
    except KeyError as error:
        raise ApiError(400, "invalid_request_error", f"{error} is missing.") from error


def _bank(store: Store, wish: Body) -> Body:
    return intents.decide(store, wish["payment_intent"], success=wish["success"])


def _dispute(store: Store, wish: Body) -> Body:
    charge = store.get("charge", wish["charge"])
    if charge is None:
        raise missing("charge", wish["charge"])
    return disputes.create(
        store,
        charge,
        wish["amount"] if "amount" in wish else charge["amount"],
        wish.get("reason", "fraudulent"),
        is_inquiry=wish.get("inquiry", False),
    )


def _settlement(store: Store, wish: Body) -> Body:
    store.set("settlement_currency", wish["currency"])
    store.set("settlement_rate", str(wish["rate_millionths"]))
    return {}


def _fund(store: Store, wish: Body) -> Body:
    """Put money into the platform's balance, as a bank transfer to it would."""
    return post_line(store, "topup", wish["amount"], wish["currency"], "tu_by_hand")


def _fault(store: Store, wish: Body) -> Body:
    if wish["kind"] not in FAULTS:
        raise ApiError(400, "invalid_request_error", f"Faults are {', '.join(sorted(FAULTS))}.")
    for _ in range(wish.get("times", 1)):
        store.plan_fault(wish["path"], wish["kind"])
    return {}


def _clock(store: Store, wish: Body) -> Body:
    shift = int(store.setting("clock_shift_s") or 0) + wish["seconds"]
    store.set("clock_shift_s", str(shift))
    return {"shift_s": shift}


def _endpoint(store: Store, wish: Body) -> Body:
    """Send an endpoint's webhooks somewhere else."""
    found = store.get("webhook_endpoint", wish["endpoint"])
    if found is None:
        raise missing("webhook_endpoint", wish["endpoint"])
    return store.save(found | {"url": wish["url"]})


def _reset(store: Store, _: Body) -> Body:
    """Forget everything."""
    store.clear()
    return {}


def _webhooks(store: Store, wish: Body) -> Body:
    store.set("webhooks", wish["mode"])
    return {}


_CONTROLS: dict[str, Callable[[Store, Body], Body]] = {
    "bank": _bank,
    "refund": lambda store, wish: refunds.decide(store, wish["refund"], wish["status"]),
    "dispute": _dispute,
    "dispute_result": lambda store, wish: disputes.decide(store, wish["dispute"], wish["result"]),
    "payout": lambda store, wish: payouts.decide(store, wish["payout"], wish["status"]),
    "settlement": _settlement,
    "fund": _fund,
    "fault": _fault,
    "clock": _clock,
    "webhooks": _webhooks,
    "endpoint": _endpoint,
    "reset": _reset,
}
