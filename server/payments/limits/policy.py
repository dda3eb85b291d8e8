"""The limits as a document: its shape, what must fit together in it, the built-in one.

Zones, base currency and the level of people whom nobody has checked yet are part of the document
and not of a process's environment: all processes of an installation count alike.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from server.kit.documents import DocumentVersion, document_in_force
from server.kit.money import AMOUNT_MAX, ASSETS
from server.kit.schema import CurrencyCode, Schema
from server.kit.unit_of_work import Tx
from server.payments.limits.domain import LEVELS, Caps, LimitKind, LimitPolicy
from server.payments.limits.errors import LimitsInvalid

DOCUMENT = "limits"
_DOCUMENTS_KEPT = 256
Cap = Annotated[
    int,
    msgspec.Meta(ge=0, le=AMOUNT_MAX, description="Minor units", examples=[100_000]),
]
Level = Annotated[int, msgspec.Meta(ge=0, le=3, description="KYC level", examples=[1])]


class LimitRule(Schema):
    """The limit of one level for one kind of movement; `null` where there is none.

    Without ``currency`` it is over all currencies, in minor units of the base currency.
    """

    level: Level
    kind: LimitKind
    day: Cap | None
    month: Cap | None
    currency: CurrencyCode | None = None


class LimitsDocument(Schema):
    """All limits. For each level and kind one rule is over all currencies."""

    base_currency: CurrencyCode
    time_zone: Annotated[
        str, msgspec.Meta(max_length=64, description="IANA name", examples=["Europe/Istanbul"])
    ]
    level_default: Level
    limits: Annotated[
        list[LimitRule],
        msgspec.Meta(
            max_length=1_000,
            examples=[[{"level": 1, "kind": "transfer", "day": 100_000, "month": 1_000_000}]],
        ),
    ]
    yardsticks: Annotated[
        dict[CurrencyCode, str],
        msgspec.Meta(
            description="Units of a currency for one of the base currency, as decimal text. They "
            "count where no market rate was ever known.",
            examples=[{"USD": "1.16"}],
        ),
    ]


_CAPS = (Caps(0, 0), Caps(100_000, 1_000_000), Caps(5_000_000, 50_000_000), Caps(None, None))
BUILT_IN = LimitsDocument(
    base_currency="EUR",
    time_zone="UTC",
    level_default=2,
    limits=[
        LimitRule(level=level, kind=kind, day=_CAPS[level].day, month=_CAPS[level].month)
        for kind in LimitKind
        for level in LEVELS
    ],
    yardsticks={
        "AED": "4.3",
        "BHD": "0.44",
        "BRL": "6.2",
        "CHF": "0.93",
        "GBP": "0.87",
        "GHS": "13",
        "INR": "103",
        "JPY": "178",
        "KES": "150",
        "MAD": "10.7",
        "NGN": "1680",
        "TRY": "49",
        "TZS": "2850",
        "UGX": "4100",
        "USD": "1.16",
        "XOF": "655.957",
        "ZAR": "20",
    },
)


async def policy_in_force(tx: Tx, tenant: int, *, at: datetime | None = None) -> LimitPolicy:
    """Return the limits that hold now, or held at an instant."""
    return policy_of(await document_in_force(tx, tenant, DOCUMENT, at=at))


def policy_of(version: DocumentVersion | None) -> LimitPolicy:
    return _read(BUILT_IN_TEXT if version is None else version.document)


def spell(document: LimitsDocument) -> str:
    """Return the one JSON spelling in which a document is stored."""
    return msgspec.json.encode(document, order="sorted").decode()


def check(document: LimitsDocument) -> None:
    """Refuse a document whose parts contradict each other.

    Raises:
        LimitsInvalid: ``problems`` lists every field that is wrong.
    """
    problems = [{"field": place, "problem": text} for place, text in _problems(document)]
    if problems:
        raise LimitsInvalid(
            f"{problems[0]['field']}: {problems[0]['problem']}.",
            fix="Mend every field that `problems` lists.",
            problems=problems,
        )


def _problems(document: LimitsDocument) -> Iterator[tuple[str, str]]:
    if document.base_currency not in ASSETS:
        yield "base_currency", "this server does not know the currency"
    if _zone(document.time_zone) is None:
        yield "time_zone", "there is no such time zone"
    yield from _rule_problems(document.limits)
    for code, text in document.yardsticks.items():
        if code not in ASSETS or _number(text) is None:
            yield f"yardsticks.{code}", "a known currency, and a number above zero"


def _rule_problems(rules: list[LimitRule]) -> Iterator[tuple[str, str]]:
    seen: set[tuple[int, LimitKind, str | None]] = set()
    for place, rule in enumerate(rules):
        key = (rule.level, rule.kind, rule.currency)
        if key in seen:
            yield f"limits[{place}]", "level, kind and currency stand there twice"
        seen.add(key)
        if rule.currency is not None and rule.currency not in ASSETS:
            yield f"limits[{place}].currency", "this server does not know the currency"
        if rule.day is not None and rule.month is not None and rule.month < rule.day:
            yield f"limits[{place}].month", "a month is not less than a day"
    for level in LEVELS:
        for kind in LimitKind:
            if (level, kind, None) not in seen:
                yield "limits", f"level {level} has no rule for {kind} over all currencies"


def _number(text: str) -> Fraction | None:
    """Return a decimal above zero, of at most 9 places on either side."""
    whole, point, places = text.partition(".")
    digits = whole + places
    if not (digits.isascii() and digits.isdigit() and whole) or (point and not places):
        return None
    if len(whole) > 9 or len(places) > 9:  # noqa: PLR2004
        return None
    return Fraction(text) or None


def _zone(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(_DOCUMENTS_KEPT)
def _read(text: str) -> LimitPolicy:
    """Return the limits behind a stored document, which was checked when it was stored.

    A kind or level that came later than the document has the built-in rule.
    """
    document = msgspec.json.decode(text, type=LimitsDocument)
    caps = {
        (rule.level, rule.kind, rule.currency): Caps(rule.day, rule.month)
        for rule in (*BUILT_IN.limits, *document.limits)
    }
    yardsticks = {code: Fraction(number) for code, number in document.yardsticks.items()}
    return LimitPolicy(
        base_currency=document.base_currency,
        time_zone=_zone(document.time_zone) or UTC,
        level_default=document.level_default,
        caps=MappingProxyType(caps),
        yardsticks=MappingProxyType(yardsticks),
    )


BUILT_IN_TEXT = spell(BUILT_IN)
