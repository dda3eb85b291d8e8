"""The rules about payment requests: judged by the payer, before anything is signed."""

from offline_protocol.cose import Signed
from offline_protocol.errors import ProtocolError
from offline_protocol.requests import PaymentRequest
from offline_protocol.rules import (
    About,
    Rule,
    TrustContext,
    issuer_complaint,
    rule,
    signature_complaint,
)

Request = Signed[PaymentRequest]
_LIFETIME_S_MAX = 7 * 24 * 3_600


@rule(About.REQUEST, 301, "The request holds a well-formed device certificate.")
def request_certificate_readable(request: Request, _: TrustContext) -> str | None:
    try:
        request.body.payee_certificate  # noqa: B018 - read for its refusal, kept for the rules below
    except ProtocolError as error:
        return f"the payee's certificate cannot be read: {error.message}"
    return None


@rule(About.REQUEST, 302, "The certificate is for the payee's key.")
def request_certificate_of_payee(request: Request, _: TrustContext) -> str | None:
    if request.body.payee_certificate.body.device_key != request.body.payee:
        return "the certificate in the request belongs to another key than the payee's"
    return None


@rule(About.REQUEST, 303, "The issuer signed the certificate with a key of its key set.")
def request_certificate_issued(request: Request, context: TrustContext) -> str | None:
    return issuer_complaint(request.body.payee_certificate, context.key_set)


@rule(About.REQUEST, 304, "The payee signed the request.")
def request_signed_by_payee(request: Request, _: TrustContext) -> str | None:
    return signature_complaint(request, request.body.payee)


@rule(About.REQUEST, 305, "The certificate is valid now, with 120 s of slack.")
def request_certificate_current(request: Request, context: TrustContext) -> str | None:
    certificate = request.body.payee_certificate.body
    if context.has_passed(certificate.valid_to) or context.lies_ahead(certificate.valid_from):
        return "the payee's certificate is not valid now; the payee has to go online"
    return None


@rule(About.REQUEST, 306, "The request has not expired and asks for no more than seven days.")
def request_current(request: Request, context: TrustContext) -> str | None:
    if context.has_passed(request.body.expires_at):
        return "the request has expired; ask for a new one"
    if context.lies_ahead(request.body.expires_at - _LIFETIME_S_MAX):
        return "the request would be good for more than seven days; check the clock"
    return None


@rule(About.REQUEST, 307, "Neither the payee's key nor the issuing key is revoked.")
def request_not_revoked(request: Request, context: TrustContext) -> str | None:
    certificate = request.body.payee_certificate.body
    issuer = context.key_set.key(certificate.kid, certificate.valid_from, "issue")
    if context.is_revoked(request.body.payee.id):
        return "the payee's device is blocked"
    if context.is_revoked(issuer.id):
        return "the issuer's key behind the payee's certificate is revoked"
    return None


@rule(About.REQUEST, 308, "The currency is one of the key set's, where the set lists any.")
def request_currency_known(request: Request, context: TrustContext) -> str | None:
    currency = request.body.currency
    if context.key_set.scales and context.key_set.scale(currency) is None:
        return f"this issuer has no {currency}"
    return None


REQUEST_RULES: tuple[Rule[Request, TrustContext], ...] = (
    request_certificate_readable,
    request_certificate_of_payee,
    request_certificate_issued,
    request_signed_by_payee,
    request_certificate_current,
    request_current,
    request_not_revoked,
    request_currency_known,
)
