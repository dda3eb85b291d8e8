"""What transfers, requests and schedules take and give over HTTP."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema
from server.payments.transfers.domain import NOTE_MAX

To = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=254,
        description="A phone number, an e-mail address, a username, a user's id, or the text of a "
        "QR code to pay",
        examples=["+905321234567"],
    ),
]
Note = Annotated[
    str,
    msgspec.Meta(max_length=NOTE_MAX, description="For people to read", examples=["For lunch"]),
]
TimeOfDay = Annotated[
    str,
    msgspec.Meta(
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Local time", examples=["09:00"]
    ),
]
TimeZone = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        description="Name in the IANA time zone database",
        examples=["Europe/Istanbul"],
    ),
]


class TransferCreate(Schema):
    """Send money to somebody. With ``quote_id``, ``amount`` and ``currency`` are what you give."""

    to: To
    amount: Amount
    currency: CurrencyCode
    note: Note | None = None
    quote_id: (
        Annotated[
            UUID,
            msgspec.Meta(
                description="From POST /v1/quotes",
                examples=["01890a5d-ac96-774b-bcce-b302099a8057"],
            ),
        ]
        | None
    ) = None


class PersonView(Schema):
    """The other side. How much of it is shown depends on how they were named."""

    user_id: UUID | None
    username: str | None
    name: str | None
    """As they chose to be called; mostly hidden when you only knew their phone or e-mail."""
    address: str | None
    """Mostly hidden; of somebody who has not registered."""


class TransferView(Schema):
    """A transfer as one of its two sides sees it. ``pending`` waits for somebody to register."""

    id: UUID
    direction: Literal["sent", "received"]
    state: Literal["completed", "pending", "cancelled", "returned"]
    amount: int
    currency: str
    received_amount: int
    received_currency: str
    counterpart: PersonView
    note: str | None
    refunded: int
    """How much of what was received has gone back."""
    refund_of: UUID | None
    request_id: UUID | None
    schedule_id: UUID | None
    created_at: datetime
    settled_at: datetime | None


class RefundCreate(Schema):
    """Give part or all of a transfer back that you received, in the currency you received."""

    amount: Amount
    note: Note | None = None


class RecipientLookup(Schema):
    """Who is meant?"""

    to: To


class RecipientView(Schema):
    """Who would receive a transfer. An address that nobody has confirmed has no name."""

    name: str | None
    username: str | None
    waits: bool
    """Money sent there waits until somebody registers and confirms the address."""


class MoneyRequestCreate(Schema):
    """Ask for money: somebody in particular, or whoever is shown the QR code."""

    currency: CurrencyCode
    amount: Amount | None = None
    """Left out, the payer chooses."""
    to: To | None = None
    """Left out, anybody who has the code may pay, once."""
    note: Note | None = None
    expires_at: Annotated[datetime, msgspec.Meta(examples=["2030-01-31T12:00:00Z"])] | None = None
    """A year at most; 30 days when left out."""


class MoneyRequestView(Schema):
    """A request for money. Only an open one can be paid."""

    id: UUID
    role: Literal["requester", "payer"]
    state: Literal["open", "paid", "declined", "cancelled", "expired"]
    amount: int | None
    currency: str
    requester: PersonView
    payer: PersonView | None
    note: str | None
    transfer_id: UUID | None
    pay_code: str
    """Text of the QR code."""
    created_at: datetime
    expires_at: datetime
    settled_at: datetime | None


class MoneyRequestPayment(Schema):
    """Pay a request. The amount is needed exactly where the request leaves it open."""

    amount: Amount | None = None
    note: Note | None = None


class ScheduleCreate(Schema):
    """Send money on a date, or again and again from that date on."""

    to: To
    amount: Amount
    currency: CurrencyCode
    every: Annotated[
        Literal["once", "day", "week", "month"],
        msgspec.Meta(
            description="From the 29th on, short months are paid on their last day",
            examples=["month"],
        ),
    ]
    starts_on: Annotated[date, msgspec.Meta(examples=["2030-01-31"])]
    at_time: TimeOfDay = "09:00"
    time_zone: TimeZone = "UTC"
    ends_on: Annotated[date, msgspec.Meta(examples=["2030-12-31"])] | None = None
    """The last day on which it may pay."""
    note: Note | None = None


class ScheduleView(Schema):
    id: UUID
    receiver: PersonView
    amount: int
    currency: str
    every: Literal["once", "day", "week", "month"]
    starts_on: date
    ends_on: date | None
    at_time: str
    time_zone: str
    state: Literal["active", "paused", "ended"]
    next_at: datetime | None
    """When it pays next, if it is active."""
    failed_tries: int
    """Of the payment that is due now."""
    note: str | None
    created_at: datetime


class ScheduleRunView(Schema):
    """What became of one payment of a schedule."""

    occurrence: int
    due_at: datetime
    result: Literal["paid", "skipped", "missed"]
    tries: int
    transfer_id: UUID | None
    reason: str | None
    """Code of the last refusal."""
    at: datetime


class PayCode(Schema):
    """The text of a QR code to pay."""

    pay_code: str
