"""The payer's side: from somebody's request to signed bytes, and what comes back for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from client_sdk.book import Book
from client_sdk.core import UNCONFIRMED, Input, State
from client_sdk.errors import (
    ExchangeStateError,
    InsufficientFunds,
    InvalidAmount,
    InvalidRequest,
    LimitExceeded,
    PaymentRefused,
    UnknownExchange,
)
from client_sdk.flows.engine import FRAMES, HOP_BYTES_MAX, Engine, Planned, Work
from client_sdk.holdings import Pick, Piece, choose
from client_sdk.money import format_amount
from client_sdk.records import Exchange, Role
from client_sdk.trust import expect, refusing, trust
from offline_protocol.certificates import DeviceCertificate
from offline_protocol.chains import Chain, Payment
from offline_protocol.constants import CHAINS_MAX, CLOCK_SLACK_S, PAYMENT_BYTES_MAX
from offline_protocol.cose import Signed, unseal
from offline_protocol.frames import FrameKind, Refusal
from offline_protocol.receipts import Receipt
from offline_protocol.requests import PaymentRequest
from offline_protocol.rules import TrustContext
from offline_protocol.verification import verify_receipt, verify_request, verify_return

PAY_PREFIX: Final = b"pay:"


@dataclass(frozen=True, kw_only=True)
class RequestView:
    """A verified request, for the person to look at before paying.

    `amount` 0 means that the payer chooses.
    """

    request_id: bytes
    payee_name: str
    payee_key: bytes
    amount: int
    currency: str
    memo: str
    expires_at: int
    transports: tuple[str, ...]
    session_key: bytes


class Payer:
    def __init__(self, book: Book, engine: Engine) -> None:
        self._book = book
        self._engine = engine

    def inspect(self, request: bytes | str) -> RequestView:
        """Check a request and say what it asks for.

        Raises:
            UnreadableMessage: it is no request.
            InvalidRequest: a rule about requests is broken; the code names it.
        """
        body = self._verified(request).body
        return RequestView(
            request_id=body.request_id,
            payee_name=body.payee_certificate.body.display_name or "",
            payee_key=body.payee.id,
            amount=body.amount,
            currency=body.currency,
            memo=body.memo or "",
            expires_at=body.expires_at,
            transports=body.transports,
            session_key=body.session_key,
        )

    def prepare(self, request: bytes | str, amount: int | None = None) -> Exchange:
        """Reserve, sign and store a payment; nothing leaves the device yet.

        A request that was paid before gives the payment of that time: it is never paid twice.

        Raises:
            InvalidRequest: see `inspect`, or the request has expired.
            InvalidAmount: the request leaves the amount open, or names another.
            InsufficientFunds: what can be spent offline does not reach the amount.
            LimitExceeded: certificate or vouchers cap what may be paid at once.
            CertificateExpired: this device has to go online first.
            WalletRestored: this file is an old copy and signs nothing.
            PersonRefused: the key provider asked for the person, who did not confirm.
        """
        known = self._known(request)
        if known is not None:
            return self._continued(known)
        self._book.guard.require_whole()
        signed = self._verified(request)
        body = signed.body
        certificate = self._book.certificate()
        if self._book.owns(body.payee):
            raise InvalidRequest("This request is your own.", code="own_request")
        if self._book.now() > body.expires_at:
            raise InvalidRequest(
                "The request has expired.", code="request_expired", fix="Ask for a new one."
            )
        asked = self._amount(body, amount)
        picks = self._choose(body.currency, asked, certificate)
        self._refuse_long_past(picks)
        now = self._book.now()
        exchange = Exchange(
            id=PAY_PREFIX + body.request_id,
            role=Role.PAY,
            state=State.IDLE,
            currency=body.currency,
            amount=asked,
            created_at=now,
            updated_at=now,
            request=signed.envelope,
            peer=body.payee.id,
            peer_name=body.payee_certificate.body.display_name or "",
            memo=body.memo or "",
        )
        planned = tuple(
            Planned(pick.holding, pick.interval, body.payee, body.request_id) for pick in picks
        )
        self._book.ask_person(asked, exchange.currency, exchange.peer_name)
        locked = self._engine.apply(exchange, Input.CONFIRM, Work(planned=planned)).exchange
        return self._engine.apply(locked, Input.CONTINUE).exchange

    def hand_over(self, exchange_id: bytes) -> tuple[Exchange, bytes]:
        """Note that the bytes leave now, and give them: the same ones every time.

        Raises:
            UnknownExchange: it is no payment and no return.
            ExchangeStateError: it was reserved by an older key or an old copy, and never signed.
        """
        exchange = self._book.exchange(exchange_id)
        if exchange.role not in FRAMES:
            raise UnknownExchange("This is no payment to hand over.")
        exchange = self._continued(exchange)
        frame = self._book.message_out(exchange_id)
        if frame is None:
            raise ExchangeStateError(
                "This was reserved and never signed here.",
                fix="Nothing can be shown for it; the issuer settles it after claim-by.",
            )
        if exchange.state is not State.RETURNED:
            exchange = self._engine.apply(exchange, Input.HAND_OVER).exchange
        return exchange, frame

    def _continued(self, exchange: Exchange) -> Exchange:
        """Sign what a full disk or a missing key stopped after its reservation."""
        if exchange.state is State.LOCKED and self._book.may_sign(exchange):
            return self._engine.apply(exchange, Input.CONTINUE).exchange
        return exchange

    def link_lost(self, exchange_id: bytes, refusal: str = "") -> Exchange:
        """A connection ended: sent, not confirmed, unless the answer came by another way.

        Args:
            exchange_id: the payment.
            refusal: code of what the payee said instead of a receipt.
        """
        exchange = self._book.exchange(exchange_id)
        if exchange.state not in UNCONFIRMED:
            return exchange
        return self._engine.apply(replace(exchange, refusal=refusal), Input.LINK_LOST).exchange

    def unconfirmed(self) -> list[Exchange]:
        """Payments that left, or are ready to, and that nobody has confirmed."""
        return [
            one
            for one in self._book.exchanges(role=Role.PAY, only_open=True)
            if one.state in UNCONFIRMED or (one.state is State.LOCKED and self._book.may_sign(one))
        ]

    def take_receipt(self, message: bytes | str) -> Exchange:
        """The payee's receipt: the payment is confirmed.

        Raises:
            UnknownExchange: it is for no payment of this wallet.
            PaymentRefused: a rule about receipts is broken; nothing changes.
        """
        envelope = expect(message, FrameKind.RECEIPT)
        with refusing(PaymentRefused):
            receipt = unseal(Receipt, envelope)
        exchange = self._paid(receipt.body.request_id)
        request = unseal(PaymentRequest, exchange.request).body
        with refusing(PaymentRefused, "Ask the payee to show the receipt of this payment."):
            verify_receipt(receipt, request, exchange.transfers, exchange.amount)
        return self._engine.apply(exchange, Input.RECEIPT, Work(receipt=receipt)).exchange

    def take_return(self, message: bytes | str) -> Exchange:
        """The payee signed the payment back: its value is here again, under new parents.

        Raises:
            UnknownExchange: it returns nothing of this wallet.
            PaymentRefused: a rule about returns is broken; nothing changes.
        """
        body = expect(message, FrameKind.RETURN)
        with refusing(PaymentRefused):
            payment = Payment.decode(body)
        exchange = self._paid(payment.chains[0].links[-1].transfer.body.request_id)
        with refusing(PaymentRefused, "Ask the payee to show the return of this payment."):
            verify_return(payment, exchange.transfers, trust(self._book))
        if len(payment.chains) != len(exchange.transfers):
            raise PaymentRefused("Only part of the payment is returned.", code="partial_return")
        return self._engine.apply(exchange, Input.RETURN, Work(payment=payment)).exchange

    def take_refusal(self, message: bytes | str) -> Refusal:
        """What the payee says is wrong. It is unsigned, so it changes nothing."""
        body = expect(message, FrameKind.REFUSAL)
        with refusing(PaymentRefused):
            return Refusal.decode(body)

    def _paid(self, request_id: bytes) -> Exchange:
        found = self._book.find_exchange(PAY_PREFIX + request_id)
        if found is None:
            raise UnknownExchange("This belongs to no payment of this wallet.")
        return found

    def _known(self, request: bytes | str) -> Exchange | None:
        envelope = expect(request, FrameKind.REQUEST)
        with refusing(InvalidRequest):
            body = unseal(PaymentRequest, envelope).body
        return self._book.find_exchange(PAY_PREFIX + body.request_id)

    def _verified(self, request: bytes | str) -> Signed[PaymentRequest]:
        envelope = expect(request, FrameKind.REQUEST)
        with refusing(InvalidRequest, "Ask for a new request."):
            signed = unseal(PaymentRequest, envelope)
            verify_request(signed, trust(self._book))
        return signed

    @staticmethod
    def _amount(request: PaymentRequest, given: int | None) -> int:
        if request.amount == 0:
            if given is None or given <= 0:
                raise InvalidAmount("The request leaves the amount to you.", fix="Give an amount.")
            return given
        if given not in {None, request.amount}:
            raise InvalidAmount(
                f"The request asks for {format_amount(request.amount, request.currency)}.",
                fix="Pay that amount, or ask for another request.",
            )
        return request.amount

    def _refuse_long_past(self, picks: Sequence[Pick]) -> None:
        """The payment and, if it comes to that, its return have to fit one message."""
        found = (self._book.holding(pick.holding) for pick in picks)
        length = sum(len(one.chain) + 2 * HOP_BYTES_MAX for one in found if one is not None)
        if length > PAYMENT_BYTES_MAX:
            raise InsufficientFunds(
                "What would make up this amount has too long a past for one message.",
                fix="Pay in smaller parts, or sync while online to turn it into new value.",
            )

    def _choose(
        self, currency: str, amount: int, certificate: Signed[DeviceCertificate]
    ) -> list[Pick]:
        """Pieces for the amount, none of them one that every payee would refuse.

        Only the chains of what was chosen are read.
        """
        context = trust(self._book)
        unfit: set[bytes] = set()
        while True:
            picks = choose(
                self._pieces(currency, amount, certificate, unfit),
                amount,
                chains_max=CHAINS_MAX,
                describe=lambda minor: format_amount(minor, currency),
            )
            found = {one.holding for one in picks if not self._fit(one.holding, amount, context)}
            if not found:
                return picks
            unfit |= found

    def _fit(self, key: bytes, amount: int, context: TrustContext) -> bool:
        """Whether the owner of a holding may pay with it: certified for that, and nobody blocked.

        A further key has a certificate of its own, with its own end. A transfer that was signed
        outside of its time, or with a past that is blocked, would be stuck until claim-by.
        """
        holding = self._book.holding(key)
        assert holding is not None, "chosen among the holdings"
        chain = Chain.decode(holding.chain)
        past = [chain.voucher.id, chain.owner.id, *(link.signer.id for link in chain.links)]
        if any(map(context.is_revoked, past)):
            return False
        if chain.voucher.body.holder == chain.owner:
            return True
        certificate = self._book.certificate_of(chain.owner)
        if certificate is None:
            return False
        body, now = certificate.body, self._book.now()
        limits = body.limits
        in_time = body.valid_from - CLOCK_SLACK_S <= now <= body.valid_to
        return in_time and amount <= limits.payment_max and holding.hops_used < limits.hops_max

    def _pieces(
        self,
        currency: str,
        amount: int,
        certificate: Signed[DeviceCertificate],
        unfit: Collection[bytes],
    ) -> list[Piece]:
        """What may be part of a payment of this amount now."""
        limits = certificate.body.limits
        now = self._book.now()
        if amount > limits.payment_max:
            raise LimitExceeded(
                f"This device may pay {format_amount(limits.payment_max, currency)} at once.",
                fix="Pay in smaller parts, or pay online.",
            )
        held = self._book.holdings(currency)
        timely = [one for one in held if one.spend_by >= now]
        usable = [
            one
            for one in timely
            if one.hops_used < min(one.hops_max, limits.hops_max)
            and one.payment_max >= amount
            and one.key not in unfit
        ]
        free = sum(one.free_amount for one in usable)
        if free < amount <= sum(one.free_amount for one in held):
            raise InsufficientFunds(
                f"{format_amount(amount, currency)} is held, but only "
                f"{format_amount(free, currency)} of it can be part of this payment: the rest "
                "has expired, has changed hands as often as it may, has a lower limit, or is "
                "blocked.",
                fix="Sync while online to turn it into new value.",
            )
        return [piece for one in usable for piece in one.pieces()]
