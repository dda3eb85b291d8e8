"""Verifying what others hand over: one ordered list of rules, and the walks over it.

`RULES` is the whole list, in the order in which rules are tried and with ascending numbers. The
first rule that is broken gives the number, the code and the sentence of the error.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from offline_protocol.certificates import DeviceCertificate
from offline_protocol.chain_rules import TRANSFER_RULES, VOUCHER_RULES
from offline_protocol.chains import Chain, Payment
from offline_protocol.cose import Signed
from offline_protocol.errors import ChainRefused
from offline_protocol.payment_rules import (
    PAYMENT_RULES,
    RECEIPT_RULES,
    RETURN_RULES,
    PaymentCase,
    ReceiptCase,
    ReturnCase,
)
from offline_protocol.receipts import Receipt
from offline_protocol.request_rules import REQUEST_RULES
from offline_protocol.requests import PaymentRequest
from offline_protocol.rules import Rule, TrustContext, issuer_complaint, walk

RULES: tuple[Rule[Any, Any], ...] = (
    *REQUEST_RULES,
    *VOUCHER_RULES,
    *TRANSFER_RULES,
    *PAYMENT_RULES,
    *RETURN_RULES,
    *RECEIPT_RULES,
)


@dataclass(frozen=True)
class VerifiedPayment:
    """A payment that kept every rule: minor units, currency, and the chains now owned."""

    amount: int
    currency: str
    chains: tuple[Chain, ...]


def verify_request(signed: Signed[PaymentRequest], context: TrustContext) -> PaymentRequest:
    """Judge a request as its payer.

    Raises:
        RequestRefused: rules 301 to 308.
    """
    walk(REQUEST_RULES, signed, context)
    return signed.body


def verify_chain(chain: Chain, context: TrustContext) -> None:
    """Judge a voucher and all its transfers by signed content only.

    Raises:
        ChainRefused: rules 401 to 428.
    """
    walk(VOUCHER_RULES, chain.voucher, context)
    for link in chain.links:
        walk(TRANSFER_RULES, link, context)


def verify_last_hop(chain: Chain, context: TrustContext) -> None:
    """Judge only the newest transfer of a chain whose rest has been verified before.

    Raises:
        ChainRefused: rules 411 to 428.
    """
    walk(TRANSFER_RULES, chain.links[-1], context)


def verify_certificate(certificate: Signed[DeviceCertificate], context: TrustContext) -> None:
    """Judge a device certificate by itself: issued by a key of the set. Says nothing about time.

    Raises:
        ChainRefused: as rule 423.
    """
    complaint = issuer_complaint(certificate, context.key_set)
    if complaint is not None:
        raise ChainRefused(complaint, number=423, code="transfer_certificate_issued")


def verify_payment(
    payment: Payment, request: PaymentRequest, context: TrustContext
) -> VerifiedPayment:
    """Judge a payment as its payee, against the payee's own request.

    The same payment offered twice is judged the same way twice: remember the transfer ids and
    answer with the same receipt.

    Raises:
        ChainRefused: rules 401 to 428.
        PaymentRefused: rules 501 to 514.
    """
    for chain in payment.chains:
        verify_chain(chain, context)
    walk(PAYMENT_RULES, PaymentCase.of(payment, request), context)
    return VerifiedPayment(payment.amount, request.currency, payment.chains)


def verify_return(
    payment: Payment, sent: Collection[bytes], context: TrustContext
) -> VerifiedPayment:
    """Judge a return as the payer: `sent` are the ids of the transfers that we made.

    Raises:
        ChainRefused: rules 401 to 428.
        PaymentRefused: rules 551 and 552.
    """
    for chain in payment.chains:
        verify_chain(chain, context)
    walk(RETURN_RULES, ReturnCase(payment, frozenset(sent)), context)
    return VerifiedPayment(payment.amount, payment.chains[0].currency, payment.chains)


def verify_receipt(
    receipt: Signed[Receipt],
    request: PaymentRequest,
    transfer_ids: Collection[bytes],
    amount: int,
) -> Receipt:
    """Judge a receipt as the payer: `transfer_ids` and `amount` are those of the payment.

    Raises:
        ReceiptRefused: rules 601 to 604.
    """
    walk(RECEIPT_RULES, ReceiptCase(receipt, request, transfer_ids, amount), None)
    return receipt.body
