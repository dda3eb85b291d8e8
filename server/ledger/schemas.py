"""What the ledger takes and gives over HTTP. Amounts are minor units."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from server.kit.schema import CurrencyCode, Schema

Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=500, examples=["agreed with the customer"])
]


class StatementLineView(Schema):
    """One movement. ``amount`` is below zero when it went out; ``balance`` is what was left."""

    entry: UUID
    kind: str
    amount: int
    balance: int
    at: datetime
    effective_at: datetime


class StatementView(Schema):
    """What an account did in a period of recorded time; ``end`` lies behind it.

    Opening and closing balance are those of the whole period on every page.
    """

    currency: str
    account: str
    begin: datetime
    end: datetime
    opening: int
    closing: int
    lines: list[StatementLineView]
    next_cursor: str | None = None


class SealView(Schema):
    """A sealed block of the ledger. Hashes, key and signature are in hexadecimal digits."""

    number: int
    last_position: int
    root: str
    previous: str
    hash: str
    at_us: int
    public_key: str | None
    signature: str | None


class ClosedDayView(Schema):
    """A closed day: its hash stands for every figure of this day and of all days before."""

    day: date
    accounts: int
    postings: int
    seal: int
    hash: str
    previous: str
    at: datetime
    public_key: str | None
    signature: str | None


class CheckpointView(Schema):
    """The present ends of the two chains. Keep them: later ones must still contain them."""

    tenant: int
    seal: SealView | None
    day: ClosedDayView | None


class PartView(Schema):
    """A part of a leaf: ``digest`` is SHA-256 over key and content.

    What is not yours has no content and no key. Hashes and keys are in hexadecimal digits, the
    content is base64url: fields with a tag each, as docs/ledger.md says.
    """

    name: str
    digest: str
    key: str | None
    content: str | None


class EntryProofView(Schema):
    """Shows that one of your movements is sealed (RFC 6962 path from leaf to root).

    The leaf is SHA-256 over 0x00 and the digests of the parts in their order.
    """

    entry: UUID
    parts: list[PartView]
    leaf: str
    index: int
    size: int
    path: list[str]
    seal: SealView


class LiabilityRootView(Schema):
    """What we owe all users in one currency, at the end of a closed day.

    ``total`` is the sum over ``leaves`` users; those below zero are counted apart. Sums are written
    as text.
    """

    tenant: int
    round: int
    currency: str
    day: date
    day_hash: str
    leaves: int
    total: str
    root: str
    below_zero: int
    below_zero_sum: str
    at_us: int
    public_key: str
    signature: str


class LiabilityNodeView(Schema):
    total: str
    hash: str


class LiabilityProofView(Schema):
    """Your leaf and the way to the root: what `tallystick check-liabilities` takes."""

    user: UUID
    currency: str
    round: int
    balance: str
    salt: str
    place: int
    path: list[LiabilityNodeView]
    root: LiabilityRootView


class LiabilityRoots(Schema):
    items: list[LiabilityRootView]


class TrialLineView(Schema):
    """All accounts of a kind; ``amount`` in the sign that is natural for its class."""

    currency: CurrencyCode
    kind: str
    account_class: str
    accounts: int
    amount: int


class TrialBalanceView(Schema):
    balanced: bool
    totals: dict[str, int]
    lines: list[TrialLineView]


class BreakView(Schema):
    """A difference. Amounts are as the outside party counts them: above zero is more for us."""

    id: UUID
    account: UUID
    statement: str
    kind: str
    external_id: str | None
    entry: UUID | None
    here: int | None
    there: int | None
    state: Literal["open", "explained", "closed"]
    at: datetime


class BreakEventView(Schema):
    number: int
    state: Literal["open", "explained", "closed"]
    reason: str
    set_by: str
    at: datetime


class BreakHistory(Schema):
    subject: BreakView
    events: list[BreakEventView]


class BreakDecision(Schema):
    """What becomes of a break. ``closed`` is for good; ``open`` takes an explanation back."""

    state: Annotated[Literal["open", "explained", "closed"], msgspec.Meta(examples=["explained"])]
    reason: Reason


class MirrorView(Schema):
    """A mirror account and the last statement it was compared with."""

    account: UUID
    kind: str
    currency: str
    owner: UUID | None
    balance: int
    statement: str | None
    last_day: date | None
    closing_balance: int | None
    unexplained: int | None
    breaks: int
    sound: bool


class Mirrors(Schema):
    items: list[MirrorView]


class LimitChange(Schema):
    """How low and how high an account may go; a floor below zero is a credit line.

    null lifts a ceiling, and the floor of a house account.
    """

    floor: Annotated[
        int | None, msgspec.Meta(description="Minor units, credit-positive", examples=[-5000])
    ]
    reason: Reason
    ceiling: Annotated[
        int | None, msgspec.Meta(description="Minor units, credit-positive", examples=[1000000])
    ] = None


class LimitHistoryItem(Schema):
    number: int
    floor: int | None
    ceiling: int | None
    reason: str
    set_by: str
    at: datetime


class LimitHistory(Schema):
    """Every limit that was set for an account, the newest first."""

    items: list[LimitHistoryItem]


class AccountView(Schema):
    """An account. ``balance`` is in the sign that is natural for its class."""

    id: UUID
    kind: str
    currency: str
    owner: UUID | None
    balance: int
    held: int
    entries: int
    closed: bool
