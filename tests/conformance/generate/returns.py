"""What comes back of payments, and receipts for them."""

from typing import Any

from offline_protocol import Payment, PaymentRequest, Signed, Signer
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.offers import (
    ALMA,
    ANY,
    ASKED,
    BRUNO,
    HOLDER,
    PASSED,
    SHOP,
    TILL,
    fresh,
    one,
    pay,
)
from tests.conformance.generate.world import ISSUING, NOW, claim, entropy, extend, give_back


def add_returns(out: Vectors, usual: dict[str, Any]) -> None:
    first = pay(fresh(1), HOLDER, ANY, sequence=1)
    second = pay(fresh(2), HOLDER, ANY, sequence=2)
    longer = pay(PASSED, ALMA, ANY, sequence=3)
    back = [
        give_back(chain, SHOP, time=NOW, sequence=9 + at)
        for at, chain in enumerate((first, second, longer))
    ]
    ids = [chain.tip_id.hex() for chain in (first, second, longer)]
    for name, chains, sent in (
        ("of one chain", back[:1], ids[:1]),
        ("of one of several that we sent", back[:1], ids),
        ("of several chains", back, ids),
        ("of a longer chain", back[2:], ids[2:]),
    ):
        out.add("return", name, payment=Payment(tuple(chains)).encode(), sent=sent, **usual)
    for name, chains in {
        "a payment": [first],
        "a return and a payment": [back[0], second],
        "a claim": [claim(first, SHOP, time=NOW)],
        "a payment of what came back": [extend(back[0], HOLDER, BRUNO.key, time=NOW)],
    }.items():
        payment = Payment(tuple(chains)).encode()
        out.add("return", f"551: {name}", error=551, payment=payment, sent=ids, **usual)
    for name, chains, sent in (
        ("something that we did not send", back[:1], ids[1:]),
        ("one of two that we did not send", back[:2], ids[:1]),
        ("one transfer twice", [back[0], back[0]], ids),
        (
            "one transfer twice, by two returns",
            [back[0], give_back(first, SHOP, time=NOW, sequence=20)],
            ids,
        ),
        ("anything where we sent nothing", back[:1], []),
        ("what names the return itself", back[:1], [back[0].tip_id.hex()]),
    ):
        payment = Payment(tuple(chains)).encode()
        out.add("return", f"552: {name}", error=552, payment=payment, sent=sent, **usual)
    for number, name, broken in (
        (428, "signed by somebody else", give_back(first, SHOP, signed_by=ALMA.signer, time=NOW)),
        (414, "of a part", give_back(first, SHOP, hi=first.hi - 1, time=NOW)),
        (421, "without a certificate", give_back(first, SHOP, proof=None, time=NOW)),
    ):
        payment = Payment((broken,)).encode()
        out.add("return", f"{number}: {name}", error=number, payment=payment, sent=ids, **usual)


def add_receipts(out: Vectors) -> None:
    exact = world.request(SHOP, amount=2_500)
    two = Payment(
        (pay(fresh(1), HOLDER, exact, sequence=1), pay(fresh(2), HOLDER, exact, sequence=2))
    )
    single, ids = one(ASKED), one(ASKED).transfer_ids

    def add(
        name: str,
        number: int | None = None,
        *,
        payment: Payment = single,
        asked: Signed[PaymentRequest] = ASKED,
        by: Signer = SHOP.signer,
        **changes: Any,
    ) -> None:
        receipt = world.receipt(payment, asked, by, **changes)
        out.add(
            "receipt",
            name if number is None else f"{number}: {name}",
            error=number,
            receipt=receipt.envelope,
            request=asked.envelope,
            payment=payment.encode(),
        )

    add("for one chain")
    add("for two chains", payment=two, asked=exact)
    add("of another time", time=0)
    hard = world.request(TILL)
    add("of hardware", payment=one(hard), asked=hard, by=TILL.signer)
    other = entropy("transfer")
    add("another request", 601, request_id=entropy("r", size=16))
    add("no request", 601, request_id=bytes(16))
    add("another request and amount", 601, request_id=bytes(16), amount=1)
    add("another transfer", 602, transfer_ids=(other,))
    add("one transfer more", 602, transfer_ids=tuple(sorted((*ids, other))))
    add("one of two transfers", 602, payment=two, asked=exact, transfer_ids=two.transfer_ids[:1])
    longer = Payment((pay(PASSED, ALMA, ASKED),))
    add("the first transfer and not the last", 602, payment=longer, transfer_ids=(PASSED.tip_id,))
    add("a unit less", 603, amount=1_249)
    add("a unit more", 603, amount=1_251)
    add("the greatest amount", 603, amount=2**53 - 1)
    add("signed by the payer", 604, by=HOLDER.signer)
    add("signed by a stranger", 604, by=world.STRANGER)
    add("signed by a key of another algorithm", 604, by=TILL.signer)
    add("signed by the issuer", 604, by=ISSUING)
    good = world.receipt(single, ASKED, SHOP.signer)
    for name, envelope in {
        "with a bit turned": good.envelope[:-1] + bytes([good.envelope[-1] ^ 1]),
        "signed as a transfer": world.envelope("transfer", good.body.payload, SHOP.signer),
    }.items():
        out.add(
            "receipt",
            f"604: {name}",
            error=604,
            receipt=envelope,
            request=ASKED.envelope,
            payment=single.encode(),
        )
