"""Calls of Stripe with its official library: what is an answer, and what is none.

The library itself tries nothing again: our own jobs do, with the same keys.
"""

from collections.abc import Awaitable
from typing import Any, TypeVar

import stripe

from server.kit.telemetry import get_logger
from server.payments.gateway import GatewayUnavailable

T = TypeVar("T")
PAGE = 100
TIMEOUT_S = 20
_SCANNED_MAX = 20_000
_NOT_PAYABLE = frozenset({"amount_too_small", "amount_too_large", "invalid_currency"})
_log = get_logger(__name__)
# It would tell Stripe about this machine and how long calls took.
stripe.enable_telemetry = False


class StripeLine:
    """A connection to one account; ``url`` is another address of the interface, for tests."""

    def __init__(self, key: str, url: str | None) -> None:
        self.http = stripe.HTTPXClient(timeout=TIMEOUT_S)
        self.api = stripe.StripeClient(
            key,
            base_addresses={"api": url} if url else {},
            http_client=self.http,
            max_network_retries=0,
        ).v1

    async def close(self) -> None:
        await self.http.close_async()  # type: ignore[no-untyped-call]


async def definite(call: Awaitable[stripe.StripeObject]) -> Any:
    """Return an object as plain dictionaries; a definite no of Stripe's is raised as it is.

    Raises:
        GatewayUnavailable: there was no usable answer.
    """
    try:
        return (await call).to_dict()
    except (stripe.CardError, stripe.IdempotencyError, stripe.InvalidRequestError):
        raise
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        _log.error("stripe_refuses_our_key", status=error.http_status)
        raise GatewayUnavailable("Stripe refuses our key") from error
    except stripe.StripeError as error:
        raise _no_answer(error) from error


async def seen(call: Awaitable[T]) -> T:
    """Return what a question that changes nothing gives.

    Raises:
        GatewayUnavailable: there was no usable answer.
    """
    try:
        return await call
    except stripe.StripeError as error:
        raise _no_answer(error) from error


async def whole_list(listed: Any) -> list[dict[str, Any]]:
    """Return every object of a list, page after page, the newest first.

    Raises:
        GatewayUnavailable: a page did not come, or there are too many.
    """
    found: list[dict[str, Any]] = []
    try:
        async for each in listed.auto_paging_iter():
            found.append(each.to_dict())
            if len(found) > _SCANNED_MAX:
                raise GatewayUnavailable("the list at Stripe is longer than we read")
    except stripe.StripeError as error:
        raise _no_answer(error) from error
    return found


def reason_of(error: stripe.StripeError) -> str:
    """Return a stable word for a refusal, never Stripe's free text."""
    code = str(error.code or "refused_by_stripe")
    if code in _NOT_PAYABLE:
        return "amount_not_payable"
    return "card_unknown" if code == "resource_missing" else code[:64]


def _no_answer(error: stripe.StripeError) -> GatewayUnavailable:
    return GatewayUnavailable(f"{type(error).__name__} {error.http_status or ''}".rstrip())
