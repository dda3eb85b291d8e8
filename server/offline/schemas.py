"""What the offline room takes and gives over HTTP. Bytes are unpadded base64url."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from server.kit.schema import Amount, CurrencyCode, Schema

RECORDS_PER_SYNC_MAX = 5_000
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
    further_keys: bool = False
    """Make the vouchers out to unused further keys of the device, as far as there are."""


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


class CertificatesCreate(Schema):
    """Key bindings (see the protocol), each signed by the key that it binds."""

    bindings: Annotated[
        list[Annotated[str, msgspec.Meta(max_length=512)]],
        msgspec.Meta(min_length=1, max_length=32, examples=[["hEOhASeg..."]]),
    ]


class CertificatesCreated(Schema):
    """Certificates in the order of the bindings, as base64url."""

    certificates: list[str]


class RevocationsView(Schema):
    """What leads to the present list: nothing, a delta from the epoch that was named, or all."""

    epoch: int
    delta: str | None = None
    list: str | None = None


class CertificateLogView(Schema):
    """Ids of certificates after ``after``, and the head of the log as it stands."""

    size: int
    head: str
    after: int
    certificate_ids: list[str]


class RecordUpload(Schema):
    kind: RecordKind
    object: EncodedObject


class Held(Schema):
    """The newest that the device holds of what the issuer signs for all; 0 where it has none."""

    revocation_epoch: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0
    acceptance_policy: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class SyncRequest(Schema):
    """Everything the device holds that it has not uploaded yet, and the last event it has read.

    Sending something again changes nothing. ``cursor`` is 0 the first time; ``history`` is that of
    the last answer.
    """

    cursor: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1, examples=[0])]
    records: Annotated[list[RecordUpload], msgspec.Meta(max_length=RECORDS_PER_SYNC_MAX)]
    held: Held = msgspec.field(default_factory=Held)
    history: Annotated[
        Annotated[str, msgspec.Meta(max_length=64)] | None, msgspec.Meta(examples=[None])
    ] = None


class RecordResult(Schema):
    """What became of one record, in the order of the request.

    ``waiting``: it is kept until the record that it builds on arrives; with the code
    ``too_many_waiting`` it is not, and has to be sent again after that one. ``refused``: ``code``
    and ``detail`` say which rule it breaks; sending it again is no use.
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

    ``reset``: the server was restored from a backup and may lack what it confirmed before. Upload
    every record again; the events begin anew.
    """

    results: list[RecordResult]
    events: list[dict[str, Any]]
    cursor: int
    more: bool
    certificate: str | None
    key_set: str | None
    server_time: int
    missing_sequences: list[int]
    history: str = ""
    reset: bool = False
    missing_of_keys: dict[str, list[int]] = {}
    revocations: RevocationsView | None = None
    acceptance_policy: str | None = None


class BalanceView(Schema):
    """Money in one currency. ``available`` is what was posted less what is held.

    ``emergency`` is locked away and part of neither. ``offline`` is what the user's open vouchers
    still back; it is null for an instant in the past.
    """

    currency: str
    posted: int
    held: int
    available: int
    emergency: int
    offline: int | None


class BalanceList(Schema):
    """Balances as they were at ``as_of``."""

    items: list[BalanceView]
    as_of: datetime


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
