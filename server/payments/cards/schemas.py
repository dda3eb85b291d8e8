"""What the card slice takes and gives over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema

CardName = Annotated[
    str,
    msgspec.Meta(
        pattern="^[A-Za-z][A-Za-z0-9_-]{0,63}$",
        description="The gateway's name for a card, never its number. Of the sandbox: sandbox-ok, "
        "sandbox-declined, sandbox-pending, sandbox-action, sandbox-unreachable, "
        "sandbox-lost-answer",
        examples=["sandbox-ok"],
    ),
]
PaymentState = Literal["pending", "requires_action", "succeeded", "declined"]


class TopUpCreate(Schema):
    """Add money from a card. Without ``card`` the payer enters one at the gateway."""

    amount: Amount
    currency: CurrencyCode
    card: CardName | None = None


class TopUpView(Schema):
    """A top-up. ``pending`` and ``requires_action`` still change; look it up again."""

    id: UUID
    amount: int
    currency: str
    status: PaymentState
    reason: str | None
    created_at: datetime
    settled_at: datetime | None
    client_secret: str | None = None
    """While action is required: with it the payer's browser goes on at the gateway."""


class RefundCreate(Schema):
    """Give money back to the card it came from."""

    amount: Amount | None = None
    """All that is left of the top-up, when left out."""


class RefundView(Schema):
    """A refund. The money is set aside while it is ``pending`` and yours again when it failed."""

    id: UUID
    top_up: UUID
    amount: int
    currency: str
    status: Literal["pending", "succeeded", "failed"]
    reason: str | None
    created_at: datetime
    settled_at: datetime | None


class CardDisputeView(Schema):
    """A payment contested at the card's bank. ``held`` is set aside until it is decided."""

    id: str
    top_up: UUID
    amount: int
    currency: str
    status: Literal["inquiry", "open", "lost", "won", "closed"]
    reason: str
    held: int
    evidence_due_by: datetime | None
    created_at: datetime
    changed_at: datetime


class CardDebtView(Schema):
    """What a user owes after card money was taken back, and what disputes could not set aside."""

    user_id: UUID
    currency: str
    owed: int
    short: int


class DebtWriteOff(Schema):
    """Whose debt is given up, and why."""

    user_id: Annotated[UUID, msgspec.Meta(examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]
    currency: CurrencyCode
    reason: Annotated[
        str, msgspec.Meta(min_length=1, max_length=500, examples=["The person has died."])
    ]


class CardPayeeCreate(Schema):
    """A user's account at the card company that is connected to ours, and its bank account."""

    user_id: Annotated[UUID, msgspec.Meta(examples=["01890a5d-ac96-774b-bcce-b302099a8057"])]
    destination: Annotated[
        str,
        msgspec.Meta(
            pattern="^acct_[A-Za-z0-9]{1,40}(/ba_[A-Za-z0-9]{1,40})?$",
            description="The connected account, perhaps with one of its bank accounts",
            examples=["acct_1Nv0FGQ9RKHgCVdK/ba_1MvoIJ2eZvKYlo2C"],
        ),
    ]
    currency: CurrencyCode
    label: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=64,
            description="What its owner recognises it by",
            examples=["Bank account ending in 6789"],
        ),
    ]


class CardPayeeView(Schema):
    """A bank account that is paid through the card company; withdrawals go to its ``id``."""

    id: UUID
    currency: str
    label: str
    added_at: datetime


class WebhookAnswer(Schema):
    """The event is stored; what it means is found out later."""

    received: bool = True
