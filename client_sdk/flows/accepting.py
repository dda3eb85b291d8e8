"""Whether to take a payment that keeps every rule: the issuer's advice and the payee's own rules.

What is judged here is risk, not validity. A refusal may only come from a signed fact; what another
device merely says about a value can make a payee think twice and no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from client_sdk.book import Book
from client_sdk.errors import InvalidRule, PaymentNeedsConfirmation
from client_sdk.flows.risk_words import say_conditions
from client_sdk.hearsay import DAY
from client_sdk.store.sqlite import StoreTx
from offline_protocol import cbor
from offline_protocol.acceptance import AcceptanceRule, PaymentFacts, Verdict, judge
from offline_protocol.chains import Payment
from offline_protocol.constants import ACCEPTANCE_RULES_MAX
from offline_protocol.errors import ProtocolError

REFUSED_BY_RULES: Final = "refused_by_payee_rules"
DECLINED: Final = "declined_by_payee"
RULE: Final = "rule"
LIST_OUTDATED: Final = "list_outdated"
TOLD_SPENT: Final = "told_spent"
OWN_RULES: Final = b"own_rules"


class Decision(Enum):
    """What the caller has decided about a payment that raises concerns."""

    ASK = "ask"
    TAKE = "take"
    """In spite of warnings; never in spite of a rule that refuses."""
    GIVE_BACK = "give_back"
    """Store it and sign it back, so that its value is not stuck at the payer."""


class Whose(StrEnum):
    ISSUER = "issuer"
    OWN = "own"


@dataclass(frozen=True)
class Concern:
    """Something that speaks against taking a payment.

    Attributes:
        code: stable name: one of `RULE`, `LIST_OUTDATED` and `TOLD_SPENT`.
        verdict: what it asks for.
        words: one sentence for a person.
    """

    code: str
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Assessment:
    """Facts of a payment and what speaks against it, the gravest first."""

    facts: PaymentFacts
    concerns: tuple[Concern, ...]

    @property
    def verdict(self) -> Verdict:
        return max((each.verdict for each in self.concerns), default=Verdict.ACCEPT)


def assess(book: Book, payment: Payment) -> Assessment:
    """Judge a payment whose rules all hold."""
    facts = PaymentFacts.of(payment, now=book.now(), revocation_time=book.blocklist.time)
    concerns: list[Concern] = []
    for whose, rules in ((Whose.ISSUER, issuer_rules(book)), (Whose.OWN, own_rules(book))):
        _, applying = judge(facts, rules)
        concerns += [_concern(book, whose, rule, facts) for rule in applying]
    if book.list_outdated:
        words = "Your list of blocked devices is older than the issuer allows; sync while online."
        concerns.append(Concern(LIST_OUTDATED, Verdict.WARN, words))
    if book.hearsay.told_of(payment, book.now() // DAY):
        words = (
            "Another device says that this value, or part of it, was spent before. "
            "It has shown no proof, so this may be wrong."
        )
        concerns.append(Concern(TOLD_SPENT, Verdict.WARN, words))
    return Assessment(facts, tuple(sorted(concerns, key=lambda each: -each.verdict)))


def decide(book: Book, payment: Payment, decision: Decision) -> str:
    """Take a payment or not.

    Returns:
        Empty to take it; else the code of why it is to be signed back.

    Raises:
        PaymentNeedsConfirmation: a person has to decide.
    """
    if decision is Decision.GIVE_BACK:
        return DECLINED
    found = assess(book, payment)
    if found.verdict is Verdict.REFUSE:
        return REFUSED_BY_RULES
    if found.verdict is Verdict.WARN and decision is Decision.ASK:
        raise PaymentNeedsConfirmation(
            " ".join(each.words for each in found.concerns), assessment=found
        )
    return ""


# The rules.


def issuer_rules(book: Book) -> tuple[AcceptanceRule, ...]:
    policy = book.policy()
    return () if policy is None else policy.rules


def own_rules(book: Book) -> tuple[AcceptanceRule, ...]:
    stored = book.raw(OWN_RULES)
    if stored is None:
        return ()
    values = cbor.decode(stored)
    assert isinstance(values, list), "written by `_keep`"
    return tuple(AcceptanceRule.from_value(value) for value in values)


def add_rule(book: Book, rule: AcceptanceRule) -> None:
    """Add an own rule; it can only make this wallet stricter.

    Raises:
        InvalidRule: there are as many as a wallet keeps.
    """
    rules = own_rules(book)
    if len(rules) >= ACCEPTANCE_RULES_MAX:
        raise InvalidRule(f"This wallet has {len(rules)} rules of its own, as many as it keeps.")
    if rule not in rules:
        with book.store.write("setting") as tx:
            _keep(tx, [*rules, rule])


def remove_rule(book: Book, number: int) -> AcceptanceRule:
    """Remove an own rule by its place, counted from 1.

    Raises:
        InvalidRule: there is none at this place.
    """
    rules = list(own_rules(book))
    if not 1 <= number <= len(rules):
        raise InvalidRule(f"This wallet has no own rule {number}.")
    removed = rules.pop(number - 1)
    with book.store.write("setting") as tx:
        _keep(tx, rules)
    return removed


def make_rule(action: Verdict, **conditions: int | str | None) -> AcceptanceRule:
    """A rule of these conditions.

    Raises:
        InvalidRule: a value is out of range, or there is no condition.
    """
    try:
        return AcceptanceRule(action, **conditions)  # type: ignore[arg-type]
    except ProtocolError as error:
        raise InvalidRule(f"This is no rule: {error.message}.") from None


def _keep(tx: StoreTx, rules: Iterable[AcceptanceRule]) -> None:
    tx.put("single", OWN_RULES, cbor.encode([rule.to_value() for rule in rules]))


def _concern(book: Book, whose: Whose, rule: AcceptanceRule, facts: PaymentFacts) -> Concern:
    who = "The issuer's rules" if whose is Whose.ISSUER else "Your own rules"
    verb = "refuse it" if rule.action is Verdict.REFUSE else "warn"
    conditions = " and ".join(say_conditions(book, rule)) or f"it is in {facts.currency}"
    return Concern(RULE, rule.action, f"{who} {verb}: {conditions}.")
