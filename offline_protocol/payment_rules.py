"""The rules about whole payments, returns and receipts.

A payment's chains have passed the rules about vouchers and transfers before these are walked. Here
the clock and the list of what is revoked count too: they decide what to accept today, never who
owns what in the end.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from offline_protocol.certificates import KeyUse
from offline_protocol.chains import Chain, Link, Payment
from offline_protocol.constants import CLOCK_SLACK_S
from offline_protocol.cose import Signed
from offline_protocol.fraud import find_clones, find_forks
from offline_protocol.receipts import Receipt
from offline_protocol.requests import PaymentRequest
from offline_protocol.rules import About, Rule, TrustContext, rule, signature_complaint
from offline_protocol.transfers import TransferKind

# Looking up a member of an enum costs more than most rules.
_PAY, _RETURN = TransferKind.PAY, TransferKind.RETURN


class PaymentCase(NamedTuple):
    """A payment and the payee's own request that it answers.

    `links` are those of all chains, `tips` the last of each.
    """

    payment: Payment
    request: PaymentRequest
    links: Sequence[Link]
    tips: Sequence[Link]

    @classmethod
    def of(cls, payment: Payment, request: PaymentRequest) -> "PaymentCase":
        walks = [chain.links for chain in payment.chains]
        links = walks[0] if len(walks) == 1 else [link for walk in walks for link in walk]
        return cls(payment, request, links, [walk[-1] for walk in walks])


@dataclass(frozen=True)
class ReturnCase:
    """A returned payment and the ids of the transfers that we sent."""

    payment: Payment
    sent: frozenset[bytes]


@dataclass(frozen=True)
class ReceiptCase:
    """A receipt and what the payer sent."""

    receipt: Signed[Receipt]
    request: PaymentRequest
    transfer_ids: Collection[bytes]
    amount: int


@rule(About.PAYMENT, 501, "Every chain ends in a payment, not in a return or a claim.")
def payment_pays(case: PaymentCase, _: TrustContext) -> str | None:
    for tip in case.tips:
        if tip.transfer.body.kind is not _PAY:
            return "a chain of the payment ends in a return or a claim"
    return None


@rule(About.PAYMENT, 502, "Every chain ends at the key that asked.")
def payment_to_payee(case: PaymentCase, _: TrustContext) -> str | None:
    for tip in case.tips:
        if tip.transfer.body.payee != case.request.payee:
            return "the payment goes to another payee"
    return None


@rule(About.PAYMENT, 503, "Every last transfer names the request: a payment answers one only.")
def payment_names_request(case: PaymentCase, _: TrustContext) -> str | None:
    request_id = case.request.request_id
    for tip in case.tips:
        if tip.transfer.body.request_id != request_id:
            return "the payment answers another request"
    return None


@rule(About.PAYMENT, 504, "Every voucher is in the currency that was asked for.")
def payment_in_currency(case: PaymentCase, _: TrustContext) -> str | None:
    asked = case.request.currency
    for tip in case.tips:
        if tip.voucher.currency != asked:
            return f"a chain pays {tip.voucher.currency}, asked was {asked}"
    return None


@rule(About.PAYMENT, 505, "The pieces do not overlap: no unit is paid twice.")
def payment_pieces_distinct(case: PaymentCase, _: TrustContext) -> str | None:
    if len(case.tips) == 1:
        return None
    pieces = sorted((c.voucher.id, c.lo, c.hi) for c in case.payment.chains)
    for (root, _lo, hi), (next_root, next_lo, _hi) in pairwise(pieces):
        if root == next_root and next_lo < hi:
            return f"two chains pay the same units of one voucher, from {next_lo} on"
    return None


@rule(About.PAYMENT, 506, "No two transfers in it contradict each other.")
def payment_without_fork(case: PaymentCase, _: TrustContext) -> str | None:
    if find_forks([link.transfer for link in case.links]):
        return "the payment itself holds a double spending"
    return None


@rule(About.PAYMENT, 507, "No key used a sequence number in it twice.")
def payment_without_clone(case: PaymentCase, _: TrustContext) -> str | None:
    if find_clones([(link.signer, link.transfer) for link in case.links]):
        return "a device used one sequence number for two transfers"
    return None


@rule(About.PAYMENT, 508, "Together it is the amount asked for, or any where none was named.")
def payment_of_amount(case: PaymentCase, _: TrustContext) -> str | None:
    asked, amount = case.request.amount, case.payment.amount
    if asked not in (0, amount):
        return f"the payment is {amount}, asked was {asked}"
    return None


@rule(About.PAYMENT, 509, "Together it is at most what each payer in it may pay at once.")
def payment_within_limit(case: PaymentCase, _: TrustContext) -> str | None:
    for tip in case.tips:
        if case.payment.amount > tip.payment_max:
            return f"{case.payment.amount} at once, the payer may pay {tip.payment_max}"
    return None


@rule(About.PAYMENT, 510, "The last transfers were not made in the future.")
def payment_not_postdated(case: PaymentCase, context: TrustContext) -> str | None:
    for tip in case.tips:
        if context.lies_ahead(tip.transfer.body.time):
            return "the payment is dated in the future; one of the two clocks is wrong"
    return None


@rule(About.PAYMENT, 511, "They were made before the request expired, with 120 s of slack.")
def payment_before_expiry(case: PaymentCase, _: TrustContext) -> str | None:
    last = case.request.expires_at + CLOCK_SLACK_S
    for tip in case.tips:
        if tip.transfer.body.time > last:
            return "the request had expired when the payment was made; ask for a new one"
    return None


@rule(About.PAYMENT, 512, "Every voucher may still be spent now.")
def payment_spendable(case: PaymentCase, context: TrustContext) -> str | None:
    for tip in case.tips:
        if context.has_passed(tip.voucher.spend_by):
            return "a voucher of the payment is past its spend-by time"
    return None


@rule(About.PAYMENT, 513, "The payer's certificate is valid now.")
def payment_payer_current(case: PaymentCase, context: TrustContext) -> str | None:
    for tip in case.tips:
        if tip.certificate is not None and context.has_passed(tip.certificate.body.valid_to):
            return "the payer's certificate has expired; the payer has to go online"
        if tip.certificate is not None and context.lies_ahead(tip.certificate.body.valid_from):
            return "the payer's certificate begins in the future; one of the two clocks is wrong"
    return None


@rule(About.PAYMENT, 514, "No voucher, signer or issuing key in it is revoked.")
def payment_not_revoked(case: PaymentCase, context: TrustContext) -> str | None:
    if not context.revoked:
        return None
    for chain in case.payment.chains:
        if any(context.is_revoked(identity) for identity in _identities(chain, context)):
            return "a voucher or a device in the payment's past is blocked"
    return None


def _identities(chain: Chain, context: TrustContext) -> Iterable[bytes]:
    voucher = chain.voucher.body
    yield chain.voucher.id
    yield context.key_set.key(voucher.kid, voucher.issued_at, KeyUse.ISSUE).id
    for link in chain.links:
        yield link.signer.id
        if link.certificate is not None:
            body = link.certificate.body
            yield context.key_set.key(body.kid, body.valid_from, KeyUse.ISSUE).id


@rule(About.RETURN, 551, "Every chain ends in a return.")
def return_returns(case: ReturnCase, _: TrustContext) -> str | None:
    if any(c.links[-1].transfer.body.kind is not _RETURN for c in case.payment.chains):
        return "a chain does not end in a return"
    return None


@rule(About.RETURN, 552, "It returns transfers that we sent, each once.")
def return_of_ours(case: ReturnCase, _: TrustContext) -> str | None:
    parents = [chain.links[-1].transfer.body.parent for chain in case.payment.chains]
    if len(set(parents)) != len(parents) or not case.sent.issuperset(parents):
        return "it returns something that we did not send, or one transfer twice"
    return None


@rule(About.RECEIPT, 601, "The receipt names the request.")
def receipt_names_request(case: ReceiptCase, _: None) -> str | None:
    if case.receipt.body.request_id != case.request.request_id:
        return "the receipt is for another request"
    return None


@rule(About.RECEIPT, 602, "It names the last transfers of the payment and no other.")
def receipt_names_transfers(case: ReceiptCase, _: None) -> str | None:
    if set(case.receipt.body.transfer_ids) != set(case.transfer_ids):
        return "the receipt is for other transfers"
    return None


@rule(About.RECEIPT, 603, "It names the amount of the payment.")
def receipt_of_amount(case: ReceiptCase, _: None) -> str | None:
    if case.receipt.body.amount != case.amount:
        return f"the receipt is for {case.receipt.body.amount}, paid was {case.amount}"
    return None


@rule(About.RECEIPT, 604, "The payee signed it.")
def receipt_signed(case: ReceiptCase, _: None) -> str | None:
    return signature_complaint(case.receipt, case.request.payee)


PAYMENT_RULES: tuple[Rule[PaymentCase, TrustContext], ...] = (
    payment_pays,
    payment_to_payee,
    payment_names_request,
    payment_in_currency,
    payment_pieces_distinct,
    payment_without_fork,
    payment_without_clone,
    payment_of_amount,
    payment_within_limit,
    payment_not_postdated,
    payment_before_expiry,
    payment_spendable,
    payment_payer_current,
    payment_not_revoked,
)
RETURN_RULES: tuple[Rule[ReturnCase, TrustContext], ...] = (return_returns, return_of_ours)
RECEIPT_RULES: tuple[Rule[ReceiptCase, None], ...] = (
    receipt_names_request,
    receipt_names_transfers,
    receipt_of_amount,
    receipt_signed,
)
