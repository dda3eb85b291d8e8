"""Payments for requests, put together from the parts that a case needs."""

from dataclasses import dataclass, field
from typing import Any

from offline_protocol import Chain, Payment, PaymentRequest, Signed
from tests.conformance.generate import world
from tests.conformance.generate.world import NOW, Device, extend

MINUTE_AGO = NOW - 60
SHOP = world.device("shop", display_name="Shop am Eck")
TILL = world.device("till", hardware=True)
HOLDER, ALMA, BRUNO = (world.device(f"payer {place}") for place in range(3))
SAFE = world.device("safe payer", hardware=True, by=world.ISSUING_P256)


@dataclass(frozen=True)
class Offer:
    """A payment, the request that it answers, and what its payee knows."""

    payment: Payment
    request: Signed[PaymentRequest]
    context: dict[str, Any] = field(default_factory=dict)


def fresh(serial: object = 0, holder: Device = HOLDER, **changes: Any) -> Chain:
    return Chain(world.voucher(holder.key, serial=serial, **changes))


def pay(
    chain: Chain, by: Device, asked: Signed[PaymentRequest], *, amount: int = 1_250, **changes: Any
) -> Chain:
    """The lowest units of a chain, for this request, a minute ago."""
    fields: dict[str, Any] = {
        "lo": chain.lo,
        "hi": chain.lo + amount,
        "request_id": asked.body.request_id,
        "time": MINUTE_AGO,
    }
    payee = changes.pop("payee", asked.body.payee)
    return extend(chain, by, payee, **(fields | changes))


def one(asked: Signed[PaymentRequest], amount: int = 1_250, **changes: Any) -> Payment:
    return Payment((pay(fresh(), HOLDER, asked, amount=amount, **changes),))


ASKED = world.request(SHOP)
ANY = world.request(SHOP, amount=0)
PASSED = extend(fresh(), HOLDER, ALMA.key, hi=9_000)
