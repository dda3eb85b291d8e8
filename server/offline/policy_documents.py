"""The policy as a JSON document: its shape, what must fit together in it, and its one spelling."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec

from offline_protocol.constants import HOPS_MAX
from server.kit.money import AMOUNT_MAX, ASSETS
from server.kit.schema import Amount, CurrencyCode, Schema
from server.offline.domain import (
    TIER_DEFAULT,
    AcceptanceRule,
    CurrencyLimits,
    OfflinePolicy,
)
from server.offline.errors import PolicyInvalid

DAY_S = 86_400
_DOCUMENTS_KEPT = 256
MaybeAmount = Annotated[
    int, msgspec.Meta(ge=0, le=AMOUNT_MAX, description="Minor units", examples=[20_000])
]
Balance = Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX, examples=[0])]
Seconds = Annotated[
    int, msgspec.Meta(ge=60, le=366 * DAY_S, description="Seconds", examples=[14 * DAY_S])
]
Age = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX, description="Seconds", examples=[7 * DAY_S])]
Tier = Annotated[
    str,
    msgspec.Meta(
        pattern="^[a-z][a-z0-9_]{0,31}$", description="Name of a payee tier", examples=["merchant"]
    ),
]


class LimitsDocument(Schema):
    """The limits of one currency, in minor units; `null` where there is no limit."""

    voucher_value_max: Amount
    payment_max: Amount
    balance_max: Amount
    instant: Annotated[
        dict[Tier, MaybeAmount],
        msgspec.Meta(min_length=1, max_length=16, examples=[{"user": 10_000, "merchant": 100_000}]),
    ]
    fund: MaybeAmount
    fund_per_period: MaybeAmount | None = None
    fund_floor: Balance | None = None
    fund_alarm_below: Balance | None = None
    collateral_percent: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 100
    four_eyes_over: MaybeAmount | None = None


class RuleDocument(Schema, omit_defaults=True):
    """What a payee's device should do with an offer that meets all conditions which are there."""

    action: Annotated[Literal["warn", "refuse"], msgspec.Meta(examples=["warn"])]
    currency: CurrencyCode | None = None
    amount_over: MaybeAmount | None = None
    hops_over: Annotated[int, msgspec.Meta(ge=0, le=HOPS_MAX)] | None = None
    certificate_age_over_s: Age | None = None
    revocation_age_over_s: Age | None = None
    assurance_under: Annotated[int, msgspec.Meta(ge=2, le=2)] | None = None


class PolicyDocument(Schema):
    """The whole policy. A currency that is not listed has the built-in limits."""

    hops_max: Annotated[int, msgspec.Meta(ge=1, le=HOPS_MAX, examples=[4])]
    vouchers_per_issue_max: Annotated[int, msgspec.Meta(ge=1, le=100, examples=[16])]
    spend_by_s: Seconds
    claim_after_s: Seconds
    certificate_life_s: Seconds
    renew_below_s: Seconds
    waiting_per_device_max: Annotated[int, msgspec.Meta(ge=1, le=100_000, examples=[1_000])]
    fund_period_s: Seconds
    dispute_within_s: Seconds
    currencies: Annotated[dict[CurrencyCode, LimitsDocument], msgspec.Meta(examples=[{}])]
    acceptance: Annotated[
        list[RuleDocument],
        msgspec.Meta(max_length=32, examples=[[{"action": "warn", "hops_over": 2}]]),
    ]


_TIMES = {
    "spend_by_s": "spend_by",
    "claim_after_s": "claim_after",
    "certificate_life_s": "certificate_life",
    "renew_below_s": "renew_below",
    "fund_period_s": "fund_period",
    "dispute_within_s": "dispute_within",
}
_COUNTS = ("hops_max", "vouchers_per_issue_max", "waiting_per_device_max")


def policy_of(document: PolicyDocument) -> OfflinePolicy:
    """Return the policy that a document describes.

    Raises:
        PolicyInvalid: its parts contradict each other.
    """
    problems = [{"field": place, "problem": text} for place, text in _problems(document)]
    if problems:
        raise PolicyInvalid(
            f"{problems[0]['field']}: {problems[0]['problem']}.",
            fix="Mend every field that `problems` lists.",
            problems=problems,
        )
    return _build(document)


def _build(document: PolicyDocument) -> OfflinePolicy:
    plain = msgspec.to_builtins(document)
    times: dict[str, Any] = {n: timedelta(seconds=plain[place]) for place, n in _TIMES.items()}
    return OfflinePolicy(
        currencies={code: CurrencyLimits(**each) for code, each in plain["currencies"].items()},
        acceptance=tuple(AcceptanceRule(**each) for each in plain["acceptance"]),
        **{name: plain[name] for name in _COUNTS},
        **times,
    )


def document_of(policy: OfflinePolicy) -> PolicyDocument:
    """Return the document that describes a policy."""
    return PolicyDocument(
        currencies={
            code: LimitsDocument(**_plain(limits)) for code, limits in policy.currencies.items()
        },
        acceptance=[RuleDocument(**_plain(rule)) for rule in policy.acceptance],
        **{name: getattr(policy, name) for name in _COUNTS},
        **{place: int(getattr(policy, name).total_seconds()) for place, name in _TIMES.items()},
    )


def spell(document: PolicyDocument) -> str:
    """Return the one JSON spelling in which a document is stored."""
    return msgspec.json.encode(document, order="sorted").decode()


@lru_cache(_DOCUMENTS_KEPT)
def read_stored(text: str) -> OfflinePolicy:
    """Return the policy behind a stored document; the same text is read once.

    It was checked when it was stored; rules that came later must not stop a tenant.
    """
    return _build(msgspec.json.decode(text, type=PolicyDocument))


def acceptance_rules(policy: OfflinePolicy) -> list[dict[str, Any]]:
    """Return what payees should warn of or refuse, without the conditions that are not set.

    Each rule has ``action`` ("warn" or "refuse") and at least one of ``amount_over`` (minor units
    of ``currency``), ``hops_over``, ``certificate_age_over_s``, ``revocation_age_over_s`` and
    ``assurance_under``.
    """
    return [
        {name: value for name, value in _plain(rule).items() if value is not None}
        for rule in policy.acceptance
    ]


def _plain(value: object) -> dict[str, Any]:
    return {item.name: getattr(value, item.name) for item in fields(value)}  # type: ignore[arg-type]


def _problems(document: PolicyDocument) -> Iterator[tuple[str, str]]:
    if document.renew_below_s >= document.certificate_life_s:
        yield "renew_below_s", "a certificate is renewed before it ends"
    for code, limits in document.currencies.items():
        for name, problem in _limits_problems(code, limits):
            yield f"currencies.{code}{name}", problem
    for number, rule in enumerate(document.acceptance):
        for problem in _rule_problems(rule):
            yield f"acceptance[{number}]", problem


def _limits_problems(code: str, limits: LimitsDocument) -> Iterator[tuple[str, str]]:
    if code not in ASSETS:
        yield "", "this server does not know the currency"
    if limits.voucher_value_max > limits.balance_max:
        yield ".voucher_value_max", "a voucher is not larger than what a device may hold"
    if TIER_DEFAULT not in limits.instant:
        yield ".instant", f"the tier {TIER_DEFAULT!r} has a limit, which is that of everybody else"
    if limits.fund_per_period is not None and limits.fund_per_period < limits.fund:
        yield ".fund_per_period", "it is not less than what one cheat may cost"


def _rule_problems(rule: RuleDocument) -> Iterator[str]:
    conditions = (
        rule.amount_over,
        rule.hops_over,
        rule.certificate_age_over_s,
        rule.revocation_age_over_s,
        rule.assurance_under,
    )
    if all(each is None for each in conditions):
        yield "a rule has at least one condition"
    if rule.amount_over is not None and rule.currency is None:
        yield "an amount has a currency"
    if rule.currency is not None and rule.currency not in ASSETS:
        yield "this server does not know the currency"
