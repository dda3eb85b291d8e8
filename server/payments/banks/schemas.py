"""What the banks slice takes and gives over HTTP."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema
from server.payments.banks.payees import Payee

DeliveryId = Annotated[
    str,
    msgspec.Meta(
        pattern="^[A-Za-z0-9._:-]{1,64}$",
        description="One for each notice; the same when a notice is sent again",
        examples=["d-2026-11-21-000017"],
    ),
]
TransactionId = Annotated[
    str,
    msgspec.Meta(
        pattern="^[A-Za-z0-9._:/+-]{1,35}$",
        description="The bank's own reference of the booking, as on its statement (AcctSvcrRef)",
        examples=["2026112100000017"],
    ),
]
ReferenceText = Annotated[
    str,
    msgspec.Meta(
        max_length=500,
        description="What the payer wrote, word for word",
        examples=["RF95 4827 1930 5566"],
    ),
]
ReasonWord = Annotated[str, msgspec.Meta(pattern="^[a-z0-9_]{1,64}$", examples=["account_closed"])]
Reason = Annotated[
    str, msgspec.Meta(min_length=3, max_length=500, examples=["The payer's bank confirmed it."])
]


class DepositNotice(Schema, tag_field="type", tag="deposit"):
    """Money came in on our account and is booked."""

    delivery_id: DeliveryId
    transaction_id: TransactionId
    amount: Amount
    currency: CurrencyCode
    booked_on: Annotated[date, msgspec.Meta(examples=["2026-11-21"])]
    reference: ReferenceText
    payer: Payee | None = None


class ReversalNotice(Schema, tag_field="type", tag="deposit_reversed"):
    """The bank took a deposit back, in full or in part."""

    delivery_id: DeliveryId
    transaction_id: TransactionId
    original_transaction_id: TransactionId
    amount: Amount
    currency: CurrencyCode
    reason: ReasonWord


class PayoutNotice(Schema, tag_field="type", tag="payout"):
    """What became of a payment that we ordered. ``returned``: it was paid and came back."""

    delivery_id: DeliveryId
    payout_id: UUID
    status: Literal["paid", "refused", "returned"]
    transaction_id: TransactionId | None = None
    reason: ReasonWord | None = None


Notice = DepositNotice | ReversalNotice | PayoutNotice


class NoticeTaken(Schema):
    """The notice is kept and need not be sent again."""

    outcome: Literal["credited", "suspense", "duplicate", "reversed", "settled"]
    replayed: bool
    """Whether the same delivery was taken before; nothing happened now."""


class DepositInstruction(Schema):
    """Where to pay a currency in, and the reference that says that it is yours."""

    bank: str
    bic: str | None
    holder: str
    account: str
    currency: str
    reference: str
    """In one piece, as machines take it."""
    reference_shown: str


class DepositView(Schema):
    """Money of yours that came in at a bank. ``taken_back`` is what the bank took back of it."""

    id: UUID
    amount: int
    currency: str
    received_at: datetime
    taken_back: int


class BankAccountCreate(Schema):
    """Add a bank account of your own."""

    currency: CurrencyCode
    payee: Payee


class BankAccountItem(Schema):
    """A bank account of yours. Its number is never shown again."""

    id: UUID
    masked: str
    currency: str
    country: str
    bank_name: str | None
    bic: str | None
    state: Literal["unverified", "verified", "refused", "removed"]
    """``refused``: the bank could not pay to it."""
    attempts: int
    """Codes that may still be tried."""
    expires_at: datetime | None
    created_at: datetime
    verified_at: datetime | None


class VerificationTry(Schema):
    """The code in the reference of the payment that your account received."""

    code: Annotated[str, msgspec.Meta(pattern="^[0-9]{6}$", examples=["042137"])]


class SuspendedDeposit(Schema):
    """Money without a known owner. ``payer`` is whom the bank named, its number masked."""

    id: UUID
    bank_id: UUID
    transaction_id: str
    amount: int
    currency: str
    taken_back: int
    booked_on: date
    reference: str
    payer: str | None
    cause: str | None
    received_at: datetime
    proposed: str | None
    """What another officer wants done, where two have to agree."""
    state: str


class SuspenseDecision(Schema):
    """Give the money to a user, or send it back to its payer."""

    action: Annotated[Literal["assign", "return"], msgspec.Meta(examples=["assign"])]
    reason: Reason
    user_id: Annotated[UUID | None, msgspec.Meta(description="With assign: whose the money is")] = (
        None
    )


class BankBreakView(Schema):
    """Something that a bank said and that does not fit what we know."""

    id: UUID
    bank_id: UUID
    kind: str
    subject: str
    detail: dict[str, object]
    state: str
    note: str | None
    at: datetime


class BreakClosing(Schema):
    """What it was, and what was done about it."""

    note: Reason
