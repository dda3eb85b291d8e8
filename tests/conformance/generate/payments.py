"""Payments as their payees judge them, what comes back of them, and receipts."""

from typing import Any

from tests.conformance.generate import world
from tests.conformance.generate.broken_payments import BROKEN, bad_bytes
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.good_payments import good
from tests.conformance.generate.offers import ASKED
from tests.conformance.generate.refused_payments import REFUSED
from tests.conformance.generate.returns import add_receipts, add_returns
from tests.conformance.generate.world import NOW


def vectors() -> Vectors:
    out = Vectors("payments", "Payments, returns and receipts")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    usual: dict[str, Any] = {"key_set": trusted, "now": NOW, "floor": 0, "revoked": []}
    for name, offer in good():
        out.add(
            "payment",
            name,
            payment=offer.payment.encode(),
            request=offer.request.envelope,
            **(usual | offer.context),
        )
    for number, found in (BROKEN | REFUSED).items():
        for name, offer in found():
            out.add(
                "payment",
                f"{number}: {name}",
                error=number,
                payment=offer.payment.encode(),
                request=offer.request.envelope,
                **(usual | offer.context),
            )
    for name, number, data in bad_bytes():
        out.add(
            "payment",
            f"{number}: {name}",
            error=number,
            payment=data,
            request=ASKED.envelope,
            **usual,
        )
    add_returns(out, usual)
    add_receipts(out)
    return out
