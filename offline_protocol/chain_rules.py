"""The rules about vouchers and transfers.

They look at signed content and the key set only, never at the clock, at what is revoked or at who
arrived first: the payee today and the issuer weeks later come to the same verdict.
"""

from offline_protocol.certificates import KeyUse
from offline_protocol.chains import Link
from offline_protocol.constants import CLOCK_SLACK_S, NO_REQUEST
from offline_protocol.cose import Signed
from offline_protocol.errors import UnknownIssuerKey
from offline_protocol.rules import (
    About,
    Rule,
    TrustContext,
    issuer_complaint,
    rule,
    signature_complaint,
)
from offline_protocol.transfers import TransferKind
from offline_protocol.vouchers import Voucher

# Looking up a member of an enum costs more than most rules.
_PAY, _RETURN, _CLAIM = TransferKind
_ISSUE = KeyUse.ISSUE


@rule(About.VOUCHER, 401, "The voucher names a key of the key set that issued at that time.")
def voucher_key_known(voucher: Signed[Voucher], context: TrustContext) -> str | None:
    try:
        context.key_set.key(voucher.body.kid, voucher.body.issued_at, _ISSUE)
    except UnknownIssuerKey as error:
        return error.message
    return None


@rule(About.VOUCHER, 402, "That key signed the voucher.")
def voucher_signed(voucher: Signed[Voucher], context: TrustContext) -> str | None:
    body = voucher.body
    return signature_complaint(voucher, context.key_set.key(body.kid, body.issued_at, _ISSUE))


@rule(About.VOUCHER, 403, "The currency is one of the key set's, where the set lists any.")
def voucher_currency_known(voucher: Signed[Voucher], context: TrustContext) -> str | None:
    currency = voucher.body.currency
    if context.key_set.scales and context.key_set.scale(currency) is None:
        return f"this issuer has no {currency}"
    return None


@rule(About.TRANSFER, 411, "The transfer names the object before it in the chain as its parent.")
def transfer_hangs_together(link: Link, _: TrustContext) -> str | None:
    if link.transfer.body.parent != link.parent_id:
        return "the transfer names another parent than the object before it"
    return None


@rule(About.TRANSFER, 412, "Its interval lies inside its parent's.")
def transfer_inside_parent(link: Link, _: TrustContext) -> str | None:
    lo, hi = link.parent_interval
    transfer = link.transfer.body
    if not lo <= transfer.lo < transfer.hi <= hi:
        return f"[{transfer.lo}, {transfer.hi}) is not inside [{lo}, {hi}) of its parent"
    return None


@rule(About.TRANSFER, 413, "A claim ends a chain.")
def transfer_not_after_claim(link: Link, _: TrustContext) -> str | None:
    if link.before is not None and link.before.kind is _CLAIM:
        return "the value was claimed; nothing can follow"
    return None


@rule(
    About.TRANSFER,
    414,
    "A return gives the whole interval of a payment back to who paid it, under its request id.",
)
def transfer_returns_whole(link: Link, _: TrustContext) -> str | None:
    transfer, before = link.transfer.body, link.before
    if transfer.kind is not _RETURN:
        return None
    if before is None or before.kind is not _PAY:
        return "only a payment can be returned"
    if (transfer.lo, transfer.hi) != (before.lo, before.hi):
        return "a return gives back the whole interval"
    if transfer.payee != link.giver_before:
        return "a return goes to the previous owner"
    if transfer.request_id != before.request_id:
        return "a return repeats the request id of the payment"
    return None


@rule(
    About.TRANSFER,
    415,
    "A claim, and nothing else, goes to a settling key of the key set, with no request id.",
)
def transfer_claims_at_issuer(link: Link, context: TrustContext) -> str | None:
    transfer = link.transfer.body
    to_issuer = context.key_set.settles(transfer.payee, transfer.time)
    if transfer.kind is _CLAIM:
        if not to_issuer:
            return "a claim goes to the issuer's settling key"
        if transfer.request_id != NO_REQUEST:
            return "a claim answers no request"
    elif to_issuer:
        return "only a claim can go to the issuer's settling key"
    return None


@rule(About.TRANSFER, 416, "The hops do not exceed the voucher's limit.")
def transfer_within_voucher_hops(link: Link, _: TrustContext) -> str | None:
    most = link.voucher.limits.hops_max
    if link.transfer.body.kind is _PAY and link.hops_used > most:
        return f"hop {link.hops_used}, the voucher allows {most}; claim the value online"
    return None


@rule(
    About.TRANSFER,
    421,
    "The signer's certificate is there; the voucher's holder may do without.",
)
def transfer_certificate_present(link: Link, _: TrustContext) -> str | None:
    if link.certificate is None and link.signer != link.voucher.holder:
        return "the certificate of the transfer's signer is missing"
    return None


@rule(About.TRANSFER, 422, "The certificate is for the signer's key.")
def transfer_certificate_of_signer(link: Link, _: TrustContext) -> str | None:
    if link.certificate is not None and link.certificate.body.device_key != link.signer:
        return "the certificate belongs to another key than the owner's"
    return None


@rule(About.TRANSFER, 423, "The issuer signed the certificate with a key of its key set.")
def transfer_certificate_issued(link: Link, context: TrustContext) -> str | None:
    return None if link.certificate is None else issuer_complaint(link.certificate, context.key_set)


@rule(
    About.TRANSFER,
    424,
    "A payment's time lies within the certificate's, with 120 s of slack before.",
)
def transfer_within_certificate(link: Link, _: TrustContext) -> str | None:
    if link.certificate is None or link.transfer.body.kind is not _PAY:
        return None
    certificate = link.certificate.body
    first = certificate.valid_from - CLOCK_SLACK_S
    if not first <= link.transfer.body.time <= certificate.valid_to:
        return "the transfer was made outside the time of the signer's certificate"
    return None


@rule(About.TRANSFER, 425, "The hops do not exceed the certificate's limit.")
def transfer_within_certificate_hops(link: Link, _: TrustContext) -> str | None:
    if link.certificate is None or link.transfer.body.kind is not _PAY:
        return None
    most = link.certificate.body.limits.hops_max
    if link.hops_used > most:
        return f"hop {link.hops_used}, the signer's certificate allows {most}"
    return None


@rule(
    About.TRANSFER,
    426,
    "A payment is at most what the signer may pay at once: the certificate's limit and, for the "
    "voucher's holder, the voucher's.",
)
def transfer_within_payment_limit(link: Link, _: TrustContext) -> str | None:
    transfer = link.transfer.body
    if transfer.kind is _PAY and transfer.amount > link.payment_max:
        return f"{transfer.amount} at once, the signer may pay {link.payment_max}"
    return None


@rule(
    About.TRANSFER,
    427,
    "A payment is made from issue, with 120 s of slack before, to spend-by; a return or a claim to "
    "claim-by.",
)
def transfer_in_time(link: Link, _: TrustContext) -> str | None:
    transfer, voucher = link.transfer.body, link.voucher
    pays = transfer.kind is _PAY
    last = voucher.spend_by if pays else voucher.claim_by
    first = voucher.issued_at - CLOCK_SLACK_S
    if not first <= transfer.time <= last:
        return f"made at {transfer.time}, allowed from {first} to {last}"
    return None


@rule(About.TRANSFER, 428, "The owner of the parent signed the transfer.")
def transfer_signed(link: Link, _: TrustContext) -> str | None:
    return signature_complaint(link.transfer, link.signer)


VOUCHER_RULES: tuple[Rule[Signed[Voucher], TrustContext], ...] = (
    voucher_key_known,
    voucher_signed,
    voucher_currency_known,
)

TRANSFER_RULES: tuple[Rule[Link, TrustContext], ...] = (
    transfer_hangs_together,
    transfer_inside_parent,
    transfer_not_after_claim,
    transfer_returns_whole,
    transfer_claims_at_issuer,
    transfer_within_voucher_hops,
    transfer_certificate_present,
    transfer_certificate_of_signer,
    transfer_certificate_issued,
    transfer_within_certificate,
    transfer_within_certificate_hops,
    transfer_within_payment_limit,
    transfer_in_time,
    transfer_signed,
)
