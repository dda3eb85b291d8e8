"""Key sets and device certificates: whom the issuer trusts, for what and how long.

A key set is signed by the root key, which stays offline; the issuing keys that it lists sign
vouchers and device certificates, the settling keys are the payees of claims.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar, Self

from offline_protocol import cbor
from offline_protocol.certificate_log import LogHead
from offline_protocol.constants import (
    HOPS_MAX,
    ID_BYTES,
    ISSUER_KEYS_MAX,
    KID_BYTES_MAX,
    NAME_BYTES_MAX,
    SCALES_MAX,
)
from offline_protocol.cose import Identified, Signed, check_signature
from offline_protocol.errors import (
    BadSignature,
    KeySetRefused,
    MalformedObject,
    UnknownIssuerKey,
)
from offline_protocol.fields import (
    Fields,
    as_array,
    as_bytes,
    as_text,
    as_uint,
    check_bytes,
    check_currency,
    check_many,
    check_text,
    check_uint,
)
from offline_protocol.forms import KEY, NUMBER, field, form, made, number
from offline_protocol.keys import PublicKey, read_key
from offline_protocol.lazy import lazy

_SCALE_MOST = 18


class KeyUse(StrEnum):
    """What an issuer key is for."""

    ISSUE = "issue"
    SETTLE = "settle"


_SETTLE = KeyUse.SETTLE
_USE_NUMBERS = {KeyUse.ISSUE: 1, KeyUse.SETTLE: 2}
_USES = {number: use for use, number in _USE_NUMBERS.items()}


class Assurance(IntEnum):
    """How well a device keeps its key."""

    SOFTWARE = 1
    HARDWARE = 2
    """The enrolment attested that the key cannot leave secure hardware."""


@dataclass(frozen=True)
class IssuerKey:
    """One key of the issuer; it counts from `not_before` up to and including `not_after`."""

    kid: bytes
    key: PublicKey
    not_before: int
    not_after: int
    use: KeyUse

    def __post_init__(self) -> None:
        check_bytes("kid", self.kid, least=1, most=KID_BYTES_MAX)
        check_uint("not_before", self.not_before)
        check_uint("not_after", self.not_after, least=self.not_before)
        object.__setattr__(self, "use", KeyUse(self.use))

    def serves(self, use: KeyUse | str, at: int) -> bool:
        return self.use == use and self.not_before <= at <= self.not_after


@dataclass(frozen=True)
class KeySet(Identified):
    """The issuer's keys, as the root key signed them.

    `version` rises by one with each set and `previous` is the id of the set before (None for the
    first), so a reader can refuse an older set. `epoch_floor` is the oldest revocation list still
    good. `scales` gives the decimal places of each currency, in the order of their codes. `log` is
    the head of the log of certificates at `time`.
    """

    NAME: ClassVar[str] = "key-set"

    version: int
    issuer: str
    keys: tuple[IssuerKey, ...]
    epoch_floor: int
    time: int
    previous: bytes | None = None
    scales: tuple[tuple[str, int], ...] = ()
    log: LogHead | None = None

    def __post_init__(self) -> None:
        check_uint("version", self.version, least=1)
        check_text("issuer", self.issuer, bytes_max=NAME_BYTES_MAX)
        check_many("keys", self.keys, least=1, most=ISSUER_KEYS_MAX)
        if len({(key.use, key.kid) for key in self.keys}) != len(self.keys):
            raise MalformedObject("two keys of one use share a kid")
        check_uint("epoch_floor", self.epoch_floor)
        check_uint("time", self.time)
        if self.previous is not None:
            check_bytes("previous", self.previous, least=ID_BYTES)
        check_many("scales", self.scales, most=SCALES_MAX)
        for currency, scale in self.scales:
            check_currency(currency)
            check_uint("scale", scale, most=_SCALE_MOST)
        codes = [currency for currency, _ in self.scales]
        if codes != sorted(set(codes)):
            raise MalformedObject("scales are sorted by currency, each once")

    def key(self, kid: bytes, at: int, use: KeyUse | str) -> PublicKey:
        """The key with this short name that served this use at this time.

        Raises:
            UnknownIssuerKey: there is none.
        """
        for candidate in self.keys:
            if candidate.kid == kid and candidate.serves(use, at):
                return candidate.key
        raise UnknownIssuerKey(f"no key {kid.hex()} to {use} at {at} in this key set")

    def settles(self, key: PublicKey, at: int) -> bool:
        """Whether claims could be made out to this key at this time."""
        for candidate in self.keys:
            if candidate.key.raw == key.raw and candidate.serves(_SETTLE, at):
                return True
        return False

    def scale(self, currency: str) -> int | None:
        """Decimal places of a currency, None when the set does not list it."""
        return self._scale_of.get(currency)

    @lazy
    def _scale_of(self) -> dict[str, int]:
        return dict(self.scales)

    def to_payload(self) -> bytes:
        fields: dict[int, cbor.Value] = {
            1: self.version,
            2: self.issuer,
            3: [
                [k.kid, k.key.raw, k.not_before, k.not_after, _USE_NUMBERS[k.use]]
                for k in self.keys
            ],
            4: self.epoch_floor,
            5: self.time,
        }
        if self.previous is not None:
            fields[6] = self.previous
        if self.scales:
            fields[7] = [[currency, scale] for currency, scale in self.scales]
        if self.log is not None:
            fields[8] = self.log.to_value()
        return cbor.encode(fields)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=None)
        key_set = cls(
            version=fields.uint(1),
            issuer=fields.text(2),
            keys=tuple(_issuer_key(item) for item in fields.array(3)),
            epoch_floor=fields.uint(4),
            time=fields.uint(5),
            previous=fields.raw(6) if fields.has(6) else None,
            scales=_scales(fields.array(7)) if fields.has(7) else (),
            log=LogHead.from_value(fields.array(8)) if fields.has(8) else None,
        )
        fields.end()
        return key_set


@dataclass(frozen=True)
class Limits:
    """What the issuer lets a device do: minor units, and changes of owner."""

    payment_max: int
    balance_max: int
    hops_max: int

    def __post_init__(self) -> None:
        check_uint("payment_max", self.payment_max)
        check_uint("balance_max", self.balance_max)
        check_uint("hops_max", self.hops_max, most=HOPS_MAX)


@dataclass(frozen=True)
class DeviceCertificate(Identified):
    """The issuer's word that a device key belongs to an account it knows."""

    NAME: ClassVar[str] = "device-certificate"
    TYPE: ClassVar[int] = 2

    kid: bytes
    device_key: PublicKey
    valid_from: int
    valid_to: int
    limits: Limits
    assurance: Assurance
    display_name: str | None = None

    def __post_init__(self) -> None:
        check_bytes("kid", self.kid, least=1, most=KID_BYTES_MAX)
        check_uint("valid_from", self.valid_from)
        check_uint("valid_to", self.valid_to, least=self.valid_from)
        check_uint("assurance", self.assurance, least=1, most=max(Assurance))
        object.__setattr__(self, "assurance", Assurance(self.assurance))
        if self.display_name is not None:
            check_text("display_name", self.display_name, bytes_max=NAME_BYTES_MAX)

    def to_payload(self) -> bytes:
        limits = self.limits
        fields: dict[int, cbor.Value] = {
            1: self.TYPE,
            2: self.kid,
            3: self.device_key.raw,
            4: self.valid_from,
            5: self.valid_to,
            6: [limits.payment_max, limits.balance_max, limits.hops_max],
            7: int(self.assurance),
        }
        if self.display_name is not None:
            fields[8] = self.display_name
        return cbor.encode(fields)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        match = _FORM.fullmatch(payload)
        if match is not None:
            kid, key, start, end, payment_max, balance_max, hops_max, assurance = match.groups()
            valid_from, valid_to = number(start), number(end)
            if valid_from <= valid_to:
                return made(
                    cls,
                    kid=kid,
                    device_key=read_key(key[1:]),
                    valid_from=valid_from,
                    valid_to=valid_to,
                    limits=made(
                        Limits,
                        payment_max=number(payment_max),
                        balance_max=number(balance_max),
                        hops_max=hops_max[0],
                    ),
                    assurance=Assurance(assurance[0]),
                    display_name=None,
                )
        return cls._from_fields(payload)

    @classmethod
    def _from_fields(cls, payload: bytes) -> Self:
        fields = Fields(cls.NAME, payload, type_number=cls.TYPE)
        kid, device_key = fields.raw(2), fields.key(3)
        valid_from, valid_to = fields.uint(4), fields.uint(5)
        limits = [as_uint(x, "a limit") for x in as_array(fields.array(6), "limits", size=3)]
        certificate = cls(
            kid=kid,
            device_key=device_key,
            valid_from=valid_from,
            valid_to=valid_to,
            limits=Limits(*limits),
            # The constructor turns the number into an Assurance or refuses it.
            assurance=fields.uint(7),  # type: ignore[arg-type]
            display_name=fields.text(8) if fields.has(8) else None,
        )
        fields.end()
        return certificate


# What is usual: kids of four bytes, and people whose certificates show no name.
_FORM = form(
    rb"\xa7\x01\x02",
    field(2, rb"\x44(.{4})"),
    field(3, KEY),
    field(4, NUMBER),
    field(5, NUMBER),
    field(6, rb"\x83" + NUMBER + NUMBER + rb"([\x00-\x08])"),
    field(7, rb"([\x01\x02])"),
)


def verify_key_set(
    signed: Signed[KeySet], root_key: PublicKey, current: KeySet | None = None
) -> KeySet:
    """Check a key set against the pinned root key, and against the set in use.

    Raises:
        KeySetRefused: not signed by the root, or not at least as new as `current`.
    """
    try:
        check_signature(signed, root_key)
    except BadSignature as error:
        raise KeySetRefused("the key set is not signed by the pinned root key") from error
    key_set = signed.body
    if current is not None and key_set.id != current.id:
        if key_set.version <= current.version or key_set.time < current.time:
            raise KeySetRefused(
                f"version {key_set.version} is not newer than {current.version}; get a fresh one"
            )
        if key_set.version == current.version + 1 and key_set.previous != current.id:
            raise KeySetRefused("the next key set does not name the one in use as its previous")
    return key_set


def _issuer_key(value: cbor.Value) -> IssuerKey:
    kid, key, not_before, not_after, use = as_array(value, "an issuer key", size=5)
    use_number = as_uint(use, "use")
    if use_number not in _USES:
        raise MalformedObject(f"{use_number} is no use of an issuer key")
    return IssuerKey(
        as_bytes(kid, "kid"),
        PublicKey(as_bytes(key, "key")),
        as_uint(not_before, "not_before"),
        as_uint(not_after, "not_after"),
        _USES[use_number],
    )


def _scales(values: list[cbor.Value]) -> tuple[tuple[str, int], ...]:
    pairs = [as_array(value, "a scale", size=2) for value in values]
    if not pairs:
        raise MalformedObject("an empty list of scales is left out")
    return tuple((as_text(code, "currency"), as_uint(scale, "scale")) for code, scale in pairs)
