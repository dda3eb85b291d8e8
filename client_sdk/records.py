"""What the wallet remembers: typed rows and how they are written into the store."""

from collections.abc import Hashable, Mapping
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Self, cast

from client_sdk.core import FINISHED, State
from client_sdk.errors import StoreCorrupt
from client_sdk.holdings import Interval, Piece
from client_sdk.store.sealed import Value


class Role(StrEnum):
    """What this wallet does in an exchange."""

    PAY = "pay"
    RECEIVE = "receive"
    RETURN = "return"
    CLAIM = "claim"


class Source(StrEnum):
    """How a holding came here."""

    ISSUED = "issued"
    RECEIVED = "received"
    RETURNED = "returned"


@dataclass(frozen=True, kw_only=True)
class Record:
    """Rows are plain values; texts from a closed set are enums in memory."""

    ENUMS: ClassVar[Mapping[str, type[StrEnum]]] = {}

    def to_value(self) -> Value:
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_value(cls, value: Value) -> Self:
        """The record; a row of an earlier release may lack fields that have a default.

        Raises:
            StoreCorrupt: the row holds something else.
        """
        needed, known = _shape(cast("Hashable", cls))
        if not isinstance(value, dict) or not needed <= value.keys() <= known:
            raise StoreCorrupt(f"A row that should hold a {cls.__name__} holds something else.")
        made: dict[str, Any] = {
            name: cls.ENUMS[name](str(part)) if name in cls.ENUMS else _tuples(part)
            for name, part in value.items()
        }
        return cls(**made)


@dataclass(frozen=True, kw_only=True)
class Holding(Record):
    """A chain that ends at this device, and what of it has not been signed away.

    The later fields repeat what the chain says, so that choosing pieces reads no chain.
    `exchange` is the incoming payment it came by, or empty. `payment_max` is the voucher's limit,
    which binds its first holder only.
    """

    ENUMS: ClassVar[Mapping[str, type[StrEnum]]] = {"source": Source}

    key: bytes
    chain: bytes
    free: tuple[Interval, ...]
    source: Source
    exchange: bytes
    voucher: bytes
    currency: str
    amount: int
    spend_by: int
    claim_by: int
    hops_used: int
    hops_max: int
    payment_max: int

    @property
    def free_amount(self) -> int:
        return sum(interval.length for interval in self.free)

    @property
    def untouched(self) -> bool:
        return self.free_amount == self.amount

    def pieces(self) -> list[Piece]:
        """Its free intervals, to choose among."""
        return [
            Piece(holding=self.key, interval=interval, spend_by=self.spend_by)
            for interval in self.free
        ]

    @classmethod
    def from_value(cls, value: Value) -> Self:
        made = super().from_value(value)
        object.__setattr__(made, "free", tuple(Interval(lo, hi) for lo, hi in made.free))
        return made


@dataclass(frozen=True, kw_only=True)
class OwnKey(Record):
    """A further key of this wallet.

    Attributes:
        handle: names it to the key provider.
        certificate: envelope of its newest certificate, empty before the first.
        used: somebody may have seen it.
        sequence: number of its next signature.
    """

    handle: bytes
    certificate: bytes
    used: bool
    sequence: int

    @property
    def fresh(self) -> bool:
        return bool(self.certificate) and not self.used


@dataclass(frozen=True, kw_only=True)
class Draft(Record):
    """A transfer whose every byte but the signature is fixed.

    `certificate` is the envelope of its signer's certificate, empty where the voucher names the
    signer.
    """

    holding: bytes
    payload: bytes
    certificate: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Exchange(Record):
    """One payment, return, claim or expected payment.

    Attributes:
        id: row key; for an expected or incoming payment the request's id (16 bytes), or the
            payment's digest (32 bytes) when a request is paid a second time.
        request: envelope of the payment request, empty when there is none.
        peer: id of the other side's key, empty while it is not known.
        peer_name: certified display name, or empty.
        drafts: outgoing transfers, fixed before signing.
        transfers: ids of the last transfer of each chain.
        vouchers: ids of the roots, to recognise their settlement.
        settled: those of them that the server has closed.
        received: the payment as it was read, for an incoming one.
        receipt: envelope of the receipt, given or got.
        certificate: envelope of this device's certificate, fixed together with the drafts.
        session_secret: X25519 secret of a request's session key.
        undone_by: links a returned payment and its return to each other.
        created_at: Unix seconds, as is `updated_at`.
        refusal: code of what the other side said instead of a receipt.
    """

    ENUMS: ClassVar[Mapping[str, type[StrEnum]]] = {"role": Role, "state": State}

    id: bytes
    role: Role
    state: State
    currency: str
    amount: int
    created_at: int
    updated_at: int
    request: bytes = b""
    peer: bytes = b""
    peer_name: str = ""
    memo: str = ""
    drafts: tuple[Draft, ...] = ()
    transfers: tuple[bytes, ...] = ()
    vouchers: tuple[bytes, ...] = ()
    received: bytes = b""
    receipt: bytes = b""
    session_secret: bytes = b""
    certificate: bytes = b""
    settled: tuple[bytes, ...] = ()
    undone_by: bytes = b""
    refusal: str = ""

    @property
    def open(self) -> bool:
        return self.state not in FINISHED

    @classmethod
    def from_value(cls, value: Value) -> Self:
        made = super().from_value(value)
        drafts = tuple(Draft.from_value(cast("Value", draft)) for draft in made.drafts)
        object.__setattr__(made, "drafts", drafts)
        return made


@cache
def _shape(kind: type[Record]) -> tuple[frozenset[str], frozenset[str]]:
    """The fields that a row must have, and all that it may have."""
    known = fields(kind)
    needed = frozenset(field.name for field in known if field.default is MISSING)
    return needed, frozenset(field.name for field in known)


def _plain(value: object) -> Value:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Record):
        return value.to_value()
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    assert isinstance(value, int | str | bytes), f"{value!r} is no plain value"
    return value


def _tuples(value: Value) -> object:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
