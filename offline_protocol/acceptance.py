"""Acceptance: what a payee takes, is warned of, or refuses, beyond the rules that all share.

The rules of `verification.py` say what is valid. Whether to take a valid payment from a phone whose
certificate is twelve days old is a matter of risk: the issuer signs recommended rules, and a payee
may add stricter ones. All of it is data.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.certificates import Assurance, KeySet, KeyUse
from offline_protocol.chains import Chain, Payment
from offline_protocol.constants import ACCEPTANCE_RULES_MAX, KID_BYTES_MAX
from offline_protocol.cose import Identified, Signed, check_signature
from offline_protocol.errors import (
    BadSignature,
    MalformedObject,
    PolicyRefused,
    UnknownIssuerKey,
)
from offline_protocol.fields import (
    Fields,
    as_text,
    as_uint,
    check_bytes,
    check_currency,
    check_many,
    check_uint,
)
from offline_protocol.transfers import TransferKind


class Verdict(IntEnum):
    """What to do with a payment; the greatest of all that applies counts."""

    ACCEPT = 0
    WARN = 1
    """Take it only if the person behind the counter says so."""
    REFUSE = 2


@dataclass(frozen=True)
class PaymentFacts:
    """What acceptance rules look at. Ages are seconds, amounts minor units.

    `certificate_age` is that of the oldest word of the issuer about anybody who signed:
    a certificate, or the voucher for its holder. `revocation_age` is that of the payee's own list.
    """

    currency: str
    amount: int
    hops: int
    certificate_age: int
    revocation_age: int
    assurance: Assurance

    @classmethod
    def of(cls, payment: Payment, *, now: int, revocation_time: int) -> Self:
        """Look at a payment whose rules all hold.

        Args:
            payment: the payment.
            now: Unix seconds, never behind what the issuer has signed.
            revocation_time: when the payee's newest revocation list was signed; 0 without one.
        """
        words = [word for chain in payment.chains for word in _words_about_signers(chain)]
        return cls(
            currency=payment.chains[0].currency,
            amount=payment.amount,
            hops=max(chain.hops_used for chain in payment.chains),
            certificate_age=max(now - min(since for since, _ in words), 0),
            revocation_age=max(now - revocation_time, 0),
            assurance=min(assurance for _, assurance in words),
        )


def _words_about_signers(chain: Chain) -> Iterable[tuple[int, Assurance]]:
    for link in chain.links:
        if link.transfer.body.kind is not TransferKind.PAY:
            continue
        if link.certificate is None:
            # A voucher does not say how its holder keeps the key.
            yield chain.voucher.body.issued_at, Assurance.SOFTWARE
        else:
            yield link.certificate.body.valid_from, link.certificate.body.assurance


@dataclass(frozen=True)
class AcceptanceRule:
    """Applies when all its conditions hold; one that is None does not count."""

    action: Verdict
    currency: str | None = None
    amount_over: int | None = None
    hops_over: int | None = None
    certificate_age_over: int | None = None
    revocation_age_over: int | None = None
    assurance_under: int | None = None

    def __post_init__(self) -> None:
        if self.action not in {Verdict.WARN, Verdict.REFUSE}:
            raise MalformedObject("a rule warns or refuses")
        object.__setattr__(self, "action", Verdict(self.action))
        if self.currency is not None:
            check_currency(self.currency)
        conditions = [getattr(self, field.name) for field in fields(self)[1:]]
        for number in conditions[1:]:
            if number is not None:
                check_uint("condition", number)
        if all(condition is None for condition in conditions):
            raise MalformedObject("a rule has a condition")

    def applies_to(self, facts: PaymentFacts) -> bool:
        over = (
            (self.amount_over, facts.amount),
            (self.hops_over, facts.hops),
            (self.certificate_age_over, facts.certificate_age),
            (self.revocation_age_over, facts.revocation_age),
        )
        return (
            self.currency in {None, facts.currency}
            and all(most is None or value > most for most, value in over)
            and (self.assurance_under is None or facts.assurance < self.assurance_under)
        )

    def to_value(self) -> cbor.Value:
        values = (getattr(self, field.name) for field in fields(self))
        return {
            number: int(value) if isinstance(value, int) else value
            for number, value in enumerate(values, 1)
            if value is not None
        }

    @classmethod
    def from_value(cls, value: cbor.Value) -> Self:
        """Read a rule.

        Raises:
            MalformedObject: another form.
        """
        if type(value) is not dict or not value.keys() <= set(range(1, len(fields(cls)) + 1)):
            raise MalformedObject("an acceptance rule is a map with known fields")
        action = as_uint(value.get(1, 0), "action")
        if action not in {Verdict.WARN, Verdict.REFUSE}:
            raise MalformedObject("a rule warns or refuses")
        conditions: dict[str, int] = {
            field.name: as_uint(value[number], field.name)
            for number, field in enumerate(fields(cls), 1)
            if number in value and field.name not in {"action", "currency"}
        }
        currency = as_text(value[2], "currency") if 2 in value else None  # noqa: PLR2004 - its number
        return cls(Verdict(action), currency, **conditions)


@dataclass(frozen=True)
class AcceptancePolicy(Identified):
    """The rules that an issuer recommends to payees. `version` rises with each change."""

    NAME: ClassVar[str] = "acceptance-policy"
    TYPE: ClassVar[int] = 9

    kid: bytes
    version: int
    time: int
    rules: tuple[AcceptanceRule, ...]

    def __post_init__(self) -> None:
        check_bytes("kid", self.kid, least=1, most=KID_BYTES_MAX)
        check_uint("version", self.version, least=1)
        check_uint("time", self.time)
        check_many("rules", self.rules, most=ACCEPTANCE_RULES_MAX)

    def to_payload(self) -> bytes:
        rules = [rule.to_value() for rule in self.rules]
        return cbor.encode({1: self.TYPE, 2: self.kid, 3: self.version, 4: self.time, 5: rules})

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields_ = Fields(cls.NAME, payload, type_number=cls.TYPE)
        policy = cls(
            kid=fields_.raw(2),
            version=fields_.uint(3),
            time=fields_.uint(4),
            rules=tuple(AcceptanceRule.from_value(item) for item in fields_.array(5)),
        )
        fields_.end()
        return policy


def verify_acceptance_policy(
    signed: Signed[AcceptancePolicy], key_set: KeySet, current: AcceptancePolicy | None = None
) -> AcceptancePolicy:
    """Check a policy against the issuer's keys and against the one in use.

    Raises:
        PolicyRefused: the issuer did not sign it, or it is not newer than another one in use.
    """
    body = signed.body
    try:
        check_signature(signed, key_set.key(body.kid, body.time, KeyUse.ISSUE))
    except (UnknownIssuerKey, BadSignature) as error:
        raise PolicyRefused(f"the issuer did not sign it: {error.message}") from error
    if current is not None and body.id != current.id and body.version <= current.version:
        raise PolicyRefused(f"version {body.version} is not newer than {current.version}")
    return body


def judge(
    facts: PaymentFacts, rules: Iterable[AcceptanceRule]
) -> tuple[Verdict, tuple[AcceptanceRule, ...]]:
    """What to do with a payment, and the rules that say so."""
    applying = tuple(rule for rule in rules if rule.applies_to(facts))
    return max((rule.action for rule in applying), default=Verdict.ACCEPT), applying
