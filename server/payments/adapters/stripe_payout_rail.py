"""Withdrawals through Stripe.

Stripe pays out to the bank account of the Stripe account that holds the money, and to no other. A
user who is to be paid therefore has an account of their own that is connected to ours (Connect):
the money is transferred to it, and paid out from there. ``destination`` is the connected account's
id, and may name one of its bank accounts: ``acct_…`` or ``acct_…/ba_…``.

Both steps are looked for before they are made, since Stripe forgets idempotency keys after a day.
What was transferred and cannot be paid out is taken back before the order is called refused.
"""

from collections.abc import Awaitable
from typing import Any

import stripe

from server.payments.adapters.stripe_amounts import to_stripe
from server.payments.adapters.stripe_calls import PAGE, StripeLine, definite, seen, whole_list
from server.payments.adapters.stripe_reading import KEY
from server.payments.gateway import GatewayRefused, GatewayUnavailable
from server.payments.payouts import (
    PayoutAnswer,
    PayoutOrder,
    PayoutStatus,
    RailUnavailable,
)

_STATUSES = {"paid": PayoutStatus.PAID, "failed": PayoutStatus.REFUSED}
_STATUSES |= {"canceled": PayoutStatus.REFUSED}
_Object = dict[str, Any]


class StripePayoutRail:
    """Pays from our balance at Stripe. Answers carry the transfer, which our statement shows."""

    name = "stripe"

    def __init__(self, key: str, *, url: str | None = None) -> None:
        self._line = StripeLine(key, url)
        self._api = self._line.api

    async def close(self) -> None:
        await self._line.close()

    async def send(self, order: PayoutOrder) -> PayoutAnswer:
        account, _, bank = order.destination.partition("/")
        try:
            transfer = await self._transfer_of(order) or await self._transfer(order, account)
        except GatewayRefused as refusal:
            return PayoutAnswer(PayoutStatus.REFUSED, reason=refusal.reason)
        if transfer["reversed"]:
            return PayoutAnswer(PayoutStatus.REFUSED, transfer["id"], "payout_failed")
        try:
            payout = await self._payout_of(order, account) or await self._payout(
                order, account, bank
            )
        except GatewayRefused as refusal:
            await self._take_back(order, transfer)
            return PayoutAnswer(PayoutStatus.REFUSED, transfer["id"], refusal.reason)
        return await self._answer(order, transfer, payout)

    async def find(self, order: PayoutOrder) -> PayoutAnswer | None:
        transfer = await self._transfer_of(order)
        if transfer is None:
            return None
        if transfer["reversed"]:
            return PayoutAnswer(PayoutStatus.REFUSED, transfer["id"], "payout_failed")
        payout = await self._payout_of(order, order.destination.partition("/")[0])
        # Only the first half was done: whoever asks sends the order again, which does the other.
        return None if payout is None else await self._answer(order, transfer, payout)

    async def _answer(self, order: PayoutOrder, transfer: _Object, payout: _Object) -> PayoutAnswer:
        status = _STATUSES.get(payout["status"], PayoutStatus.ACCEPTED)
        if status is not PayoutStatus.REFUSED:
            return PayoutAnswer(status, transfer["id"])
        await self._take_back(order, transfer)
        reason = str(payout.get("failure_code") or "payout_failed")[:64]
        return PayoutAnswer(status, transfer["id"], reason)

    async def _transfer(self, order: PayoutOrder, account: str) -> _Object:
        return await _done(
            self._api.transfers.create_async(
                {
                    "amount": to_stripe(order.amount, order.currency),
                    "currency": order.currency.lower(),
                    "destination": account,
                    "transfer_group": str(order.id),
                    "metadata": {KEY: str(order.id)},
                },
                {"idempotency_key": f"{order.id}/transfer"},
            )
        )

    async def _payout(self, order: PayoutOrder, account: str, bank: str) -> _Object:
        wish: dict[str, Any] = {
            "amount": to_stripe(order.amount, order.currency),
            "currency": order.currency.lower(),
            "description": order.reference,
            "metadata": {KEY: str(order.id)},
        }
        if bank:
            wish["destination"] = bank
        return await _done(
            self._api.payouts.create_async(
                wish,  # type: ignore[arg-type]
                {"idempotency_key": f"{order.id}/payout", "stripe_account": account},
            )
        )

    async def _take_back(self, order: PayoutOrder, transfer: _Object) -> None:
        try:
            await _done(
                self._api.transfers.reversals.create_async(
                    transfer["id"], {}, {"idempotency_key": f"{order.id}/reversal"}
                )
            )
        except GatewayRefused as refusal:
            if refusal.reason != "transfer_already_reversed":
                # Called refused before the money is ours again, it would be paid twice.
                raise RailUnavailable(f"the transfer did not come back: {refusal}") from refusal

    async def _transfer_of(self, order: PayoutOrder) -> _Object | None:
        listed = await _seen(
            self._api.transfers.list_async({"transfer_group": str(order.id), "limit": PAGE})
        )
        return await _first(listed, order)

    async def _payout_of(self, order: PayoutOrder, account: str) -> _Object | None:
        listed = await _seen(
            self._api.payouts.list_async({"limit": PAGE}, {"stripe_account": account})
        )
        return await _first(listed, order)


async def _first(listed: Any, order: PayoutOrder) -> _Object | None:
    """Return the object of a list that was made for an order."""
    try:
        found = await whole_list(listed)
    except GatewayUnavailable as error:
        raise RailUnavailable(str(error)) from error
    made = (each for each in found if (each.get("metadata") or {}).get(KEY) == str(order.id))
    return next(made, None)


async def _seen(call: Awaitable[Any]) -> Any:
    try:
        return await seen(call)
    except GatewayUnavailable as error:
        raise RailUnavailable(str(error)) from error


async def _done(call: Awaitable[stripe.StripeObject]) -> _Object:
    """Return what was made.

    Raises:
        GatewayRefused: a definite no.
        RailUnavailable: there was no usable answer.
    """
    try:
        made: _Object = await definite(call)
    except stripe.InvalidRequestError as error:
        raise GatewayRefused(str(error.code or "refused_by_stripe")[:64]) from error
    except (stripe.CardError, stripe.IdempotencyError, GatewayUnavailable) as error:
        raise RailUnavailable(type(error).__name__) from error
    return made
