"""What withdrawals take and give over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema

Reason = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^\x00-\x1f\x7f]{3,500}$",
        description="Why; it is kept",
        examples=["The bank confirmed by telephone that nothing was paid."],
    ),
]
State = Literal["requested", "sending", "sent", "paid", "refused", "cancelled", "returned"]


class WithdrawalCreate(Schema):
    """Money out to one of your verified bank accounts. ``amount`` arrives; the fee comes on top."""

    amount: Amount
    currency: CurrencyCode
    bank_account: Annotated[UUID, msgspec.Meta(examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]


class WithdrawalStep(Schema):
    """Something that happened, in plain words."""

    at: datetime
    what: str


class WithdrawalView(Schema):
    """A withdrawal and how far it is. ``total`` is the amount and the fee."""

    id: UUID
    amount: int
    fee: int
    total: int
    currency: str
    bank_account: UUID
    bank_account_label: str
    state: State
    reason: str | None
    can_cancel: bool
    needs_attention: bool
    """Whether a person is looking at it, because the bank gives no usable answer."""
    created_at: datetime
    settled_at: datetime | None
    steps: list[WithdrawalStep]


class TermsView(Schema):
    """What a withdrawal in a currency has to be, and its fee, in minor units."""

    currency: str
    minimum: int
    maximum: int
    fee: int


class TermsList(Schema):
    terms: list[TermsView]


class StuckItem(Schema):
    """A workflow that failed beyond its retries."""

    workflow: str
    key: str
    reason: str | None
    started_at: datetime
    failed_at: datetime
    times_taken_up: int


class WorkflowStep(Schema):
    number: int
    name: str
    failed: bool
    began_at: datetime | None
    ended_at: datetime | None


class StuckView(Schema):
    """A workflow with its steps, and the withdrawal that it is about, if it is about one."""

    workflow: str
    key: str
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    reason: str | None
    executor: str | None
    started_at: datetime
    changed_at: datetime
    times_taken_up: int
    steps: list[WorkflowStep]
    withdrawal: WithdrawalView | None


class GiveUp(Schema):
    """Stop trying, and give the money back if nothing was paid."""

    reason: Reason


class GivenUp(Schema):
    """What became of it. ``proposed`` waits for another person to send the same."""

    outcome: Literal["paid", "given_back", "proposed"]
    withdrawal: WithdrawalView
