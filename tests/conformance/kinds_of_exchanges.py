"""Kinds of case about the order of messages: a payment from its request on, then evidence."""

from dataclasses import dataclass, field
from typing import Any

from offline_protocol import (
    Payment,
    PaymentRequest,
    ProtocolError,
    Receipt,
    Refusal,
    TrustContext,
    unpack,
    unseal,
    verify_payment,
    verify_receipt,
    verify_request,
    verify_return,
)
from offline_protocol.frames import FrameKind
from offline_protocol.fraud import FraudProof
from offline_protocol.gossip import News, Spend, Tag
from offline_protocol.gossip_talk import GossipTalk
from offline_protocol.payment_rules import (
    payment_names_request,
    receipt_names_request,
)
from tests.conformance.given import Given, Json, context


@dataclass
class _Exchange:
    """What has been said so far. A frame that is refused changes nothing but what was sent."""

    trust: TrustContext
    request: PaymentRequest | None = None
    payment: Payment | None = None
    outcome: str = "open"
    seen: set[tuple[str, str]] = field(default_factory=set)

    def take(self, frame: Json) -> Json:
        kind, body = unpack(bytes.fromhex(frame["frame"]))
        act = {
            FrameKind.REQUEST: self._request,
            FrameKind.PAYMENT: self._payment,
            FrameKind.RECEIPT: self._receipt,
            FrameKind.RETURN: self._return,
            FrameKind.REFUSAL: self._refusal,
        }[kind]
        facts = {"kind": int(kind), **act(body)}
        said = (frame["from"], frame["frame"])
        again = said in self.seen
        self.seen.add(said)
        return {**facts, "again": again}

    def _request(self, body: bytes) -> Json:
        request = verify_request(unseal(PaymentRequest, body), self.trust)
        if self.request is None or self.request.request_id != request.request_id:
            self.request, self.payment, self.outcome = request, None, "open"
        return {"request_id": request.request_id.hex(), "amount": str(request.amount)}

    def _payment(self, body: bytes) -> Json:
        payment = Payment.decode(body)
        if self.request is None:
            raise payment_names_request.refusal("nothing was asked for")
        # It was sent, whatever its payee thinks of it, and may come back.
        if self.payment is None or _ids(self.payment) != _ids(payment):
            self.payment, self.outcome = payment, "open"
        verify_payment(payment, self.request, self.trust)
        return _pieces(payment)

    def _receipt(self, body: bytes) -> Json:
        receipt = unseal(Receipt, body)
        if self.request is None:
            raise receipt_names_request.refusal("nothing was asked for")
        sent: tuple[bytes, ...] = ()
        amount = 0
        if self.payment is not None:
            sent, amount = self.payment.transfer_ids, self.payment.amount
        verify_receipt(receipt, self.request, sent, amount)
        if self.outcome != "returned":
            self.outcome = "paid"
        return {
            "request_id": receipt.body.request_id.hex(),
            "transfer_ids": [each.hex() for each in receipt.body.transfer_ids],
            "amount": str(receipt.body.amount),
        }

    def _return(self, body: bytes) -> Json:
        back = Payment.decode(body)
        sent = () if self.payment is None else self.payment.transfer_ids
        verify_return(back, sent, self.trust)
        self.outcome = "returned"
        return _pieces(back)

    def _refusal(self, body: bytes) -> Json:
        refusal = Refusal.decode(body)
        if self.outcome == "open":
            self.outcome = "refused"
        return {"number": refusal.number, "code": refusal.code}


def _ids(payment: Payment) -> list[str]:
    return sorted(chain.tip_id.hex() for chain in payment.chains)


def _pieces(payment: Payment) -> Json:
    request_id = payment.chains[0].links[-1].transfer.body.request_id.hex()
    return {
        "request_id": request_id,
        "transfer_ids": _ids(payment),
        "amount": str(payment.amount),
    }


def judge_exchange(given: Given) -> Json:
    """Every frame in its order; the verdict on the last one is that of the case."""
    exchange = _Exchange(context(given))
    steps: list[Json] = []
    refused: ProtocolError | None = None
    for frame in given["frames"]:
        refused = None
        try:
            steps.append(exchange.take(frame))
        except ProtocolError as error:
            refused = error
            steps.append({"error": error.number})
    if refused is not None:
        raise refused
    return {"steps": steps, "outcome": exchange.outcome}


class _Empty:
    """A shelf of a device that knows nothing and keeps nothing."""

    def news(self, budget: int) -> News:
        return News(0, 0, 0, budget)

    def gifts(self, _peer: News) -> list[tuple[FrameKind, bytes]]:
        return []

    def take(self, kind: FrameKind, body: bytes) -> None: ...

    def tags(self) -> list[Tag]:
        return []

    def hear(self, _tags: Any) -> list[Tag]:
        return []

    def spends(self, _tag: Tag) -> list[Spend]:
        return []

    def confront(self, _spends: Any) -> list[FraudProof]:
        return []


def judge_talk(given: Given) -> Json:
    """What a device that knows nothing has to say to each frame, by kind; a refusal ends all."""
    talk = GossipTalk(_Empty(), budget=given["budget"], leads=given["leads"])
    due = [_kinds(talk.begin())]
    due += [_kinds(talk.take(bytes.fromhex(frame))) for frame in given["frames"]]
    return {"due": due, "received": talk.received, "done": talk.done}


def _kinds(frames: list[bytes]) -> list[int]:
    return [int(unpack(frame)[0]) for frame in frames]
