"""Parameters of requests, read as the interface does: everything is text."""

from collections.abc import Callable
from typing import Any

from sim.stripe.errors import invalid
from sim.stripe.forms import Params
from sim.stripe.store import Body

AMOUNT_MAX = 99_999_999
PAGE_DEFAULT, PAGE_MAX = 10, 100


def known(params: Params, *names: str) -> None:
    """Refuse parameters that the address does not have."""
    unknown = set(params) - set(names) - {"expand"}
    if unknown:
        name = min(unknown)
        raise invalid(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def required(params: Params, name: str) -> Any:
    if params.get(name) in {None, ""}:
        raise invalid(f"Missing required param: {name}.", code="parameter_missing", param=name)
    return params[name]


def whole(params: Params, name: str, default: int | None = None) -> int:
    text = params.get(name) if default is not None else required(params, name)
    if text is None:
        assert default is not None
        return default
    try:
        return int(text)
    except (TypeError, ValueError):
        raise invalid(
            f"Invalid integer: {text}", code="parameter_invalid_integer", param=name
        ) from None


def amount(params: Params, *, minimum: int = 1, default: int | None = None) -> int:
    value = whole(params, "amount", default)
    if value < minimum:
        raise invalid(
            f"Amount must be at least {minimum}.", code="amount_too_small", param="amount"
        )
    if value > AMOUNT_MAX:
        raise invalid("Amount is too large.", code="amount_too_large", param="amount")
    return value


def currency(params: Params) -> str:
    text = str(required(params, "currency"))
    if len(text) != 3 or not text.isalpha():  # noqa: PLR2004 - ISO 4217
        raise invalid(f"Invalid currency: {text}", param="currency")
    return text.lower()


def truth(params: Params, name: str) -> bool:
    return str(params.get(name, "false")).lower() == "true"


def metadata(params: Params) -> dict[str, str]:
    found = params.get("metadata") or {}
    if not isinstance(found, dict):
        raise invalid("Invalid metadata", param="metadata")
    return {key: str(value) for key, value in found.items()}


def page(params: Params, found: list[Body], url: str) -> Body:
    """Return one page of a list, the newest first; bounds of ``created`` are seconds."""
    bounds = params.get("created")
    checks: dict[str, Callable[[int, int], bool]] = {
        "gt": lambda at, bound: at > bound,
        "gte": lambda at, bound: at >= bound,
        "lt": lambda at, bound: at < bound,
        "lte": lambda at, bound: at <= bound,
    }
    if isinstance(bounds, dict):
        for name, bound in bounds.items():
            found = [one for one in found if checks[name](one["created"], int(bound))]
    if after := params.get("starting_after"):
        ids = [one["id"] for one in found]
        if after not in ids:
            raise invalid(f"No such object: '{after}'", param="starting_after")
        found = found[ids.index(after) + 1 :]
    limit = min(max(whole(params, "limit", PAGE_DEFAULT), 1), PAGE_MAX)
    return {
        "object": "list",
        "url": url,
        "data": found[:limit],
        "has_more": len(found) > limit,
    }
