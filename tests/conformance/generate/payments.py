"""Payments as their payees judge them, what comes back of them, and receipts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from offline_protocol import (
    Chain,
    Limits,
    Payment,
    PaymentRequest,
    Signed,
    Signer,
    VoucherLimits,
)
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.world import (
    DAY,
    ISSUING,
    NOW,
    SLACK,
    Device,
    claim,
    entropy,
    extend,
    give_back,
)

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
    fields = {
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


def vectors() -> Vectors:
    out = Vectors("payments", "Payments, returns and receipts")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    usual = {"key_set": trusted, "now": NOW, "floor": 0, "revoked": []}
    for name, offer in _good():
        out.add(
            "payment",
            name,
            payment=offer.payment.encode(),
            request=offer.request.envelope,
            **(usual | offer.context),
        )
    for number, found in _BAD.items():
        for name, offer in found():
            out.add(
                "payment",
                f"{number}: {name}",
                error=number,
                payment=offer.payment.encode(),
                request=offer.request.envelope,
                **(usual | offer.context),
            )
    for name, number, data in _bad_bytes():
        out.add(
            "payment",
            f"{number}: {name}",
            error=number,
            payment=data,
            request=ASKED.envelope,
            **usual,
        )
    _add_returns(out, usual)
    _add_receipts(out)
    return out


def _good() -> Iterator[tuple[str, Offer]]:
    yield "of one hop", Offer(one(ASKED), ASKED)
    yield "of one hop without a certificate", Offer(one(ASKED, proof=None), ASKED)
    yield "of two hops", Offer(Payment((pay(PASSED, ALMA, ASKED),)), ASKED)
    asked = world.request(TILL)
    yield "to hardware", Offer(one(asked), asked)
    safe = fresh("safe", SAFE, by=world.ISSUING_P256)
    yield "from hardware", Offer(Payment((pay(safe, SAFE, ASKED),)), ASKED)
    yield "of any amount", Offer(one(ANY, 7), ANY)
    yield "of all units", Offer(one(ANY, 20_000), ANY)
    several = tuple(pay(fresh(place), HOLDER, ANY, sequence=place) for place in range(8))
    yield "of eight chains", Offer(Payment(several), ANY)
    yield "of chains in another order", Offer(Payment(several[::-1]), ANY)
    exact = world.request(SHOP, amount=2_500)
    yield "of two chains to the amount", Offer(
        Payment((pay(fresh(1), HOLDER, exact, sequence=1), pay(fresh(2), HOLDER, exact, sequence=2))),
        exact,
    )
    yield "of two pieces that touch", Offer(
        Payment(
            (
                pay(fresh(), HOLDER, exact, sequence=1),
                pay(fresh(), HOLDER, exact, sequence=2, lo=1_250, hi=2_500),
            )
        ),
        exact,
    )
    yield "of two pieces by one way", Offer(
        Payment(
            (
                pay(PASSED, ALMA, exact, sequence=1),
                pay(PASSED, ALMA, exact, sequence=2, lo=1_250, hi=2_500),
            )
        ),
        exact,
    )
    yield "of two payers", Offer(
        Payment((pay(fresh(1), HOLDER, exact), pay(fresh(2, ALMA), ALMA, exact))), exact
    )
    yield "of two payers with one number each", Offer(
        Payment(
            (
                pay(fresh(1), HOLDER, exact, sequence=5),
                pay(fresh(2, ALMA), ALMA, exact, sequence=5),
            )
        ),
        exact,
    )
    back = give_back(extend(fresh(), HOLDER, ALMA.key), ALMA)
    yield "of what came back", Offer(Payment((pay(back, HOLDER, ASKED),)), ASKED)
    yield "dated ahead within the slack", Offer(one(ASKED, time=NOW + SLACK), ASKED)
    late = world.request(SHOP, expires_at=NOW - 200)
    yield "in the last second of its request and the slack", Offer(
        one(late, time=NOW - 200 + SLACK), late
    )
    spend_by = fresh().voucher.body.spend_by
    limit = world.certificate(HOLDER.key, valid_to=spend_by)
    then = world.request(SHOP, expires_at=spend_by)
    yield "in the last second of its voucher and the slack", Offer(
        one(then, time=spend_by, proof=limit), then, {"now": spend_by + SLACK}
    )
    last = HOLDER.certificate.body.valid_to
    then = world.request(SHOP, expires_at=last)
    yield "in the last second of a certificate and the slack", Offer(
        one(then, time=last), then, {"now": last + SLACK}
    )
    old = world.certificate(HOLDER.key, valid_from=NOW - 9 * DAY, valid_to=NOW - DAY + 3_600)
    passed = extend(fresh(), HOLDER, ALMA.key, hi=9_000, proof=old)
    yield "whose earlier certificate has expired", Offer(Payment((pay(passed, ALMA, ASKED),)), ASKED)
    at_limit = fresh(limits=VoucherLimits(8, 1_250))
    yield "of as much as a voucher allows", Offer(Payment((pay(at_limit, HOLDER, ASKED),)), ASKED)
    yield "with others revoked", Offer(
        one(ASKED), ASKED, {"revoked": [ALMA.key.id.hex(), SHOP.key.id.hex(), entropy("x").hex()]}
    )
    yield "by a clock that is behind the floor", Offer(
        one(ASKED), ASKED, {"now": NOW - 400 * DAY, "floor": NOW}
    )
    huge = fresh("huge", value=2**53 - 1, limits=VoucherLimits(8, 2**53 - 1))
    yield "of the greatest amount", Offer(
        Payment((pay(huge, HOLDER, ANY, amount=2**53 - 1, proof=None),)), ANY
    )


def _all_pay() -> Iterator[tuple[str, Offer]]:
    asked = ASKED
    chain = pay(fresh(), HOLDER, asked)
    yield "a claim", Offer(Payment((claim(chain, SHOP, time=NOW),)), asked)
    yield "a return", Offer(Payment((give_back(chain, SHOP, time=NOW),)), asked)
    yield "a payment and a claim", Offer(
        Payment((chain, claim(fresh(1), HOLDER, time=NOW))), asked
    )


def _to_payee() -> Iterator[tuple[str, Offer]]:
    yield "to somebody else", Offer(one(ASKED, payee=BRUNO.key), ASKED)
    yield "to the payer", Offer(one(ASKED, payee=HOLDER.key), ASKED)
    yield "one of two to somebody else", Offer(
        Payment(
            (
                pay(fresh(1), HOLDER, ANY, sequence=1),
                pay(fresh(2), HOLDER, ANY, sequence=2, payee=BRUNO.key),
            )
        ),
        ANY,
    )


def _of_request() -> Iterator[tuple[str, Offer]]:
    other = world.request(SHOP, nonce=1)
    yield "for another request", Offer(one(other), ASKED)
    yield "for no request", Offer(one(ASKED, request_id=bytes(16)), ASKED)
    yield "for half of a request", Offer(one(ASKED, request_id=ASKED.id[16:]), ASKED)
    yield "for the request with another memo", Offer(one(world.request(SHOP, memo="x")), ASKED)
    yield "one of two for another request", Offer(
        Payment((pay(fresh(1), HOLDER, ANY, sequence=1), pay(fresh(2), HOLDER, other, sequence=2))),
        ANY,
    )


def _in_currency() -> Iterator[tuple[str, Offer]]:
    yen = fresh(currency="JPY")
    yield "in yen", Offer(Payment((pay(yen, HOLDER, ASKED),)), ASKED)
    yield "one of two in yen", Offer(
        Payment((pay(fresh(1), HOLDER, ANY, sequence=1), pay(yen, HOLDER, ANY, sequence=2))), ANY
    )


def _distinct() -> Iterator[tuple[str, Offer]]:
    chain = pay(fresh(), HOLDER, ANY)
    yield "one chain twice", Offer(Payment((chain, chain)), ANY)
    yield "two pieces that share a unit", Offer(
        Payment(
            (
                pay(fresh(), HOLDER, ANY, sequence=1),
                pay(fresh(), HOLDER, ANY, sequence=2, lo=1_249, hi=1_300),
            )
        ),
        ANY,
    )
    yield "a piece inside another", Offer(
        Payment(
            (
                pay(fresh(), HOLDER, ANY, sequence=1),
                pay(fresh(1), HOLDER, ANY, sequence=2),
                pay(fresh(), HOLDER, ANY, sequence=3, lo=100, hi=101),
            )
        ),
        ANY,
    )
    other = extend(fresh(), HOLDER, BRUNO.key, hi=9_000, sequence=99)
    yield "one unit by two ways", Offer(
        Payment((pay(PASSED, ALMA, ANY), pay(other, BRUNO, ANY))), ANY
    )


def _without_fork() -> Iterator[tuple[str, Offer]]:
    left = extend(fresh(), HOLDER, ALMA.key, hi=9_000, sequence=1)
    right = extend(fresh(), HOLDER, BRUNO.key, lo=5_000, hi=12_000, sequence=2)
    yield "two ways that overlap above", Offer(
        Payment((pay(left, ALMA, ANY), pay(right, BRUNO, ANY, lo=11_000, hi=12_000))), ANY
    )
    again = extend(fresh(), HOLDER, ALMA.key, hi=9_000, sequence=3)
    yield "one payment made twice above", Offer(
        Payment(
            (pay(left, ALMA, ANY, sequence=20), pay(again, ALMA, ANY, sequence=21, lo=2_000, hi=3_000))
        ),
        ANY,
    )


def _without_clone() -> Iterator[tuple[str, Offer]]:
    yield "one number twice", Offer(
        Payment((pay(fresh(1), HOLDER, ANY, sequence=5), pay(fresh(2), HOLDER, ANY, sequence=5))),
        ANY,
    )
    yield "one number for two pieces of a voucher", Offer(
        Payment(
            (
                pay(fresh(), HOLDER, ANY, sequence=5),
                pay(fresh(), HOLDER, ANY, sequence=5, lo=1_250, hi=1_300),
            )
        ),
        ANY,
    )
    again = extend(extend(fresh(), HOLDER, ALMA.key, sequence=4), ALMA, HOLDER.key)
    yield "one number at both ends of a chain", Offer(
        Payment((pay(again, HOLDER, ANY, sequence=4),)), ANY
    )
    three = tuple(pay(fresh(place), HOLDER, ANY, sequence=5) for place in range(3))
    yield "one number three times", Offer(Payment(three), ANY)


def _of_amount() -> Iterator[tuple[str, Offer]]:
    yield "a unit less", Offer(one(ASKED, 1_249), ASKED)
    yield "a unit more", Offer(one(ASKED, 1_251), ASKED)
    yield "twice the amount", Offer(
        Payment((pay(fresh(1), HOLDER, ASKED, sequence=1), pay(fresh(2), HOLDER, ASKED, sequence=2))),
        ASKED,
    )
    most = world.request(SHOP, amount=2**53 - 1)
    yield "all where the greatest amount is asked", Offer(one(most, 20_000), most)
    huge = [
        pay(
            fresh(place, value=2**53 - 1, limits=VoucherLimits(8, 2**53 - 1)),
            HOLDER,
            most,
            amount=2**53 - 1,
            proof=None,
            sequence=place,
        )
        for place in range(8)
    ]
    yield "eight times the greatest amount", Offer(Payment(tuple(huge)), most)
    yield "twice the greatest amount, where a rounded sum would do", Offer(
        Payment((huge[0], pay(fresh(9), HOLDER, most, amount=1, proof=None, sequence=9))), most
    )


def _within_limit() -> Iterator[tuple[str, Offer]]:
    small = world.certificate(HOLDER.key, limits=Limits(1_999, 50_000, 8))
    parts = {"amount": 1_000, "proof": small}
    yield "two chains above the certificate's limit", Offer(
        Payment(
            (
                pay(fresh(1), HOLDER, ANY, sequence=1, **parts),
                pay(fresh(2), HOLDER, ANY, sequence=2, **parts),
            )
        ),
        ANY,
    )
    tight = [fresh(place, limits=VoucherLimits(8, 1_999)) for place in range(2)]
    yield "two chains above the voucher's limit", Offer(
        Payment(
            tuple(
                pay(chain, HOLDER, ANY, sequence=place, amount=1_000, proof=None)
                for place, chain in enumerate(tight)
            )
        ),
        ANY,
    )
    yield "two payers, one above its limit", Offer(
        Payment(
            (
                pay(fresh(1), HOLDER, ANY, amount=1_000, proof=small),
                pay(fresh(2, ALMA), ALMA, ANY, amount=1_000),
            )
        ),
        ANY,
    )
    mixed = world.certificate(HOLDER.key, limits=Limits(50_000, 50_000, 8))
    yield "a certificate that allows more than its voucher", Offer(
        Payment(
            tuple(
                pay(chain, HOLDER, ANY, sequence=place, amount=1_000, proof=mixed)
                for place, chain in enumerate(tight)
            )
        ),
        ANY,
    )
    huge = [
        pay(
            fresh(place, value=2**53 - 1, limits=VoucherLimits(8, 2**53 - 1)),
            HOLDER,
            ANY,
            amount=2**53 - 1,
            proof=None,
            sequence=place,
        )
        for place in range(2)
    ]
    yield "twice the greatest amount", Offer(Payment(tuple(huge)), ANY)
    yield "a unit above the greatest amount", Offer(
        Payment((huge[0], pay(fresh(9), HOLDER, ANY, amount=1, proof=None, sequence=9))), ANY
    )


def _not_postdated() -> Iterator[tuple[str, Offer]]:
    yield "a second ahead of the slack", Offer(one(ASKED, time=NOW + SLACK + 1), ASKED)
    yield "a day ahead", Offer(one(ASKED, time=NOW + DAY), ASKED)
    yield "one of two ahead", Offer(
        Payment(
            (
                pay(fresh(1), HOLDER, ANY, sequence=1),
                pay(fresh(2), HOLDER, ANY, sequence=2, time=NOW + SLACK + 1),
            )
        ),
        ANY,
    )


def _before_expiry() -> Iterator[tuple[str, Offer]]:
    late = world.request(SHOP, expires_at=NOW - 200)
    yield "a second after the request and the slack", Offer(one(late, time=NOW - 200 + SLACK + 1), late)
    never = world.request(SHOP, expires_at=0)
    yield "a request of the beginning of time", Offer(one(never), never)


def _spendable() -> Iterator[tuple[str, Offer]]:
    spend_by = fresh().voucher.body.spend_by
    limit = world.certificate(HOLDER.key, valid_to=spend_by)
    then = world.request(SHOP, expires_at=spend_by + DAY)
    yield "a second after the voucher and the slack", Offer(
        one(then, time=spend_by, proof=limit), then, {"now": spend_by + SLACK + 1}
    )
    yield "the floor is after the voucher", Offer(
        one(then, time=spend_by, proof=limit), then, {"floor": spend_by + SLACK + 1}
    )
    short = fresh(1, spend_by=NOW - 121)
    yield "one of two vouchers", Offer(
        Payment(
            (
                pay(fresh(), HOLDER, ANY, sequence=1),
                pay(short, HOLDER, ANY, sequence=2, time=NOW - 121),
            )
        ),
        ANY,
    )


def _payer_current() -> Iterator[tuple[str, Offer]]:
    last = HOLDER.certificate.body.valid_to
    then = world.request(SHOP, expires_at=last + DAY)
    yield "a second after the certificate and the slack", Offer(
        one(then, time=last), then, {"now": last + SLACK + 1}
    )
    yield "the floor is after the certificate", Offer(
        one(ASKED), ASKED, {"floor": last + SLACK + 1}
    )
    short = world.certificate(HOLDER.key, valid_to=NOW - SLACK - 1)
    yield "one of two certificates", Offer(
        Payment(
            (
                pay(fresh(1), HOLDER, ANY, sequence=1),
                pay(fresh(2), HOLDER, ANY, sequence=2, proof=short, time=NOW - SLACK - 1),
            )
        ),
        ANY,
    )


def _not_revoked() -> Iterator[tuple[str, Offer]]:
    two = Payment((pay(PASSED, ALMA, ASKED),))
    safe = Payment((pay(fresh("safe", HOLDER, by=world.ISSUING_P256), HOLDER, ASKED),))
    for name, payment, identity in (
        ("the voucher", two, PASSED.voucher.id),
        ("the payer", two, ALMA.key.id),
        ("the holder, further up", two, HOLDER.key.id),
        ("the issuing key of the voucher", safe, world.ISSUING_P256.public_key.id),
        ("the issuing key of the certificate", safe, ISSUING.public_key.id),
    ):
        yield name, Offer(payment, ASKED, {"revoked": [identity.hex()]})
        yield f"the prefix of {name}", Offer(payment, ASKED, {"revoked": [identity[:8].hex()]})
    several = Payment(tuple(pay(fresh(place), HOLDER, ANY, sequence=place) for place in range(3)))
    yield "the last of three vouchers", Offer(
        several, ANY, {"revoked": [several.chains[2].voucher.id[:8].hex()]}
    )


def _broken_chains() -> Iterator[tuple[str, Offer]]:
    good = pay(fresh(1), HOLDER, ANY, sequence=1)
    bad = pay(fresh(2), HOLDER, ANY, sequence=2, signed_by=ALMA.signer)
    yield "in the first of two", Offer(Payment((bad, good)), ANY)
    yield "in the second of two", Offer(Payment((good, bad)), ANY)
    yield "and to somebody else", Offer(
        Payment((pay(fresh(), HOLDER, ANY, signed_by=ALMA.signer, payee=BRUNO.key),)), ANY
    )


_BAD = {
    428: _broken_chains,
    501: _all_pay,
    502: _to_payee,
    503: _of_request,
    504: _in_currency,
    505: _distinct,
    506: _without_fork,
    507: _without_clone,
    508: _of_amount,
    509: _within_limit,
    510: _not_postdated,
    511: _before_expiry,
    512: _spendable,
    513: _payer_current,
    514: _not_revoked,
}


def _bad_bytes() -> Iterator[tuple[str, int, bytes]]:
    whole = one(ASKED).encode()
    chain = whole[1:]
    yield "nothing", 101, b""
    yield "a byte after it", 101, whole + b"\x00"
    yield "a missing chain", 101, b"\x82" + chain
    yield "larger than a payment may be", 101, whole + bytes(32_769 - len(whole))
    yield "an array with a longer head", 101, b"\x98\x01" + chain
    yield "an empty array", 102, b"\x80"
    yield "nine chains", 102, b"\x89" + chain * 9
    yield "many chains", 102, b"\x9a\xff\xff\xff\xff" + chain
    yield "a chain without a transfer", 102, b"\x81\x81" + fresh().voucher.envelope
    yield "a chain without a transfer after a good one", 102, b"\x82" + chain + b"\x81" + fresh().voucher.envelope
    yield "a map", 102, b"\xa1\x01" + chain
    yield "a byte string", 102, b"\x41\x00"
    yield "a chain that is no array", 102, b"\x81\x01"
    yield "a bare chain", 103, chain
    yield "a chain as a byte string", 102, b"\x81\x58\xff" + chain
    for size in (2, 10, 100, 200, 300):
        yield f"cut to {size} bytes", 103, whole[:size]


def _add_returns(out: Vectors, usual: dict[str, Any]) -> None:
    first = pay(fresh(1), HOLDER, ANY, sequence=1)
    second = pay(fresh(2), HOLDER, ANY, sequence=2)
    longer = pay(PASSED, ALMA, ANY, sequence=3)
    back = [give_back(chain, SHOP, time=NOW, sequence=9 + at) for at, chain in enumerate((first, second, longer))]
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
        ("one transfer twice, by two returns", [back[0], give_back(first, SHOP, time=NOW, sequence=20)], ids),
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


def _add_receipts(out: Vectors) -> None:
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

