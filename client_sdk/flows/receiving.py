"""The payee's side: asking, checking what is handed over, and answering it."""

import hashlib
import unicodedata
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from client_sdk.book import Book
from client_sdk.core import Input, State
from client_sdk.errors import (
    DoubleSpendFound,
    ExchangeStateError,
    InvalidRequest,
    LimitExceeded,
    PaymentRefused,
    UnknownExchange,
)
from client_sdk.flows.accepting import Decision, decide
from client_sdk.flows.engine import HOP_BYTES_MAX, Engine, Planned, Work
from client_sdk.flows.evidence import keep_fork
from client_sdk.holdings import Interval
from client_sdk.money import format_amount
from client_sdk.records import Exchange, Role
from client_sdk.trust import expect, refusing, trust
from offline_protocol.chains import Payment
from offline_protocol.constants import NONCE_BYTES, PAYMENT_BYTES_MAX, SESSION_KEY_BYTES
from offline_protocol.cose import seal, unseal
from offline_protocol.errors import PaymentRefused as RuleOfPaymentBroken
from offline_protocol.frames import FrameKind, pack
from offline_protocol.handshake import session_public_key
from offline_protocol.requests import PaymentRequest
from offline_protocol.verification import verify_payment

RETURN_PREFIX: Final = b"return:"
REQUEST_SECONDS: Final = 15 * 60

# Broken by a payment whose value has safely arrived all the same: it is stored and signed back.
SENT_BACK_RULES: Final = frozenset(
    {
        "payment_of_amount",
        "payment_within_limit",
        "payment_before_expiry",
        "payment_spendable",
        "payment_payer_current",
    }
)
ALREADY_PAID: Final = "already_paid"
BALANCE_LIMIT: Final = "balance_limit"


class Answer(StrEnum):
    """What became of something received."""

    PAID = "paid"
    """Verified and stored; the frame is the receipt."""
    PAID_BEFORE = "paid_before"
    """The same payment again; the frame is the same receipt."""
    SENT_BACK = "sent_back"
    """Stored and signed back to the payer; the frame is the return."""


@dataclass(frozen=True)
class Received:
    """An exchange after something arrived for it, and the frame to answer with."""

    exchange: Exchange
    answer: Answer
    frame: bytes


class Payee:
    def __init__(self, book: Book, engine: Engine) -> None:
        self._book = book
        self._engine = engine

    def request(
        self,
        amount: int,
        currency: str,
        *,
        memo: str | None = None,
        transports: tuple[str, ...] = (),
        lifetime_seconds: int = REQUEST_SECONDS,
    ) -> tuple[Exchange, bytes]:
        """Sign and store a payment request; also gives the frame to show.

        Raises:
            InvalidRequest: amount, memo or transports cannot stand in a request.
            CertificateExpired: this device has to go online first.
            LimitExceeded: with this amount the device would hold more than it may.
            WalletRestored: this file is an old copy; what it received could not be spent.
        """
        self._book.guard.require_whole()
        certificate = self._book.asking_certificate()
        most = certificate.body.limits.balance_max
        if self._held(currency) + amount > most:
            raise LimitExceeded(
                f"This device holds {format_amount(self._held(currency), currency)} and may hold "
                f"{format_amount(most, currency)}.",
                fix="Sync while online to move value to your account.",
            )
        secret = self._book.entropy(SESSION_KEY_BYTES)
        now = self._book.now()
        # Keyboards differ in how they write an accent; a request has one form.
        memo = None if memo is None else unicodedata.normalize("NFC", memo)
        with refusing(InvalidRequest, "A memo is one line of at most 280 bytes, or left out."):
            body = PaymentRequest(
                nonce=self._book.entropy(NONCE_BYTES),
                payee=certificate.body.device_key,
                currency=currency,
                amount=amount,
                expires_at=now + lifetime_seconds,
                session_key=session_public_key(secret),
                epoch=self._book.blocklist.epoch,
                memo=memo,
                transports=transports,
                certificate=certificate.envelope,
            )
        signed = seal(body, self._book.signer_of(body.payee))
        opened = Exchange(
            id=body.request_id,
            role=Role.RECEIVE,
            state=State.OPEN,
            currency=currency,
            amount=amount,
            created_at=now,
            updated_at=now,
            request=signed.envelope,
            session_secret=secret,
            memo=memo or "",
        )
        if self._book.keyring.owns(body.payee):
            with self._book.store.write("key shown") as tx:
                self._book.keyring.use(tx, body.payee)
        shown = self._engine.apply(opened, Input.SHOW).exchange
        return shown, pack(FrameKind.REQUEST, signed.envelope)

    def take_payment(self, message: bytes | str, decision: Decision = Decision.ASK) -> Received:
        """Check, store and answer a payment.

        A payment that was stored before is answered as before. One that is genuine but not what
        was asked for (another amount, too late, a second one for the same request), that is more
        than this device may hold, or that the rules of issuer or payee refuse, is stored and signed
        back, so that its value is not stuck.

        Raises:
            UnknownExchange: no request of this wallet is named.
            DoubleSpendFound: the payer signed the same value away twice.
            PaymentRefused: another rule is broken, part of it was received before, or it is too
                long to be returned; the code names it. Nothing is stored.
            PaymentNeedsConfirmation: something speaks against taking it. Nothing is stored.
            WalletRestored: this file is an old copy; it may have signed this payment back before.
        """
        self._book.guard.require_whole()
        body = expect(message, FrameKind.PAYMENT)
        with refusing(PaymentRefused):
            payment = Payment.decode(body)
        asked = self._asked(payment)
        for candidate in (asked, self._book.find_exchange(_digest(payment))):
            if candidate is not None and set(candidate.transfers) == set(payment.transfer_ids):
                return self._answer_again(candidate)
        self._refuse_what_cannot_return(payment, body)
        problem = self._check(payment, asked)
        self._refuse_fork(payment)
        problem = problem or ("" if asked.state is State.SHOWN else ALREADY_PAID)
        problem = problem or ("" if self._has_room(payment, asked) else BALANCE_LIMIT)
        problem = problem or decide(self._book, payment, decision)
        exchange = replace(
            asked,
            amount=payment.amount,
            transfers=payment.transfer_ids,
            vouchers=tuple(sorted({chain.voucher.id for chain in payment.chains})),
            received=body,
            peer=payment.chains[0].links[-1].signer.id,
        )
        if problem:
            # It gets a row of its own, so that the request can still be paid as it was meant.
            exchange = replace(
                exchange,
                id=_digest(payment),
                state=State.SHOWN,
                created_at=self._book.now(),
                refusal=problem,
                receipt=b"",
                undone_by=b"",
            )
        verified = self._engine.apply(exchange, Input.PAYMENT).exchange
        stored = self._engine.apply(verified, Input.CONTINUE, Work(payment=payment)).exchange
        return self.finish(stored)

    def finish_return(self, outgoing: Exchange) -> Received:
        """Sign a return that is reserved, and let it leave; done before, it is given again."""
        if outgoing.state is State.LOCKED:
            outgoing = self._engine.apply(outgoing, Input.CONTINUE).exchange
        if outgoing.state is State.SIGNED:
            outgoing = self._engine.apply(outgoing, Input.HAND_OVER).exchange
        returned = self._book.exchange(outgoing.undone_by)
        return Received(returned, Answer.SENT_BACK, self._frame(outgoing.id))

    def finish(self, stored: Exchange) -> Received:
        """Answer a payment that is stored: with a receipt, or by signing it back."""
        if stored.refusal:
            return self.send_back(stored.id)
        receipted = self._engine.apply(stored, Input.CONTINUE).exchange
        return Received(receipted, Answer.PAID, self._frame(receipted.id))

    def send_back(self, exchange_id: bytes) -> Received:
        """Sign a received payment back to its payer, whole: a refund, or a cancelled tap.

        Raises:
            UnknownExchange: this wallet has received no such payment.
            ExchangeStateError: part of it is spent, claimed or settled already.
            WalletRestored: this file is an old copy and signs nothing.
        """
        exchange = self._book.exchange(exchange_id)
        if exchange.role is not Role.RECEIVE or not exchange.received:
            raise UnknownExchange("There is no payment to return.")
        self._book.guard.require_whole()
        if exchange.state is State.RETURNED:
            return self.finish_return(self._book.exchange(exchange.undone_by))
        self._refuse_other_key(exchange)
        payment = Payment.decode(exchange.received)
        holdings = [self._book.holding(chain.tip_id) for chain in payment.chains]
        if any(one is None or not one.untouched for one in holdings):
            raise ExchangeStateError(
                "Part of this payment has been spent or claimed.",
                fix="Ask the payer for a request and pay the amount instead.",
            )
        planned = tuple(
            Planned(
                chain.tip_id,
                Interval(chain.lo, chain.hi),
                chain.links[-1].signer,
                chain.links[-1].transfer.body.request_id,
            )
            for chain in payment.chains
        )
        now = self._book.now()
        outgoing = Exchange(
            id=RETURN_PREFIX + exchange.id,
            role=Role.RETURN,
            state=State.IDLE,
            currency=exchange.currency,
            amount=exchange.amount,
            created_at=now,
            updated_at=now,
            peer=exchange.peer,
            memo=exchange.memo,
            undone_by=exchange.id,
        )
        locked = self._engine.apply(outgoing, Input.CONFIRM, Work(planned=planned)).exchange
        return self.finish_return(locked)

    def request_frame(self, request_id: bytes) -> bytes:
        """The frame of an earlier request.

        Raises:
            UnknownExchange: this wallet never made it.
        """
        exchange = self._book.exchange(request_id)
        if exchange.role is not Role.RECEIVE:
            raise UnknownExchange("This is no request of this wallet.")
        return pack(FrameKind.REQUEST, exchange.request)

    def answer_of(self, exchange: Exchange) -> bytes:
        """The frame to show for a request or a received payment: request, receipt or return."""
        if exchange.state is State.SHOWN:
            return self.request_frame(exchange.id)
        if exchange.state is State.STORED and self._book.may_sign(exchange):
            return self.finish(exchange).frame
        if exchange.state is State.RETURNED:
            outgoing = self._book.exchange(exchange.undone_by)
            if self._book.may_sign(outgoing):
                return self.finish_return(outgoing).frame
        return self._frame(exchange.undone_by or exchange.id)

    def _frame(self, exchange_id: bytes) -> bytes:
        """The stored answer.

        Raises:
            ExchangeStateError: an old copy, or a key before this one, left it unsigned.
        """
        frame = self._book.message_out(exchange_id)
        if frame is None:
            raise ExchangeStateError(
                "The answer to this payment was never signed here.",
                fix="The issuer settles it after claim-by; the payer may sync to be sure.",
            )
        return frame

    def _asked(self, payment: Payment) -> Exchange:
        request_id = payment.chains[0].links[-1].transfer.body.request_id
        found = self._book.find_exchange(request_id)
        if found is None or found.role is not Role.RECEIVE:
            raise UnknownExchange(
                "This payment answers no request of this wallet.",
                fix="The payer shows it to the wallet that asked for it.",
            )
        self._refuse_other_key(found)
        return found

    def _refuse_other_key(self, exchange: Exchange) -> None:
        if not self._book.may_sign(exchange):
            raise ExchangeStateError(
                "This was asked for with a key that this wallet has no more.",
                code="key_retired",
                fix="What is paid to that key comes to your account after the claim-by date.",
            )

    def _answer_again(self, exchange: Exchange) -> Received:
        if exchange.state is State.STORED:
            return self.finish(exchange)
        again = self._engine.apply(exchange, Input.PAYMENT).exchange
        if again.state is State.RETURNED:
            return self.finish_return(self._book.exchange(again.undone_by))
        return Received(again, Answer.PAID_BEFORE, self._frame(again.id))

    def _refuse_what_cannot_return(self, payment: Payment, body: bytes) -> None:
        """A payment may have to be signed back: whole, within one message, and nothing else."""
        if any(self._book.holding(chain.tip_id) is not None for chain in payment.chains):
            raise PaymentRefused(
                "Part of this payment was received before, in another one.",
                code="received_before",
                fix="Refuse it: what was paid before stays paid.",
            )
        if len(body) + len(payment.chains) * HOP_BYTES_MAX > PAYMENT_BYTES_MAX:
            raise PaymentRefused(
                "The payment is so long that it could not be returned.",
                code="payment_too_long",
                fix="Let the payer pay in smaller parts, or sync first.",
            )

    def _check(self, payment: Payment, asked: Exchange) -> str:
        """Judge it by all rules; gives the code of a broken rule that asks for a return."""
        request = unseal(PaymentRequest, asked.request).body
        with refusing(PaymentRefused, "Show the payer the reason; nothing was taken."):
            try:
                verify_payment(payment, request, trust(self._book))
            except RuleOfPaymentBroken as error:
                if error.code not in SENT_BACK_RULES:
                    raise
                return error.code
        return ""

    def _held(self, currency: str) -> int:
        return sum(one.free_amount for one in self._book.holdings(currency))

    def _has_room(self, payment: Payment, asked: Exchange) -> bool:
        """Whether the device may hold it, too: several requests may have been shown at once."""
        request = unseal(PaymentRequest, asked.request).body
        most = request.payee_certificate.body.limits.balance_max
        return self._held(asked.currency) + payment.amount <= most

    def _refuse_fork(self, payment: Payment) -> None:
        """Compare with everything seen before: the same units must not have been signed away."""
        for chain in payment.chains:
            convicted = keep_fork(self._book, chain)
            if convicted is not None:
                raise DoubleSpendFound(
                    "The same value was signed away twice; this wallet keeps the proof.",
                    fix="Refuse the payment. The proof is handed in at the next sync.",
                )


def _digest(payment: Payment) -> bytes:
    return hashlib.sha256(b"".join(payment.transfer_ids)).digest()
