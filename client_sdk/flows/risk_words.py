"""Acceptance rules and the facts of a payment in words for a person."""

from typing import Final

from client_sdk.book import Book
from client_sdk.money import format_amount
from offline_protocol.acceptance import AcceptanceRule, PaymentFacts, Verdict
from offline_protocol.certificates import Assurance

DAY: Final = 86_400
HOUR: Final = 3_600
MINUTE: Final = 60


def say_rule(book: Book, rule: AcceptanceRule) -> str:
    """A rule for a person: "warn when the amount is over 50.00 EUR"."""
    verb = "refuse" if rule.action is Verdict.REFUSE else "warn"
    conditions = say_conditions(book, rule)
    where = f"for {rule.currency}, " if rule.currency and rule.amount_over is None else ""
    return f"{where}{verb} {'when ' if conditions else 'always'}{' and '.join(conditions)}"


def say_conditions(book: Book, rule: AcceptanceRule) -> list[str]:
    """Each condition of a rule but the currency."""
    said: list[str] = []
    if rule.amount_over is not None:
        said.append(f"the amount is over {_amount(book, rule.amount_over, rule.currency)}")
    if rule.hops_over is not None:
        said.append(f"the value changed hands more than {rule.hops_over} times")
    if rule.certificate_age_over is not None:
        age = say_age(rule.certificate_age_over)
        said.append(f"the issuer's word about somebody in it is older than {age}")
    if rule.revocation_age_over is not None:
        age = say_age(rule.revocation_age_over)
        said.append(f"your own list of blocked devices is older than {age}")
    if rule.assurance_under is not None:
        said.append(f"a key in it is kept less safely than level {rule.assurance_under}")
    return said


def say_facts(book: Book, facts: PaymentFacts) -> str:
    """What a person may want to know before taking a payment."""
    assured = facts.assurance >= Assurance.HARDWARE
    since = say_age(facts.revocation_age) if book.blocklist.time else "never"
    return (
        f"{_amount(book, facts.amount, facts.currency)}, hands changed: {facts.hops}, "
        f"oldest word of the issuer: {say_age(facts.certificate_age)} ago, "
        f"keys kept in {'secure hardware' if assured else 'software'}, "
        f"your list of blocked devices: {since if since == 'never' else since + ' old'}"
    )


def say_age(seconds: int) -> str:
    """A span of time in the unit that fits."""
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= unit:
            count = seconds // unit
            return f"{count} {name}{'s' if count != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"


def _amount(book: Book, amount: int, currency: str | None) -> str:
    if currency is None:
        return f"{amount} minor units"
    return format_amount(amount, currency, digits=book.scale(currency))
