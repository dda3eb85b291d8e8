"""Whole transcripts between a payer and a payee, as any carrier gives them."""

from collections.abc import Iterator
from typing import Any

from offline_protocol import Payment, PaymentRequest, Refusal, Signed, VoucherLimits, pack
from offline_protocol.frames import FrameKind
from tests.conformance.generate import world
from tests.conformance.generate.cases import Vectors
from tests.conformance.generate.offers import (
    ALMA,
    ANY,
    ASKED,
    BRUNO,
    HOLDER,
    MINUTE_AGO,
    PASSED,
    SAFE,
    SHOP,
    TILL,
    fresh,
    one,
    pay,
)
from tests.conformance.generate.world import NOW, Device, claim, entropy, give_back

Said = dict[str, str]
Broken = tuple[int, str, list[Said]]


def _say(side: str, kind: FrameKind, body: bytes) -> Said:
    return {"from": side, "frame": pack(kind, body).hex()}


def _request(asked: Signed[PaymentRequest]) -> Said:
    return _say("payee", FrameKind.REQUEST, asked.envelope)


def _pay(payment: Payment) -> Said:
    return _say("payer", FrameKind.PAYMENT, payment.encode())


def _receipt(
    payment: Payment, asked: Signed[PaymentRequest] = ASKED, by: Device = SHOP, **changes: Any
) -> Said:
    receipt = world.receipt(payment, asked, by.signer, **changes)
    return _say("payee", FrameKind.RECEIPT, receipt.envelope)


def _back(payment: Payment, by: Device = SHOP, **changes: Any) -> Said:
    fields: dict[str, Any] = {"time": NOW} | changes
    chains = tuple(
        give_back(chain, by, **({"sequence": 20 + at} | fields))
        for at, chain in enumerate(payment.chains)
    )
    return _say("payee", FrameKind.RETURN, Payment(chains).encode())


def _refuse(number: int, code: str) -> Said:
    return _say("payee", FrameKind.REFUSAL, Refusal(number, code).encode())


PAID = one(ASKED)
OTHER = Payment((pay(fresh("other"), HOLDER, ASKED, sequence=77),))
TWO_ASKED = world.request(SHOP, amount=2_500)
TWO = Payment(tuple(pay(fresh(number), HOLDER, TWO_ASKED, sequence=number) for number in (1, 2)))
SHORT = one(ASKED, 1_249)
BEGUN = [_request(ASKED), _pay(PAID)]
DECLINED = _refuse(100, "declined_by_payee")
RULED_OUT = _refuse(100, "refused_by_payee_rules")
CHANGED = _say("payer", FrameKind.PAYMENT, PAID.encode()[:-1] + bytes([PAID.encode()[-1] ^ 1]))


def vectors() -> Vectors:
    out = Vectors("exchanges", "Payments from the request to the answer, frame by frame")
    trusted = out.share("key set", world.TRUSTED.envelope.hex())
    usual: dict[str, Any] = {"key_set": trusted, "now": NOW, "floor": 0, "revoked": []}
    for name, frames in (*_paid(), *_returned(), *_open(), *_after_refused()):
        out.add("exchange", name, frames=frames, **usual)
    for number, name, frames in (
        *_bad_requests(),
        *_bad_payments(),
        *_bad_receipts(),
        *_bad_returns(),
        *_bad_bytes(),
    ):
        out.add("exchange", f"{number}: {name}", error=number, frames=frames, **usual)
    key = HOLDER.key.id.hex()
    for number, name, frames, change in (
        (306, "a request after its time", [_request(ASKED)], {"now": NOW + 421}),
        (306, "a request after its time, by the floor", [_request(ASKED)], {"floor": NOW + 421}),
        (307, "a request of a blocked payee", [_request(ASKED)], {"revoked": [SHOP.key.id.hex()]}),
        (514, "a payment of a blocked payer", BEGUN, {"revoked": [key]}),
        (514, "a payment of a blocked voucher", BEGUN, {"revoked": [fresh().voucher.id.hex()]}),
    ):
        out.add("exchange", f"{number}: {name}", error=number, frames=frames, **(usual | change))
    out.add(
        "exchange",
        "a blocked payer who gets the payment back",
        frames=[*BEGUN, _refuse(514, "payment_not_revoked"), _back(PAID)],
        **(usual | {"revoked": [key]}),
    )
    return out


def _paid() -> Iterator[tuple[str, list[Said]]]:
    yield "paid", [*BEGUN, _receipt(PAID)]
    yield "paid by several chains", [_request(TWO_ASKED), _pay(TWO), _receipt(TWO, TWO_ASKED)]
    any_ = one(ANY, 7)
    yield "paid what the payer chose", [_request(ANY), _pay(any_), _receipt(any_, ANY)]
    asked = world.request(TILL)
    safe = Payment((pay(fresh("safe", SAFE, by=world.ISSUING_P256), SAFE, asked),))
    yield "paid between secure hardware", [_request(asked), _pay(safe), _receipt(safe, asked, TILL)]
    longer = Payment((pay(PASSED, ALMA, ASKED),))
    yield "paid on", [_request(ASKED), _pay(longer), _receipt(longer)]
    yield "the same payment again", [*BEGUN, _receipt(PAID), _pay(PAID), _receipt(PAID)]
    yield "the same payment three times", [*BEGUN, _pay(PAID), _pay(PAID), _receipt(PAID)]
    yield "a request shown again", [_request(ASKED), *BEGUN, _receipt(PAID)]
    yield "a request shown again after the payment", [*BEGUN, _request(ASKED), _receipt(PAID)]
    yield "refused at first", [*BEGUN, DECLINED, _pay(PAID), _receipt(PAID)]
    yield "a refusal after the receipt", [*BEGUN, _receipt(PAID), DECLINED]


def _returned() -> Iterator[tuple[str, list[Said]]]:
    yield "returned", [*BEGUN, _back(PAID)]
    yield "several chains returned", [_request(TWO_ASKED), _pay(TWO), _back(TWO)]
    yield "declined and returned", [*BEGUN, DECLINED, _back(PAID)]
    yield "ruled out and returned", [*BEGUN, RULED_OUT, _back(PAID)]
    yield "returned, and the payment again", [*BEGUN, _back(PAID), _pay(PAID), _back(PAID)]
    yield "refunded after the receipt", [*BEGUN, _receipt(PAID), _back(PAID)]
    yield "a receipt after the return", [*BEGUN, _back(PAID), _receipt(PAID)]
    yield "a refusal after the return", [*BEGUN, _back(PAID), DECLINED]
    yield "too little, and returned", [_request(ASKED), _pay(SHORT), _back(SHORT)]
    late = one(ASKED, time=ASKED.body.expires_at + 121)
    yield "too late, and returned", [_request(ASKED), _pay(late), _back(late)]


def _open() -> Iterator[tuple[str, list[Said]]]:
    yield "a request only", [_request(ASKED)]
    yield "no answer", list(BEGUN)
    yield "refused", [*BEGUN, DECLINED]
    yield "refused, and the payment again", [*BEGUN, DECLINED, _pay(PAID)]
    yield "a refusal by a rule that another device knows", [*BEGUN, _refuse(799, "not_known_here")]
    yield "another request shown", [*BEGUN, _receipt(PAID), _request(ANY)]
    yield "nothing at all", []


def _after_refused() -> Iterator[tuple[str, list[Said]]]:
    """A frame that is refused changes nothing, and what follows counts."""
    strange = _receipt(PAID, by=TILL)
    yield "a forged receipt and then the receipt", [*BEGUN, strange, _receipt(PAID)]
    yield "a forged receipt and then the return", [*BEGUN, strange, _back(PAID)]
    yield (
        "a receipt of another payment between",
        [*BEGUN, _receipt(OTHER), DECLINED],
    )
    yield "a changed payment and then the payment", [_request(ASKED), CHANGED, *BEGUN]
    yield (
        "a changed payment, refused",
        [
            _request(ASKED),
            CHANGED,
            _refuse(423, "transfer_certificate_issued"),
            _pay(PAID),
            _receipt(PAID),
        ],
    )
    yield (
        "too little, refused",
        [_request(ASKED), _pay(SHORT), _refuse(508, "payment_of_amount")],
    )
    yield (
        "a payment too early and then again",
        [_pay(PAID), *BEGUN, _receipt(PAID)],
    )
    yield (
        "a receipt too early and then the payment",
        [_request(ASKED), _receipt(PAID), _pay(PAID), _receipt(PAID)],
    )
    yield (
        "bytes of nothing between",
        [*BEGUN, {"from": "payee", "frame": "ff"}, _receipt(PAID)],
    )


def _bad_requests() -> Iterator[Broken]:
    late = world.request(SHOP, expires_at=NOW + 8 * 86_400)
    yield 306, "a request for more than seven days", [_request(late)]
    yield 304, "a request of somebody else", [_request(world.request(SHOP, by=world.STRANGER))]
    for_other = world.request(SHOP, certificate=TILL.certificate.envelope)
    yield 302, "a request with another's certificate", [_request(for_other)]
    yield 308, "a request in a currency of nobody", [_request(world.request(SHOP, currency="USD"))]
    stranger = world.certificate(SHOP.key, by=world.STRANGER)
    unknown = world.request(SHOP, certificate=stranger.envelope)
    yield 303, "a request by a device of nobody", [_request(unknown)]
    yield 301, "a request without a certificate", [_request(world.request(SHOP, certificate=b"\0"))]
    forged = [*BEGUN, _receipt(PAID), _request(world.request(SHOP, by=TILL.signer))]
    yield 304, "a forged request after the receipt", forged


def _bad_payments() -> Iterator[Broken]:
    yield 503, "a payment before the request", [_pay(PAID)]
    yield 503, "a payment for another request", [_request(ANY), _pay(PAID)]
    wrong = one(ASKED, payee=TILL.key)
    yield 502, "a payment to another payee", [_request(ASKED), _pay(wrong)]
    yield 508, "a unit too little", [_request(ASKED), _pay(SHORT)]
    yield 508, "a unit too much", [_request(ASKED), _pay(one(ASKED, 1_251))]
    yield 508, "two payments in one", [_request(ASKED), _pay(Payment(PAID.chains + OTHER.chains))]
    yield 505, "one chain twice", [_request(ASKED), _pay(Payment(PAID.chains * 2))]
    back = Payment(tuple(give_back(chain, SHOP, time=NOW) for chain in PAID.chains))
    yield 501, "what came back, as the payment", [*BEGUN, _pay(back)]
    settled = Payment((claim(fresh(), HOLDER, time=NOW),))
    yield 501, "a claim, as the payment", [_request(ASKED), _pay(settled)]
    yield 423, "a payment of which a bit was turned", [_request(ASKED), CHANGED]
    yield 423, "a payment and then a changed one", [*BEGUN, CHANGED]
    stolen = one(ASKED, signed_by=BRUNO.signer)
    yield 428, "a payment of somebody else's", [_request(ASKED), _pay(stolen)]
    yield 510, "a payment from tomorrow", [_request(ASKED), _pay(one(ASKED, time=NOW + 121))]
    expired = one(ASKED, time=ASKED.body.expires_at + 121)
    yield 510, "a payment after the end of the request", [_request(ASKED), _pay(expired)]
    yen = Payment((pay(fresh("yen", currency="JPY"), HOLDER, ASKED),))
    yield 504, "a payment in another currency", [_request(ASKED), _pay(yen)]
    small = Payment(
        (pay(fresh("small", limits=VoucherLimits(8, 1_249)), HOLDER, ASKED, proof=None),)
    )
    yield 426, "a payment above the limit", [_request(ASKED), _pay(small)]
    forged = fresh("forged", by=world.STRANGER)
    yield (
        401,
        "a payment of what nobody issued",
        [
            _request(ASKED),
            _pay(Payment((pay(forged, HOLDER, ASKED),))),
        ],
    )
    twice = Payment(
        tuple(
            pay(fresh(number), HOLDER, TWO_ASKED, sequence=1, time=MINUTE_AGO) for number in (1, 2)
        )
    )
    yield 507, "a sequence number twice", [_request(TWO_ASKED), _pay(twice)]


def _bad_receipts() -> Iterator[Broken]:
    yield 601, "a receipt before the request", [_receipt(PAID)]
    yield 602, "a receipt before the payment", [_request(ASKED), _receipt(PAID)]
    yield 602, "a receipt for another payment", [*BEGUN, _receipt(OTHER)]
    yield 601, "a receipt for another request", [*BEGUN, _receipt(PAID, ANY)]
    whole = [_request(TWO_ASKED), _pay(TWO)]
    ids = TWO.transfer_ids
    yield 602, "a receipt for half", [*whole, _receipt(TWO, TWO_ASKED, transfer_ids=ids[:1])]
    more = tuple(sorted((*PAID.transfer_ids, entropy("more"))))
    yield 602, "a receipt for more", [*BEGUN, _receipt(PAID, transfer_ids=more)]
    yield 603, "a receipt for a unit less", [*BEGUN, _receipt(PAID, amount=1_249)]
    yield 604, "a receipt by another shop", [*BEGUN, _receipt(PAID, by=TILL)]
    yield 604, "a receipt by the payer", [*BEGUN, _receipt(PAID, by=HOLDER)]
    good = world.receipt(PAID, ASKED, SHOP.signer).envelope
    turned = _say("payee", FrameKind.RECEIPT, good[:-1] + bytes([good[-1] ^ 1]))
    yield 604, "a receipt of which a bit was turned", [*BEGUN, turned]
    yield 604, "a forged receipt after a refusal", [*BEGUN, DECLINED, _receipt(PAID, by=TILL)]
    yield (
        604,
        "a forged receipt after the receipt",
        [
            *BEGUN,
            _receipt(PAID),
            _receipt(PAID, by=TILL),
        ],
    )
    another = [*BEGUN, _receipt(PAID), _request(ANY), _receipt(PAID)]
    yield 601, "a receipt of the request before", another


def _bad_returns() -> Iterator[Broken]:
    yield 552, "a return before the payment", [_request(ASKED), _back(PAID)]
    yield 552, "a return before everything", [_back(PAID)]
    yield 552, "a return of another payment", [*BEGUN, _back(OTHER)]
    both = Payment(PAID.chains + OTHER.chains)
    yield 552, "a return of more than was paid", [*BEGUN, _back(both)]
    same = Payment(PAID.chains * 2)
    yield 552, "a return of one transfer twice", [*BEGUN, _back(same)]
    payment = _say("payee", FrameKind.RETURN, PAID.encode())
    yield 551, "the payment itself as a return", [*BEGUN, payment]
    yield 428, "a return by another shop", [*BEGUN, _back(PAID, signed_by=TILL.signer)]
    yield 428, "a return signed by the payer", [*BEGUN, _back(PAID, signed_by=HOLDER.signer)]
    yield 414, "a return of a part", [*BEGUN, _back(PAID, hi=PAID.chains[0].hi - 1)]
    yield 414, "a return to another", [*BEGUN, _back(PAID, payee=BRUNO.key)]
    yield (
        414,
        "a return under another request",
        [
            *BEGUN,
            _back(PAID, request_id=ANY.body.request_id),
        ],
    )
    yield 421, "a return without a certificate", [*BEGUN, _back(PAID, proof=None)]
    yield 552, "a foreign return after a refusal", [*BEGUN, DECLINED, _back(OTHER)]


def _bad_bytes() -> Iterator[Broken]:
    whole = bytes.fromhex(BEGUN[1]["frame"])
    asked = BEGUN[:1]

    def payer(data: bytes) -> list[Said]:
        return [*asked, {"from": "payer", "frame": data.hex()}]

    def payee(data: bytes) -> list[Said]:
        return [*BEGUN, {"from": "payee", "frame": data.hex()}]

    yield 104, "an empty frame", payer(b"")
    yield 104, "a frame of one byte", payer(whole[:1])
    yield 104, "a frame of another version", payer(b"\x02" + whole[1:])
    yield 104, "a frame of an unknown kind", payer(b"\x01\x0f" + whole[2:])
    yield 104, "a frame that is too long", payer(whole + bytes(32_771 - len(whole)))
    yield 101, "a payment with a byte more", payer(whole + b"\0")
    yield 101, "a payment without its body", payer(whole[:2])
    yield 103, "a payment cut short", payer(whole[:-1])
    receipt = bytes.fromhex(_receipt(PAID)["frame"])
    yield 103, "a receipt cut short", payee(receipt[:-1])
    yield 103, "a receipt and a byte", payee(receipt + b"\0")
    yield 102, "a request as a receipt", payee(b"\x01\x03" + ASKED.envelope)
    yield 102, "a payment without chains", payer(whole[:2] + b"\x80")
    refusal = bytes.fromhex(DECLINED["frame"])
    yield 101, "a refusal cut short", payee(refusal[:-1])
    yield 102, "a refusal without a code", payee(b"\x01\x07\xa1\x01\x18\x64")
    yield 102, "a refusal with a reason more", payee(b"\x01\x07\xa3" + refusal[3:] + b"\x03\x61a")
