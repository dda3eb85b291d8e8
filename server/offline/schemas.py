"""What the offline room takes and gives over HTTP. Bytes are unpadded base64url."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema

RECORDS_PER_SYNC_MAX = 200
RECORD_TEXT_MAX = 16_384

EncodedObject = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=RECORD_TEXT_MAX,
        description="A signed object of the offline protocol as base64url",
        examples=["hEOhATKgWCBPYmplY3Q"],
    ),
]
RecordKind = Annotated[
    Literal["transfer", "receipt", "voucher", "certificate", "fraud_proof"],
    msgspec.Meta(examples=["transfer"]),
]


class KeySetView(Schema):
    """The issuer's key set, and the root key that signed it, for a first look only.

    A device pins the root key that it got in another way, and takes no other later.
    """

    key_set: str
    root_key: str


class VouchersCreate(Schema):
    """Move money offline: out of the available balance, into vouchers for the calling device."""

    amount: Amount
    currency: CurrencyCode


class VouchersCreated(Schema):
    vouchers: list[str]


class VoucherView(Schema):
    """One of the caller's vouchers. ``unpaid`` is what has not been credited to anybody yet."""

    id: str
    currency: str
    value: int
    unpaid: int
    spend_by: int
    claim_by: int
    closed: bool
    device_key_id: str
    voucher: str


class RecordUpload(Schema):
    kind: RecordKind
    object: EncodedObject


class SyncRequest(Schema):
    """Everything the device holds that it has not uploaded yet, and the last event it has read.

    Sending something again changes nothing. ``cursor`` is 0 the first time.
    """

    cursor: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1, examples=[0])]
    records: Annotated[list[RecordUpload], msgspec.Meta(max_length=RECORDS_PER_SYNC_MAX)]


class RecordResult(Schema):
    """What became of one record, in the order of the request.

    ``waiting``: it is kept until the record that it builds on arrives. ``refused``: ``code`` and
    ``detail`` say which rule it breaks; sending it again is no use.
    """

    id: str | None
    status: Literal["stored", "duplicate", "waiting", "refused"]
    code: str | None = None
    detail: str | None = None


class SyncAnswer(Schema):
    """What became of the records, and what happened since.

    Each event has ``seq``, ``type`` and ``at``, and more that depends on its type:
    ``transfer_known`` (transfer_id, parent, kind, object, receipt when there is one), ``credited``
    and ``credit_reduced`` (voucher_id, amount of the change, total, currency, final),
    ``credit_final`` and ``voucher_closed`` (voucher_id, amount, currency), ``fork_found``
    (proof_id, kind, role, amount, currency, account), ``debt_charged`` (amount, recovered,
    currency), ``certificate_refused`` (reason). With ``more`` there are others: sync again with
    the new cursor and no records.
    """

    results: list[RecordResult]
    events: list[dict[str, Any]]
    cursor: int
    more: bool
    certificate: str | None
    key_set: str | None
    server_time: int
    missing_sequences: list[int]


class BalanceView(Schema):
    """Money in one currency. ``offline`` is what the user's open vouchers still back."""

    currency: str
    posted: int
    held: int
    available: int
    offline: int


class BalanceList(Schema):
    items: list[BalanceView]


class ConflictView(Schema):
    """A double spending or a copied device. ``role`` is the caller's part in it."""

    id: str
    kind: Literal["fork", "clone"]
    role: str
    device_id: UUID
    amount: int
    currency: str | None
    found_at: datetime


class Convicted(Schema):
    user: UUID
    display_name: str
    device: UUID


class TransferView(Schema):
    id: str
    parent: str
    lo: int
    hi: int
    sequence: int
    time: int
    payee_key_id: str
    kind: str


class FraudProofView(Schema):
    """Evidence that convinces without this server: check it with the wallet's ``proof`` command."""

    proof: str
    convicted: Convicted
    explanation: str
    transfers: list[TransferView]
