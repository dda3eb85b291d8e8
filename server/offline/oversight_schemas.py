"""What people who decide take and give over HTTP: policy, collateral, fund, links, disputes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema
from server.offline.policy_documents import PolicyDocument, RuleDocument, Tier

# Printable text with line breaks, not only blanks; no database takes a zero byte.
_TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x08\x0b-\x1f\x7f]*$"
Reason = Annotated[
    str,
    msgspec.Meta(
        min_length=3,
        max_length=500,
        pattern=_TEXT,
        description="Why; kept for ever",
        examples=["Fraud wave in the north, see case 114"],
    ),
]
Statement = Annotated[
    str,
    msgspec.Meta(
        min_length=3,
        max_length=4_000,
        pattern=_TEXT,
        examples=["My phone was stolen on Friday evening; I reported it on Saturday."],
    ),
]


class PublicLimits(Schema):
    """What holds in one currency, in minor units. ``instant`` is by payee tier."""

    voucher_value_max: int
    payment_max: int
    balance_max: int
    instant: dict[str, int]
    collateral_percent: int


class PublicPolicy(Schema):
    """What devices and payees may know of the rules. Times are seconds.

    ``changes_at`` is when another version begins that is stored already.
    """

    version: int
    effective_at: datetime | None
    changes_at: datetime | None
    hops_max: int
    vouchers_per_issue_max: int
    spend_by_s: int
    claim_after_s: int
    certificate_life_s: int
    currencies: dict[str, PublicLimits]
    acceptance: list[RuleDocument]


class PolicyChange(Schema):
    """The whole new policy. ``replaces`` is the latest version that you have read, 0 for none."""

    policy: PolicyDocument
    reason: Reason
    replaces: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, examples=[0])]
    effective_at: (
        Annotated[datetime, msgspec.Meta(tz=True, examples=["2026-12-01T00:00:00Z"])] | None
    ) = None


class PolicyVersion(Schema):
    version: int
    in_force: bool
    effective_at: datetime | None
    reason: str
    changed_by: str
    changed_at: datetime | None
    policy: PolicyDocument


class CollateralChange(Schema):
    amount: Amount
    currency: CurrencyCode


class CollateralView(Schema):
    """Minor units. ``used`` went to debts, ``needed`` by vouchers that are not closed yet.

    ``balance_max`` is what a device of yours may hold with it.
    """

    currency: str
    set_aside: int
    used: int
    needed: int
    free: int
    balance_max: int


class CollateralList(Schema):
    items: list[CollateralView]


class FundChange(Schema):
    amount: Amount
    currency: CurrencyCode
    reason: Reason


class FundView(Schema):
    """The guarantee fund in one currency. ``room`` is what it may still promise; null: no limit."""

    currency: str
    balance: int
    reserved: int
    free: int
    promised_in_period: int
    per_period: int | None
    floor: int | None
    room: int | None


class FundList(Schema):
    items: list[FundView]


_SomeId = Annotated[UUID, msgspec.Meta(examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]


class LinkCreate(Schema):
    first: _SomeId
    second: _SomeId
    reason: Reason


class LinkEnd(Schema):
    reason: Reason


class LinkView(Schema):
    id: UUID
    first: UUID
    second: UUID
    reason: str
    linked_by: str
    linked_at: datetime
    ended_by: str | None
    end_reason: str | None
    ended_at: datetime | None


class TierChange(Schema):
    """``tier`` is one that the policy names, or null for the account's role again."""

    tier: Tier | None
    reason: Reason


class TierView(Schema):
    user_id: UUID
    tier: str


class WriteOffCreate(Schema):
    """Without ``amount`` all that is outstanding and not written off yet."""

    currency: CurrencyCode
    reason: Reason
    amount: Amount | None = None


class DebtView(Schema):
    """What a user owes in one currency, in minor units.

    ``outstanding`` is owed minus recovered plus overdrawn; ``written_off`` is the part of it that
    nobody expects. ``from_collateral`` is the part of what was recovered that had been set aside.
    """

    user_id: UUID
    currency: str
    owed: int
    recovered: int
    from_collateral: int
    overdrawn: int
    outstanding: int
    written_off: int
    collateral: int
    fund_promised: int


class AccountOversight(Schema):
    """What risk and compliance officers see of an account."""

    user_id: UUID
    username: str
    display_name: str
    role: str
    tier: str
    debts: list[DebtView]
    links: list[LinkView]
    conflicts: list[str]


class DeedView(Schema):
    """One line of the audit: who did what to what, when and why."""

    seq: int
    at: datetime
    actor: UUID | None
    actor_name: str
    action: str
    subject: str
    reason: str
    detail: dict[str, Any]


class DisputeCreate(Schema):
    statement: Statement


class DisputeStep(Schema):
    """A step of a dispute as it is told to the parties."""

    at: datetime
    step: Literal["opened", "proposed", "upheld", "overturned"]
    text: str


class DisputeView(Schema):
    """A dispute as its parties see it."""

    conflict_id: str
    state: Literal["open", "proposed", "upheld", "overturned"]
    role: str
    amount: int | None
    currency: str | None
    opened_at: datetime
    decided_at: datetime | None
    steps: list[DisputeStep]


class DisputeItem(Schema):
    """A dispute in the list of those to decide."""

    conflict_id: str
    state: str
    user_id: UUID
    opened_at: datetime
    amount: int
    currency: str | None
    proposed_by: UUID | None
    verdict: str | None


Cause = Annotated[
    Literal["stolen", "lost", "copied_by_others", "malware", "manufacturer_fault", "other"],
    msgspec.Meta(examples=["stolen"]),
]
Bearer = Annotated[Literal["fund", "issuer"], msgspec.Meta(examples=["fund"])]


class DisputeDecision(Schema):
    """``bearer`` says who bears the cost of an overturned one; an upheld one has none."""

    verdict: Annotated[Literal["upheld", "overturned"], msgspec.Meta(examples=["overturned"])]
    reason: Reason
    cause: Cause | None = None
    bearer: Bearer | None = None


class PartyView(Schema):
    user_id: UUID
    username: str
    display_name: str
    role: str
    credited: int
    held: int


class SignedTransferView(Schema):
    """One of the two transfers of a conflict, read from the evidence."""

    id: str
    parent: str
    lo: int
    hi: int
    sequence: int
    signed_at: datetime
    kind: str
    request_id: str
    payee_key_id: str
    payee_user: UUID | None
    payee_name: str | None
    received_at: datetime | None
    object: str


class SettlementEffect(Schema):
    """What the voucher of a conflict paid, and from what, in minor units."""

    voucher_id: str
    value: int
    closed: bool
    claim_by: datetime
    sources: dict[str, int]
    credits: int
    debts: dict[str, int]
    cost_of_fork: int


class CaseView(Schema):
    """Everything that an officer needs to decide a dispute, or to understand a conflict."""

    conflict_id: str
    kind: Literal["fork", "clone"]
    found_at: datetime
    lo: int
    hi: int
    currency: str | None
    accused: PartyView
    device_id: UUID
    device_key_id: str
    device_status: str
    proof: str
    proof_verifies: bool
    transfers: list[SignedTransferView]
    parties: list[PartyView]
    effect: SettlementEffect | None
    standing: list[DebtView]
    dispute: DisputeView | None
    statement: str | None
    verdict: str | None
    bearer: str | None
    cause: str | None
    verdict_reason: str | None
    proposed_by: UUID | None
    needs_second_officer: bool
    steps: list[DeedView]


class StatementLine(Schema, omit_defaults=True):
    """One step of offline money. The newest come first; what is not known of a step is left out.

    ``amount`` is in minor units, below zero where the step took from the account or the device.
    ``owed`` is the debt that is left after it. ``entries`` are the ledger entries that moved money
    for it; a step that moved none has none.
    """

    at: datetime
    step: str
    text: str
    amount: int | None = None
    currency: str | None = None
    voucher_id: str | None = None
    transfer_id: str | None = None
    conflict_id: str | None = None
    owed: int | None = None
    entries: list[UUID] = []
