"""Revocation: which keys and vouchers must not be accepted any more, as the issuer signed it.

A list holds the first 8 bytes of the ids of device keys, vouchers and issuing keys. Its epoch rises
by one with each change; a delta leads from one epoch to a later one and ends in a digest of the
whole, so a device that applied it knows that it holds what the issuer holds.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.certificate_log import LogHead
from offline_protocol.certificates import KeySet, KeyUse
from offline_protocol.constants import (
    ID_BYTES,
    KID_BYTES_MAX,
    REVOCATION_DELTA_BYTES_MAX,
    REVOCATION_LIST_BYTES_MAX,
    REVOKED_PREFIX_BYTES,
)
from offline_protocol.cose import Identified, Signed, check_signature
from offline_protocol.errors import (
    BadSignature,
    MalformedObject,
    RevocationDoesNotApply,
    RevocationRefused,
    UnknownIssuerKey,
)
from offline_protocol.fields import Fields, check_bytes, check_uint
from offline_protocol.lazy import lazy

_DIGEST_PREFIX = b"tallystick/1/revoked"


def prefix_of(identity: bytes) -> bytes:
    """What stands in a list for an id."""
    return identity[:REVOKED_PREFIX_BYTES]


@dataclass(frozen=True)
class Revoked:
    """A set of 8-byte prefixes, of one epoch. Epoch 0 is the empty set that everybody starts with.

    A chance hit is possible: it refuses a payment and convicts nobody.
    """

    epoch: int = 0
    prefixes: frozenset[bytes] = field(default_factory=frozenset)

    @lazy
    def digest(self) -> bytes:
        return hashlib.sha256(_DIGEST_PREFIX + _joined(self.prefixes)).digest()


@dataclass(frozen=True)
class RevocationList(Identified):
    """All that is revoked at one epoch; `entries` are ascending prefixes, one after another."""

    NAME: ClassVar[str] = "revocation-list"
    TYPE: ClassVar[int] = 7
    BYTES_MAX: ClassVar[int] = REVOCATION_LIST_BYTES_MAX

    kid: bytes
    epoch: int
    time: int
    entries: bytes
    log: LogHead | None = None

    def __post_init__(self) -> None:
        check_bytes("kid", self.kid, least=1, most=KID_BYTES_MAX)
        check_uint("epoch", self.epoch, least=1)
        check_uint("time", self.time)
        _check_entries("entries", self.entries, bytes_max=REVOCATION_LIST_BYTES_MAX)

    @classmethod
    def of(cls, revoked: Revoked, *, kid: bytes, time: int, log: LogHead | None = None) -> Self:
        return cls(kid, revoked.epoch, time, _joined(revoked.prefixes), log)

    @property
    def revoked(self) -> Revoked:
        return Revoked(self.epoch, frozenset(_split(self.entries)))

    def to_payload(self) -> bytes:
        fields: dict[int, cbor.Value] = {
            1: self.TYPE,
            2: self.kid,
            3: self.epoch,
            4: self.time,
            5: self.entries,
        }
        if self.log is not None:
            fields[6] = self.log.to_value()
        return cbor.encode(fields)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE, bytes_max=cls.BYTES_MAX)
        made = cls(
            kid=fields.raw(2),
            epoch=fields.uint(3),
            time=fields.uint(4),
            entries=fields.raw(5),
            log=LogHead.from_value(fields.array(6)) if fields.has(6) else None,
        )
        fields.end()
        return made


@dataclass(frozen=True)
class RevocationDelta(Identified):
    """What changed from one epoch to a later one; `digest` is that of the later one's whole set."""

    NAME: ClassVar[str] = "revocation-delta"
    TYPE: ClassVar[int] = 8
    BYTES_MAX: ClassVar[int] = REVOCATION_DELTA_BYTES_MAX

    kid: bytes
    from_epoch: int
    to_epoch: int
    time: int
    added: bytes
    removed: bytes
    digest: bytes
    log: LogHead | None = None

    def __post_init__(self) -> None:
        check_bytes("kid", self.kid, least=1, most=KID_BYTES_MAX)
        check_uint("from_epoch", self.from_epoch)
        check_uint("to_epoch", self.to_epoch, least=self.from_epoch + 1)
        check_uint("time", self.time)
        _check_entries("added", self.added, bytes_max=REVOCATION_DELTA_BYTES_MAX)
        _check_entries("removed", self.removed, bytes_max=REVOCATION_DELTA_BYTES_MAX)
        if not set(_split(self.added)).isdisjoint(_split(self.removed)):
            raise MalformedObject("an entry is added and removed")
        check_bytes("digest", self.digest, least=ID_BYTES)

    @classmethod
    def between(
        cls, old: Revoked, new: Revoked, *, kid: bytes, time: int, log: LogHead | None = None
    ) -> Self:
        """The delta from one set to another."""
        return cls(
            kid=kid,
            from_epoch=old.epoch,
            to_epoch=new.epoch,
            time=time,
            added=_joined(new.prefixes - old.prefixes),
            removed=_joined(old.prefixes - new.prefixes),
            digest=new.digest,
            log=log,
        )

    def to_payload(self) -> bytes:
        fields: dict[int, cbor.Value] = {
            1: self.TYPE,
            2: self.kid,
            3: self.from_epoch,
            4: self.to_epoch,
            5: self.time,
            6: self.added,
            7: self.removed,
            8: self.digest,
        }
        if self.log is not None:
            fields[9] = self.log.to_value()
        return cbor.encode(fields)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE, bytes_max=cls.BYTES_MAX)
        made = cls(
            kid=fields.raw(2),
            from_epoch=fields.uint(3),
            to_epoch=fields.uint(4),
            time=fields.uint(5),
            added=fields.raw(6),
            removed=fields.raw(7),
            digest=fields.raw(8),
            log=LogHead.from_value(fields.array(9)) if fields.has(9) else None,
        )
        fields.end()
        return made


def verify_revocation_list(
    signed: Signed[RevocationList], key_set: KeySet, held: Revoked | None = None
) -> Revoked:
    """Check a list against the issuer's keys and against the one that is held; give its set.

    Raises:
        RevocationRefused: the issuer did not sign it.
        RevocationDoesNotApply: it is older than the one that is held, or of its epoch with other
            entries.
    """
    body = signed.body
    _check_issuer(signed, key_set, body.kid, body.time)
    revoked = body.revoked
    if held is not None and body.epoch < held.epoch:
        raise RevocationDoesNotApply(f"epoch {body.epoch} is older than {held.epoch}")
    if held is not None and body.epoch == held.epoch and revoked != held:
        raise RevocationDoesNotApply(f"two lists of epoch {body.epoch} differ")
    return revoked


def apply_revocation_delta(
    signed: Signed[RevocationDelta], key_set: KeySet, held: Revoked
) -> Revoked:
    """Check a delta and apply it to the set that is held.

    Raises:
        RevocationRefused: the issuer did not sign it.
        RevocationDoesNotApply: it begins at another epoch, or does not lead to what it says.
    """
    body = signed.body
    _check_issuer(signed, key_set, body.kid, body.time)
    if body.from_epoch != held.epoch:
        raise RevocationDoesNotApply(f"from epoch {body.from_epoch}, held is {held.epoch}")
    added, removed = frozenset(_split(body.added)), frozenset(_split(body.removed))
    if not added.isdisjoint(held.prefixes) or not removed <= held.prefixes:
        raise RevocationDoesNotApply("it adds what is there or removes what is not")
    revoked = Revoked(body.to_epoch, (held.prefixes | added) - removed)
    if revoked.digest != body.digest:
        raise RevocationDoesNotApply("the set that it leads to is another one")
    return revoked


def _check_issuer(
    signed: Signed[RevocationList] | Signed[RevocationDelta], key_set: KeySet, kid: bytes, at: int
) -> None:
    try:
        check_signature(signed, key_set.key(kid, at, KeyUse.ISSUE))
    except (UnknownIssuerKey, BadSignature) as error:
        raise RevocationRefused(f"the issuer did not sign it: {error.message}") from error


def _check_entries(what: str, entries: bytes, *, bytes_max: int) -> None:
    check_bytes(what, entries, least=0, most=bytes_max)
    prefixes = _split(entries)
    if len(entries) % REVOKED_PREFIX_BYTES or prefixes != sorted(set(prefixes)):
        raise MalformedObject(f"{what} are prefixes of 8 bytes, ascending, each once")


def _split(entries: bytes) -> list[bytes]:
    step = REVOKED_PREFIX_BYTES
    return [entries[at : at + step] for at in range(0, len(entries), step)]


def _joined(prefixes: Iterable[bytes]) -> bytes:
    return b"".join(sorted(prefixes))
