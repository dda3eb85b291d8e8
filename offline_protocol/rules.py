"""What a rule is, what it is judged against, and how a list of rules is walked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from offline_protocol.certificates import DeviceCertificate, KeySet, KeyUse
from offline_protocol.constants import CLOCK_SLACK_S, REVOKED_PREFIX_BYTES
from offline_protocol.cose import Body, Signed, check_signature
from offline_protocol.errors import (
    BadSignature,
    ChainRefused,
    PaymentRefused,
    ProtocolError,
    ReceiptRefused,
    RequestRefused,
    UnknownIssuerKey,
)
from offline_protocol.keys import PublicKey
from offline_protocol.lazy import lazy

Subject = TypeVar("Subject")
Context = TypeVar("Context")
Check = Callable[[Subject, Context], str | None]


@dataclass(frozen=True)
class TrustContext:
    """What the verifier knows: the key set, the time, and what has been revoked.

    `time_floor` is the newest time that the issuer has signed and that the verifier has seen: no
    clock can really be earlier. `revoked` holds ids of keys and vouchers, whole or their first
    8 bytes; a chance hit on a prefix refuses a payment but convicts nobody.
    """

    key_set: KeySet
    now: int
    time_floor: int = 0
    revoked: frozenset[bytes] = frozenset()

    @lazy
    def moment(self) -> int:
        """The time to test expiry against."""
        return max(self.now, self.time_floor)

    def is_revoked(self, identity: bytes) -> bool:
        return identity in self.revoked or identity[:REVOKED_PREFIX_BYTES] in self.revoked

    def has_passed(self, moment: int) -> bool:
        """Whether this time lies behind us, even for a clock that is a little fast."""
        return self.moment > moment + CLOCK_SLACK_S

    def lies_ahead(self, moment: int) -> bool:
        """Whether this time is still to come, even for a clock that is a little slow."""
        return moment > self.moment + CLOCK_SLACK_S


class About(StrEnum):
    """What a rule looks at, in the order in which a payment meets them."""

    REQUEST = "request"
    VOUCHER = "voucher"
    TRANSFER = "transfer"
    PAYMENT = "payment"
    RETURN = "return"
    RECEIPT = "receipt"


_REFUSALS: dict[About, type[ProtocolError]] = {
    About.REQUEST: RequestRefused,
    About.VOUCHER: ChainRefused,
    About.TRANSFER: ChainRefused,
    About.PAYMENT: PaymentRefused,
    About.RETURN: PaymentRefused,
    About.RECEIPT: ReceiptRefused,
}


@dataclass(frozen=True)
class Rule(Generic[Subject, Context]):
    """One rule. Its check gives the complaint, or None when the rule is kept."""

    number: int
    name: str
    about: About
    statement: str
    check: Check[Subject, Context]

    def enforce(self, subject: Subject, context: Context) -> None:
        """Refuse what breaks the rule.

        Raises:
            ProtocolError: the refusal of this kind of subject, with the rule's number and name.
        """
        complaint = self.check(subject, context)
        if complaint is not None:
            raise self.refusal(complaint)

    def refusal(self, complaint: str) -> ProtocolError:
        return _REFUSALS[self.about](complaint, number=self.number, code=self.name)


def rule(
    about: About, number: int, statement: str
) -> Callable[[Check[Subject, Context]], Rule[Subject, Context]]:
    """Make a rule of a function; the rule is named after it."""

    def make(check: Check[Subject, Context]) -> Rule[Subject, Context]:
        # Any, since a Callable as such has no name; what is decorated here is always a function.
        function: Any = check
        return Rule(number, function.__name__, about, statement, check)

    return make


def walk(rules: Sequence[Rule[Subject, Context]], subject: Subject, context: Context) -> None:
    """Enforce rules in their order; the first that is broken speaks.

    Raises:
        ProtocolError: see `Rule.enforce`.
    """
    for each in rules:
        complaint = each.check(subject, context)
        if complaint is not None:
            raise each.refusal(complaint)


def signature_complaint(signed: Signed[Body], key: PublicKey) -> str | None:
    """Why the signature does not count, or None when it does."""
    try:
        check_signature(signed, key)
    except BadSignature as error:
        return error.message
    return None


def issuer_complaint(certificate: Signed[DeviceCertificate], key_set: KeySet) -> str | None:
    """Why the issuer does not stand behind a certificate, or None when it does."""
    body = certificate.body
    try:
        key = key_set.key(body.kid, body.valid_from, KeyUse.ISSUE)
    except UnknownIssuerKey as error:
        return error.message
    return signature_complaint(certificate, key)
