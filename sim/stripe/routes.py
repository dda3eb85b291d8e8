"""Which address does what, in the interface's own words."""

import re
import secrets
from collections.abc import Callable
from typing import Any

from sim.stripe import disputes, intents, params, payouts, refunds
from sim.stripe.errors import ApiError, missing
from sim.stripe.forms import Params
from sim.stripe.store import Body, Store

Handler = Callable[[Store, list[str], Params, str], Body]
_ID = "([A-Za-z0-9_]+)"


def route(method: str, path: str) -> tuple[Handler, list[str]]:
    """Return what serves an address, and the ids in it.

    Raises:
        ApiError: nothing does.
    """
    for verb, pattern, handler in _ROUTES:
        if verb == method and (match := re.fullmatch(pattern, path)):
            return handler, list(match.groups())
    raise ApiError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")


def expanded(store: Store, body: Body, wishes: list[str]) -> Body:
    """Return an answer with ids replaced by the objects that somebody wants to see."""
    for wish in wishes:
        _expand(store, body, wish.split("."))
    return body


def _expand(store: Store, node: Any, path: list[str]) -> None:
    if isinstance(node, list):
        for each in node:
            _expand(store, each, path)
        return
    if not isinstance(node, dict) or path[0] not in node:
        return
    value = node[path[0]]
    if isinstance(value, str) and value and (found := store.any(value)) is not None:
        value = node[path[0]] = found
    if path[1:]:
        _expand(store, value, path[1:])


def _get(kind: str) -> Handler:
    def handler(store: Store, ids: list[str], _: Params, account: str) -> Body:
        found = store.get(kind, ids[0], account=account)
        if found is None:
            raise missing(kind, ids[0])
        return found

    return handler


def _list(kind: str, *filters: str) -> Handler:
    def handler(store: Store, _: list[str], given: Params, account: str) -> Body:
        params.known(given, *filters, "created", "limit", "starting_after")
        wanted = {name: given[name] for name in filters if name in given}
        found = store.all(
            kind,
            lambda body: all(body.get(name) == value for name, value in wanted.items()),
            account=account,
        )
        return params.page(given, found, f"/v1/{kind}s")

    return handler


def _events(store: Store, _: list[str], given: Params, account: str) -> Body:
    params.known(given, "type", "types", "created", "limit", "starting_after")
    types = given.get("types") or ([given["type"]] if "type" in given else None)
    found = store.all("event", lambda body: types is None or body["type"] in types, account=account)
    return params.page(given, found, "/v1/events")


def _balance(store: Store, _: list[str], given: Params, account: str) -> Body:
    params.known(given)
    sums: dict[str, int] = {}
    for line in store.all("balance_transaction", account=account):
        sums[line["currency"]] = sums.get(line["currency"], 0) + line["net"]
    available = [{"amount": each, "currency": name} for name, each in sorted(sums.items())]
    return {"object": "balance", "available": available, "pending": [], "livemode": False}


def _endpoint(store: Store, _: list[str], given: Params, __: str) -> Body:
    params.known(given, "url", "enabled_events", "description", "api_version", "metadata")
    return store.new(
        "we",
        "webhook_endpoint",
        {
            "url": params.required(given, "url"),
            "enabled_events": given.get("enabled_events", ["*"]),
            "secret": f"whsec_{secrets.token_hex(16)}",
            "status": "enabled",
        },
    )


_ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", "/v1/payment_intents", lambda s, _, g, __: intents.create(s, g)),
    ("GET", "/v1/payment_intents", _list("payment_intent", "customer")),
    ("GET", f"/v1/payment_intents/{_ID}", _get("payment_intent")),
    ("POST", f"/v1/payment_intents/{_ID}/confirm", lambda s, i, g, _: intents.confirm(s, i[0], g)),
    ("POST", f"/v1/payment_intents/{_ID}/capture", lambda s, i, g, _: intents.capture(s, i[0], g)),
    ("POST", f"/v1/payment_intents/{_ID}/cancel", lambda s, i, g, _: intents.cancel(s, i[0], g)),
    ("GET", "/v1/charges", _list("charge", "payment_intent")),
    ("GET", f"/v1/charges/{_ID}", _get("charge")),
    ("POST", "/v1/refunds", lambda s, _, g, __: refunds.create(s, g)),
    ("GET", "/v1/refunds", _list("refund", "charge", "payment_intent")),
    ("GET", f"/v1/refunds/{_ID}", _get("refund")),
    ("GET", "/v1/disputes", _list("dispute", "charge", "payment_intent")),
    ("GET", f"/v1/disputes/{_ID}", _get("dispute")),
    ("POST", f"/v1/disputes/{_ID}", lambda s, i, g, _: disputes.update(s, i[0], g)),
    ("POST", f"/v1/disputes/{_ID}/close", lambda s, i, _, __: disputes.close(s, i[0])),
    ("POST", "/v1/accounts", lambda s, _, g, __: payouts.create_account(s, g)),
    ("GET", f"/v1/accounts/{_ID}", _get("account")),
    ("POST", "/v1/transfers", lambda s, _, g, __: payouts.transfer(s, g)),
    ("GET", "/v1/transfers", _list("transfer", "destination", "transfer_group")),
    ("GET", f"/v1/transfers/{_ID}", _get("transfer")),
    ("POST", f"/v1/transfers/{_ID}/reversals", lambda s, i, g, _: payouts.reverse(s, i[0], g)),
    ("POST", "/v1/payouts", lambda s, _, g, account: payouts.create(s, g, account)),
    ("GET", "/v1/payouts", _list("payout", "status", "destination")),
    ("GET", f"/v1/payouts/{_ID}", _get("payout")),
    ("POST", f"/v1/payouts/{_ID}/cancel", lambda s, i, _, a: payouts.cancel(s, i[0], a)),
    ("GET", "/v1/balance", _balance),
    ("GET", "/v1/balance_transactions", _list("balance_transaction", "type", "source", "currency")),
    ("GET", f"/v1/balance_transactions/{_ID}", _get("balance_transaction")),
    ("GET", "/v1/events", _events),
    ("GET", f"/v1/events/{_ID}", _get("event")),
    ("POST", "/v1/webhook_endpoints", _endpoint),
    ("GET", "/v1/webhook_endpoints", _list("webhook_endpoint")),
]
